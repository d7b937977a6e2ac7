"""Pure functions of the step: the learning rate, when to validate, how long is left."""

import math

FLOOR = 0.05  # share of the peak that is left at the end of a cosine or linear fall
VALIDATIONS = 30  # at most about this many per training
ROUNDS_OF_SAMPLES = 8


def learning_rate(step: int, *, total: int, peak: float, warmup_share: float, shape: str = "cosine") -> float:
    """Linear warm-up, then a fall down to ``FLOOR`` (cosine, linear) or none (constant).

    ``step`` counts from 0.
    """
    warmup = max(1, round(warmup_share * total))
    rise = min(1.0, (step + 1) / warmup) if warmup_share else 1.0
    done = step / max(1, total)
    left = {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}[shape]
    return peak * rise * (FLOOR + (1 - FLOOR) * left)


def evaluation_interval(*, total: int, steps_per_epoch: int) -> int:
    """Each epoch, but not too often."""
    return max(1, min(total, max(steps_per_epoch, math.ceil(total / VALIDATIONS))))


def sample_interval(*, total: int, evaluate_every: int) -> int:
    """With an evaluation, a few times per training."""
    return evaluate_every * max(1, math.ceil(total / ROUNDS_OF_SAMPLES / evaluate_every))


def is_due(step: int, *, every: int | None, total: int) -> bool:
    """Whether something that happens every so many steps,
    and at the end, happens after ``step`` steps. 0 and None: never."""
    return bool(every) and (step == total or step % int(every or 1) == 0)


def eta_seconds(step: int, *, total: int, start: int, elapsed: float) -> float | None:
    """Seconds left, from the pace since step ``start``, validation and checkpoints included.

    None before a step has followed it.
    """
    done = step - start
    return (total - step) * elapsed / done if done >= 1 and elapsed > 0 else None
