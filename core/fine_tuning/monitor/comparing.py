"""Several runs side by side: their curves over steps, tokens
or time, the settings in which they differ, what came out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from core.db import reading
from core.errors import ValidationError
from core.fine_tuning.monitor import series
from core.fine_tuning.owned import find
from core.fine_tuning.values import Job, present
from core.people.users import User
from core.tables import DatasetRow, DatasetVersionRow, ModelRow
from core.training import METHODS

MOST = 10
MAX_POINTS = 600
Axis = Literal["step", "tokens", "seconds"]
AXES: Mapping[str, str] = {"tokens": "trained_tokens", "seconds": "elapsed_seconds"}
Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class Setting:
    """One setting of all runs, in their order. ``differs``: not all have the same value."""

    name: str
    values: list[Any]
    differs: bool


@dataclass(frozen=True)
class RunOutcome:
    """What one run came to. ``seconds``: worked on, all attempts together."""

    job_id: str
    status: str
    best_loss: float | None
    best_step: int | None
    valid_loss: float | None
    train_loss: float | None
    steps: int
    trained_tokens: int | None
    tokens_per_second: float | None
    seconds: float | None


@dataclass(frozen=True)
class Comparison:
    """``curves``: job id -> series -> points of (step, tokens or seconds; value)."""

    jobs: list[Job]
    settings: list[Setting]
    outcomes: list[RunOutcome]
    curves: dict[str, dict[str, Curve]]


def compare(
    user: User, job_ids: Sequence[str], *, by: Axis = "step", max_points: int = MAX_POINTS
) -> Comparison:
    """Up to ``MOST`` runs, in the order given, each once.

    Raises NotFound when one is missing, ValidationError for too many.
    """
    ids = list(dict.fromkeys(job_ids))
    if len(ids) > MOST:
        raise ValidationError.of("ids", f"at most {MOST} runs can be compared; leave some out")
    with reading() as session:
        rows = [find(session, user, job_id) for job_id in ids]
        jobs = [present(session, row) for row in rows]
        facts = [_settings_of(session, job) for job in jobs]
        outcomes = [_outcome(job, row.trained_tokens) for job, row in zip(jobs, rows, strict=True)]
    curves = {job.id: _over(series.metrics(user, job.id, max_points=max_points).series, by) for job in jobs}
    return Comparison(jobs, _table(facts), outcomes, curves)


def _settings_of(session: Any, job: Job) -> dict[str, Any]:
    """Where it comes from and how it was run; what the worker resolved wins over ``auto``."""
    version = session.get(DatasetVersionRow, job.dataset_version_id) if job.dataset_version_id else None
    dataset = session.get(DatasetRow, version.dataset_id) if version else None
    base = session.get(ModelRow, job.base_model_id) if job.base_model_id else None
    return {
        "method": METHODS[job.method].title if job.method in METHODS else job.method,
        "base_model": base.name if base else None,
        "dataset": f"{dataset.name} v{version.number}" if version and dataset else None,
        "validation_fraction": job.validation_fraction,
        "seed": job.seed,
        **job.asked,
        **job.resolved,
    }


def _table(facts: Sequence[dict[str, Any]]) -> list[Setting]:
    names = dict.fromkeys(name for job_facts in facts for name in job_facts)
    settings = []
    for name in names:
        values = [job_facts.get(name) for job_facts in facts]
        settings.append(Setting(name, values, any(value != values[0] for value in values[1:])))
    return settings


def _outcome(job: Job, trained_tokens: int) -> RunOutcome:
    return RunOutcome(
        job_id=job.id,
        status=job.status,
        best_loss=job.best_loss,
        best_step=job.best_step,
        valid_loss=job.valid_loss,
        train_loss=job.train_loss,
        steps=job.step,
        trained_tokens=trained_tokens or None,
        tokens_per_second=job.tokens_per_second,
        seconds=job.elapsed_seconds,
    )


def _over(found: Mapping[str, Sequence[tuple[int, float]]], by: Axis) -> dict[str, Curve]:
    """The curves over another axis, whose value at each step is interpolated;
    empty when it was never measured."""
    if by == "step":
        return {name: [(float(step), value) for step, value in points] for name, points in found.items()}
    axis = found.get(AXES[by]) or []
    if not axis:
        return {}
    steps, places = np.array([0, *(s for s, _ in axis)]), np.array([0.0, *(v for _, v in axis)])
    curves: dict[str, Curve] = {}
    for name, points in found.items():
        at = np.interp([step for step, _ in points], steps, places)
        curves[name] = [(float(x), value) for x, (_, value) in zip(at, points, strict=True)]
    return curves
