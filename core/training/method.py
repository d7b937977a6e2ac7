"""What a training method is, and what it is told and tells while it trains.

The worker hands a method a :class:`Task` and a :class:`Report`; the method returns an :class:`Outcome`, whose draft folder the
worker publishes. A method knows nothing of jobs, rows of the database or leases: it asks ``report.wish()`` once per step.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Protocol

from core.errors import Detail, LuthierError
from core.formats import Example
from core.training.hyperparameters import Settings

Rows = Iterable[tuple[int, Example | list[Detail]]]  # (line from 1, example or what is wrong with it)


class Wish(Enum):
    """Why a training should end before its last step."""

    STOP = "stop"  # the server stops: save, go on later
    PAUSE = "pause"  # the user pauses: save, go on when asked
    CANCEL = "cancel"  # the user gave up, or the job is somebody else's now: save nothing


class Interrupted(Exception):
    """The training ended early because of ``wish``; a checkpoint was written if there was anything to keep."""

    def __init__(self, wish: Wish, step: int) -> None:
        super().__init__(f"{wish.value} at step {step}")
        self.wish, self.step = wish, step


class TrainingFailed(LuthierError):
    """The training could not go on."""

    code = "training_failed"

    def __init__(self, message: str, *, code: str = "training_failed", line: int | None = None) -> None:
        super().__init__(message)
        self.code, self.line = code, line


@dataclass(frozen=True)
class Step:
    """One finished step. ``step`` counts from 1; losses are means over the tokens that are learned."""

    step: int
    epoch: float
    train_loss: float
    learning_rate: float
    grad_norm: float
    tokens: int  # all tokens read so far, padding not counted, earlier attempts included
    eta_seconds: float | None


@dataclass(frozen=True)
class Task:
    """One training: where its files are and what it learns from."""

    base: Path  # folder of a Hugging Face causal language model
    folder: Path  # the job's own; checkpoints go below it
    draft: Path  # where the result is written; does not exist yet
    train: Callable[[], Rows]
    validation: Callable[[], Rows] | None
    validation_fraction: float
    settings_for: Callable[[int], Settings]  # number of training examples -> settings
    seed: int
    threads: int
    checkpoint_seconds: float = 10.0


@dataclass(frozen=True)
class Outcome:
    """What a finished training leaves: a folder and the facts that go with the model. ``kind`` is full or adapter."""

    draft: Path
    kind: Literal["full", "adapter"]
    trained_tokens: int
    metrics: Mapping[str, Any] = field(default_factory=dict)


class Report(Protocol):
    """How a method speaks to whoever started it. Cheap enough to be called every step."""

    def event(self, message: str, *, level: str = "info", data: Mapping[str, Any] | None = None) -> None:
        """Something a person wants to read."""

    def planned(self, settings: Settings, *, total_steps: int, start_step: int) -> None:
        """The data is read: so many steps lie ahead, the first ``start_step`` of them were done before."""

    def step(self, facts: Step) -> None: ...

    def validated(self, step: int, loss: float) -> None: ...

    def settle(self) -> None:
        """Store what was reported so far: a checkpoint is about to make it happened, and nobody will report it again."""

    def checkpointed(self, step: int, *, size_bytes: int, metrics: Mapping[str, float], kept: Iterable[int]) -> None:
        """A checkpoint is on disk; only the steps in ``kept`` still are."""

    def wish(self) -> Wish | None:
        """Whether to end now."""


@dataclass(frozen=True)
class Method:
    """One way to train. ``formats`` names the dataset formats that it learns from."""

    name: str
    title: str
    help: str
    formats: tuple[str, ...]
    train: Callable[[Task, Report], Outcome]
