"""What a job may not choose here although the settings know it: for this machine, or for this base.

The form, ``/api`` and the plan ask the same: what is refused at the start is not offered before.
"""

from typing import Any

from core import hardware
from core.errors import ValidationError
from core.fine_tuning.sources import Base, packs_rows
from core.inference import base_checks
from core.jobs import turns
from core.runners import RUNNERS
from core.training import Hyperparameters, Settings

Unavailable = dict[str, dict[str, str]]


def unavailable() -> Unavailable:
    """Setting -> word -> why it cannot be chosen here. Where another runner is set up its machines may have
    what this one lacks, so nothing is."""
    problem = hardware.four_bits_problem()
    elsewhere = any(name != turns.HERE and runner.problem() is None for name, runner in RUNNERS.items())
    return {"tuning": {"qlora": f"QLoRA {problem}."}} if problem and not elsewhere else {}


def schema() -> dict[str, Any]:
    """The JSON schema of the settings, with the words that may be chosen here."""
    every = Hyperparameters.model_json_schema()
    for name, words in unavailable().items():
        for kind in every["properties"][name]["anyOf"]:
            if "enum" in kind:
                kind["enum"] = [word for word in kind["enum"] if word not in words]
    return every


def require_possible(settings: Settings, base: Base, *, runner: str) -> None:
    """Raises ValidationError for settings that cannot run there, or not on this base."""
    problem = hardware.four_bits_problem()
    if settings.tuning == "qlora" and runner == turns.HERE and problem:
        raise ValidationError.of("hyperparameters.tuning", f"QLoRA {problem}")
    if settings.packing and packs_rows(base.version_id) is False:
        raise ValidationError.of(
            "hyperparameters.packing", f"is not possible: {base.name} {base_checks.LEAKS}; turn it off"
        )
