"""What a sweep tries: settings and their values or ranges,
and the combinations that a grid or a random search makes of them.

Pure arithmetic. A value is checked by the same model that checks a job's settings, so a sweep can try nothing
that a job may not.
"""

import itertools
import math
import random
from collections.abc import Mapping
from typing import Any, Literal

import pydantic
from pydantic import Field, model_validator

from core.errors import Detail, ValidationError
from core.fields import Input, details_of, properties_of
from core.training import Hyperparameters

MAX_JOBS = 50
DEFAULT_JOBS = 10  # of a random search
MAX_VALUES = 50
SEED = "seed"  # the one thing beside the settings that may vary
TRIES_PER_JOB = 50  # before a random search takes a small space for exhausted
SHORT = {
    "learning_rate": "lr",
    "learning_rate_multiplier": "lr-x",
    "batch_size": "batch",
    "n_epochs": "epochs",
    "lora_rank": "rank",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "gradient_accumulation": "accumulate",
    "warmup_share": "warmup",
    "weight_decay": "decay",
    "max_grad_norm": "clip",
    "adam_beta1": "beta1",
    "adam_beta2": "beta2",
    "adam_epsilon": "eps",
    "tuning": "",
    "schedule": "",
    "precision": "",
}  # how a setting is called in a job's name; others go by their own name
Values = dict[str, Any]


class Range(Input):
    """Numbers between two ends, for a random search.

    ``scale`` log: every factor is as likely, as for learning rates.
    """

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _ends_are_ordered(self) -> "Range":
        if self.low >= self.high:
            raise ValueError("low must be less than high")
        if self.scale == "log" and self.low <= 0:
            raise ValueError("low must be more than 0 on a log scale")
        return self


Space = dict[str, list[Any] | Range]


class Search(Input):
    """``space``: a list of values or a range per setting; ``seed`` is that of the random search."""

    space: Space = Field(
        max_length=10,
        description="Setting -> values, or a range with low, high and scale for a random search.",
    )
    kind: Literal["grid", "random"] = "grid"
    count: int | None = Field(
        None, ge=1, le=MAX_JOBS, title="Jobs", description="How many a random search starts. Default: 10."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, title="Seed of the search")


def draw(search: Search) -> list[Values]:
    """The settings of each job, no two alike. Raises ValidationError about what cannot be tried."""
    require_sound(search.space, kind=search.kind)
    if search.kind == "grid":
        values = {
            name: list({repr(choice): choice for choice in choices}.values())  # without repeats
            for name, choices in search.space.items()
            if isinstance(choices, list)
        }
        number = math.prod(map(len, values.values()))
        if number > MAX_JOBS:
            raise ValidationError.of(
                "space", f"that would be {number:,} jobs, at most {MAX_JOBS}; try fewer values or at random"
            )
        return [
            dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())
        ]
    return _draw(search.space, count=search.count or DEFAULT_JOBS, seed=search.seed)


def require_sound(space: Space, *, kind: str) -> None:
    """Raises ValidationError with a detail per wrong setting, value or range."""
    if not space:
        raise ValidationError.of("space", "name at least one setting to vary")
    details = [detail for name, choices in space.items() for detail in _faults(name, choices, kind)]
    if details:
        raise ValidationError(details=details)


def name_of(base: str, values: Values, *, longest: int = 100) -> str:
    """``helpdesk-lr-0.001-batch-8``: the base is cut, what differs is not."""
    suffix = "-".join(
        part for name, value in values.items() for part in (SHORT.get(name, name), _write(value)) if part
    )[:80]
    return f"{base[: longest - len(suffix) - 1]}-{suffix}"


def is_whole(name: str) -> bool:
    """Whether a setting is a whole number, so that a range gives whole numbers."""
    return name == SEED or "integer" in _kinds(name)


def is_number(name: str) -> bool:
    return name == SEED or bool({"integer", "number"} & _kinds(name))


def _kinds(name: str) -> set[str]:
    field = properties_of(Hyperparameters).get(name, {})
    return {str(kind.get("type")) for kind in field.get("anyOf", [field])}


def _faults(name: str, choices: list[Any] | Range, kind: str) -> list[Detail]:
    field = f"space.{name}"
    if name != SEED and name not in Hyperparameters.model_fields:
        return [Detail(field, "is no setting of a training")]
    if isinstance(choices, Range):
        if kind == "grid":
            return [Detail(field, "a grid takes a list of values; a range needs a random search")]
        if not is_number(name):
            return [Detail(field, "is no number: give a list of values")]
        return [
            Detail(field, fault)
            for end in (choices.low, choices.high)
            if (fault := _fault(name, _fit(name, end)))
        ][:1]
    if not choices or len(choices) > MAX_VALUES:
        return [Detail(field, f"give 1 to {MAX_VALUES} values")]
    messages = [(index, _fault(name, value)) for index, value in enumerate(choices)]
    return [Detail(f"{field}[{index}]", message) for index, message in messages if message]


def _fault(name: str, value: Any) -> str | None:
    """What is wrong with one value, None when a job may have it."""
    if name == SEED:
        fine = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
        return None if fine else "must be a whole number from 0 to 2147483647"
    try:
        Hyperparameters.model_validate({name: value})
    except pydantic.ValidationError as error:
        return details_of(error.errors(include_url=False, include_input=False))[0].message
    return None


def _draw(space: Space, *, count: int, seed: int) -> list[Values]:
    dice = random.Random(seed)
    combinations: dict[str, Values] = {}
    for _ in range(count * TRIES_PER_JOB):
        values = {name: _draw_one(name, choices, dice) for name, choices in space.items()}
        combinations.setdefault(repr(values), values)
        if len(combinations) == count:
            break
    return list(combinations.values())


def _draw_one(name: str, choices: list[Any] | Range, dice: random.Random) -> Any:
    if isinstance(choices, list):
        return dice.choice(choices)
    if choices.scale == "log":
        drawn = math.exp(dice.uniform(math.log(choices.low), math.log(choices.high)))
    else:
        drawn = dice.uniform(choices.low, choices.high)
    return _fit(name, min(max(float(f"{drawn:.3g}"), choices.low), choices.high))


def _fit(name: str, number: float) -> float | int:
    return round(number) if is_whole(name) else number


def _write(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def shown(values: Mapping[str, Any]) -> str:
    """The same for people: ``learning rate 0.001, batch size 8, lora``."""
    return ", ".join(f"{_called(name)} {_write(value)}".strip() for name, value in values.items())


def _called(name: str) -> str:
    """Nothing where the value needs no explanation."""
    field = Hyperparameters.model_fields.get(name)
    return "" if SHORT.get(name) == "" else ((field.title if field else None) or name).lower()
