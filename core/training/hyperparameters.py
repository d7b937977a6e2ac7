"""The settings of a training: what a person may choose, and what ``auto`` becomes.

The form and the API schema are made from :class:`Hyperparameters`; every field carries its own help. ``resolve`` is a pure function
of what was asked, the size of the data and the size of the model, so the plan shown before the start is what the worker runs.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from pydantic.config import JsonDict

from core.fields import Input

Auto = Literal["auto"]
FULL_UP_TO_PARAMETERS = 100_000_000  # below it all weights fit a laptop's memory with their optimizer
MAX_EPOCHS = 50
ADVANCED: JsonDict = {"advanced": True}  # a form folds these away


class Hyperparameters(Input):
    """How to train. ``auto`` is a good choice everywhere."""

    n_epochs: Annotated[int, Field(ge=1, le=MAX_EPOCHS)] | Auto = Field(
        "auto", title="Epochs", description="How often the model sees every row. Auto: more for fewer rows."
    )
    batch_size: Annotated[int, Field(ge=1, le=256)] | Auto = Field(
        "auto",
        title="Batch size",
        description="Rows per step. Larger is steadier and needs more memory. Auto: from the rows.",
        json_schema_extra=ADVANCED,
    )
    learning_rate_multiplier: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] | Auto = Field(
        "auto", title="Learning rate multiplier", description="Scales the automatic learning rate; below 1 is gentler."
    )
    learning_rate: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | Auto = Field(
        "auto",
        title="Learning rate",
        description="The peak learning rate itself. Auto: from the size of the model.",
        json_schema_extra=ADVANCED,
    )
    tuning: Literal["full", "lora"] | Auto = Field(
        "auto",
        title="What is tuned",
        description="Full: all weights, learns most. LoRA: a small adapter, needs less memory. Auto: full for small models.",
    )
    lora_rank: Annotated[int, Field(ge=1, le=256)] | Auto = Field(
        "auto",
        title="LoRA rank",
        description="Size of the adapter; only with LoRA. Auto: 16.",
        json_schema_extra=ADVANCED,
    )
    lora_alpha: Annotated[int, Field(ge=1, le=1024)] | Auto = Field(
        "auto",
        title="LoRA alpha",
        description="Strength of the adapter; only with LoRA. Auto: twice the rank.",
        json_schema_extra=ADVANCED,
    )
    max_length: Annotated[int, Field(ge=16, le=131072)] | Auto = Field(
        "auto",
        title="Longest row",
        description="Rows longer than this many tokens are cut. Auto: what the model can read.",
        json_schema_extra=ADVANCED,
    )


@dataclass(frozen=True)
class Settings:
    """Hyperparameters with every ``auto`` decided."""

    n_epochs: int
    batch_size: int
    learning_rate: float
    learning_rate_multiplier: float
    tuning: str
    lora_rank: int | None
    lora_alpha: int | None
    max_length: int
    warmup_share: float = 0.05
    weight_decay: float = 0.0

    def total_steps(self, num_examples: int) -> int:
        return self.n_epochs * math.ceil(num_examples / self.batch_size)


def resolve(asked: Hyperparameters, *, num_examples: int, num_parameters: int, context_length: int) -> Settings:
    """Decide every ``auto`` for this much data and this model."""
    batch_size = _auto_batch_size(num_examples) if asked.batch_size == "auto" else asked.batch_size
    tuning = _auto_tuning(num_parameters) if asked.tuning == "auto" else asked.tuning
    rank = (16 if asked.lora_rank == "auto" else asked.lora_rank) if tuning == "lora" else None
    alpha = (2 * rank if asked.lora_alpha == "auto" else asked.lora_alpha) if rank else None
    multiplier = 1.0 if asked.learning_rate_multiplier == "auto" else asked.learning_rate_multiplier
    base_rate = _auto_learning_rate(num_parameters, tuning) if asked.learning_rate == "auto" else asked.learning_rate
    return Settings(
        n_epochs=_auto_epochs(num_examples, batch_size, tuning) if asked.n_epochs == "auto" else asked.n_epochs,
        batch_size=batch_size,
        learning_rate=base_rate * multiplier,
        learning_rate_multiplier=multiplier,
        tuning=tuning,
        lora_rank=rank,
        lora_alpha=alpha,
        max_length=min(context_length, 2048 if asked.max_length == "auto" else asked.max_length),
    )


def _auto_batch_size(num_examples: int) -> int:
    return 4 if num_examples <= 100 else 8 if num_examples <= 2000 else 16


def _auto_epochs(num_examples: int, batch_size: int, tuning: str) -> int:
    """Enough steps to learn a small table by heart, few passes where there is much to read.

    Measured on the starter and 72 rows in batches of 4: all weights know every answer after 216 steps, LoRA all of them after 900.
    """
    wanted_steps = 1000 if tuning == "lora" else 300
    fewest = 3 if num_examples <= 20_000 else 1
    return max(fewest, min(MAX_EPOCHS, math.ceil(wanted_steps * batch_size / max(1, num_examples))))


def _auto_tuning(num_parameters: int) -> str:
    return "full" if num_parameters <= FULL_UP_TO_PARAMETERS else "lora"


def _auto_learning_rate(num_parameters: int, tuning: str) -> float:
    """2.5e-3 at a million parameters (measured), falling with the square root of the size; LoRA bears twice as much."""
    full = min(3e-3, max(1e-5, 2.5e-3 * math.sqrt(1.3e6 / max(1, num_parameters))))
    return 2 * full if tuning == "lora" else full
