"""The settings of a training with every ``auto`` decided, and how many steps they make.

``CommonSettings`` has what every method has. What a method adds is an :class:`OwnSetting` in that method's
file; ``core.training.hyperparameters`` puts both together.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

Auto = Literal["auto"]
# What AdamW begins with: the second beta is below the usual 0.999, since a fine-tuning has few steps
ADAM_BETA1, ADAM_BETA2, ADAM_EPSILON = 0.9, 0.99, 1e-8


@dataclass(frozen=True)
class OwnSetting:
    """A setting that one method has and the others have not.

    ``kind``: the type of its values, with its limits. ``automatic``: what ``auto`` becomes. ``basic``: it is
    shown above the settings that are folded away.
    """

    name: str
    kind: Any
    automatic: Any
    title: str
    help: str
    section: str
    basic: bool = False


def setting_field(title: str, help: str, section: str, *, basic: bool = False) -> Any:
    """A setting that may stay ``auto``."""
    extra: dict[str, Any] = {"section": section, "advanced": not basic, "methods": []}
    return Field("auto", title=title, description=help, json_schema_extra=extra)


def rows_per_step(batch_size: int, gradient_accumulation: int, num_processes: int) -> int:
    """Rows, or packed sequences, that one step learns from: each process takes its own batches of it."""
    return batch_size * gradient_accumulation * num_processes


@dataclass(frozen=True)
class CommonSettings:
    """Hyperparameters with every ``auto`` decided. None: no limit, or decided once the rows are read."""

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
    max_steps: int | None = None
    early_stopping: int = 0
    lora_dropout: float = 0.0
    lora_targets: str | None = None
    loss_on: str = "answers"
    packing: bool = False
    gradient_accumulation: int = 1
    schedule: str = "cosine"
    max_grad_norm: float = 1.0
    adam_beta1: float = ADAM_BETA1
    adam_beta2: float = ADAM_BETA2
    adam_epsilon: float = ADAM_EPSILON
    precision: str = "float32"
    gradient_checkpointing: bool = False
    evaluate_every: int | None = None
    samples_every: int | None = None
    keep: str = "last"

    def own(self, name: str) -> Any:
        """A setting that only the method of this training has; None where it was not decided."""
        return getattr(self, name, None)

    def rows_per_step(self, num_processes: int = 1) -> int:
        """What one step learns from, over all processes."""
        return rows_per_step(self.batch_size, self.gradient_accumulation, num_processes)

    def steps_per_epoch(self, num_rows: int, *, num_processes: int = 1) -> int:
        """Steps in which every row is learned once; the last one may have fewer rows.

        ``num_rows``: rows to learn, without those kept for validation; of packed rows, the sequences.
        """
        return math.ceil(num_rows / self.rows_per_step(num_processes))

    def total_steps(self, num_rows: int, *, num_processes: int = 1) -> int:
        """Of the whole training, unless it ends early. ``num_rows`` as in ``steps_per_epoch``."""
        steps = self.n_epochs * self.steps_per_epoch(num_rows, num_processes=num_processes)
        return min(steps, self.max_steps) if self.max_steps else steps
