"""Pure functions of the step: the learning rate, when to validate, how long is left."""

import math

FLOOR = 0.05  # share of the peak that is left at the end
VALIDATIONS = 30  # at most about this many per training


def learning_rate(step: int, *, total: int, peak: float, warmup_share: float) -> float:
    """Linear warm-up, then a cosine down to ``FLOOR``. ``step`` counts from 0."""
    warmup = max(1, round(warmup_share * total))
    rise = min(1.0, (step + 1) / warmup)
    return peak * rise * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * step / max(1, total))))


def validates_at(step: int, *, total: int, steps_per_epoch: int) -> bool:
    """Whether to validate after ``step`` steps: each epoch, not too often, and at the end."""
    every = max(steps_per_epoch, math.ceil(total / VALIDATIONS))
    return step == total or step % every == 0


def eta_seconds(step: int, *, total: int, start: int, elapsed: float) -> float | None:
    """Seconds left, from the pace of this attempt (validation and checkpoints included). None before the second step."""
    done = step - start
    return (total - step) * elapsed / done if done >= 1 and elapsed > 0 else None
