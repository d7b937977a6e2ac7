"""What a training method is, and what it is told and tells while it trains.

The worker hands ``core.training.run`` a method, a :class:`TrainingTask` and a :class:`Report`; it returns an
:class:`Outcome`, whose draft folder the worker publishes. Nothing below knows of jobs, rows of the database
or leases: it asks ``report.wish()`` once per step.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Protocol

from core.errors import Detail, LuthierError
from core.formats import Example
from core.training.settings import CommonSettings, OwnSetting
from core.weights import Weights

CANNOT_PACK = "cannot_pack"  # the code of a training that ended because packed rows would see each other
Rows = Iterable[tuple[int, Example | list[Detail]]]  # (line from 1, example or what is wrong with it)


class Wish(Enum):
    """Why a training should end before its last step."""

    STOP = "stop"  # the server stops: save, go on later
    PAUSE = "pause"  # the user pauses: save, go on when asked
    CANCEL = "cancel"  # the user gave up, or the job is somebody else's now: save nothing


class Interrupted(Exception):
    """The training ended early because of ``wish``;
    a checkpoint was written if there was anything to keep."""

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
    """One finished step.

    ``step`` counts from 1; losses are means over the tokens that are learned (pairs for preferences).
    """

    step: int
    epoch: float
    train_loss: float
    learning_rate: float
    grad_norm: float
    tokens: int  # all tokens read so far, padding not counted, earlier attempts included
    eta_seconds: float | None
    extra: Mapping[str, float] = field(default_factory=dict)  # further series of the method, by name


@dataclass(frozen=True)
class AnswerSample:
    """What the model answers at one step.

    ``kind`` fixed: a prompt that is asked every time; worst: a row it does badly on.
    """

    kind: Literal["fixed", "worst"]
    prompt: str
    answer: str
    expected: str | None = None
    line: int | None = None
    loss: float | None = None


@dataclass(frozen=True)
class RowLosses:
    """The latest loss of each row, for finding the hardest. Arrays of equal length."""

    split: Literal["train", "validation"]
    lines: Any  # int64: of the dataset, from 1
    losses: Any  # float32: mean over the row's learned tokens; NaN where it was not seen yet
    first: Any  # float32: the loss when it was seen first
    tokens: Any  # int32: learned tokens
    step: int


@dataclass(frozen=True)
class TrainingTask:
    """One training: where its files are and what it learns from."""

    weights: Weights  # what it starts from: a whole model, or an adapter over one
    folder: Path  # the job's own; checkpoints go below it
    draft: Path  # where the result is written; does not exist yet
    train: Callable[[], Rows]
    validation: Callable[[], Rows] | None
    validation_fraction: float
    settings_for: Callable[[int], CommonSettings]  # number of training examples -> settings
    seed: int
    threads: int
    sample_prompts: Sequence[str] = ()
    pinned: Callable[[], set[int]] = set  # steps of checkpoints that a person keeps
    checkpoint_seconds: float = 10.0


@dataclass(frozen=True)
class Outcome:
    """What a finished training leaves: a folder and the facts that go with the model.

    ``kind`` is full or adapter.
    """

    draft: Path
    kind: Literal["full", "adapter"]
    trained_tokens: int
    metrics: Mapping[str, Any] = field(default_factory=dict)
    chat_template: Sequence[Mapping[str, str]] = ()  # what people should know of it: kind, level, message


class Report(Protocol):
    """How a training reports to whoever started it. Cheap enough to be called every step."""

    def event(self, message: str, *, level: str = "info", data: Mapping[str, Any] | None = None) -> None:
        """Something a person wants to read."""

    def alert(self, kind: str, message: str) -> None:
        """Something the owner should be told even when nobody watches: nan, diverged."""

    def planned(self, settings: CommonSettings, *, total_steps: int, start_step: int) -> None:
        """The data is read: so many steps lie ahead, the first ``start_step`` of them were done before."""

    def step(self, facts: Step) -> None: ...

    def validated(self, step: int, loss: float, extra: Mapping[str, float]) -> None: ...

    def sampled(self, step: int, samples: Sequence[AnswerSample]) -> None: ...

    def rows(self, losses: RowLosses) -> None:
        """The losses by row so far. Written to a file, whole."""

    def settle(self) -> None:
        """Store what was reported so far: a checkpoint is about
        to make it happened, and nobody will report it again."""

    def checkpointed(
        self, step: int, *, size_bytes: int, metrics: Mapping[str, float], kept: Iterable[int]
    ) -> None:
        """A checkpoint is on disk; only the steps in ``kept`` still are."""

    def wish(self) -> Wish | None:
        """Whether to end now."""


class Silent:
    """The report of a process that only computes: the first one tells."""

    def event(self, message: str, *, level: str = "info", data: Mapping[str, Any] | None = None) -> None: ...
    def alert(self, kind: str, message: str) -> None: ...
    def planned(self, settings: CommonSettings, *, total_steps: int, start_step: int) -> None: ...
    def step(self, facts: Step) -> None: ...
    def validated(self, step: int, loss: float, extra: Mapping[str, float]) -> None: ...
    def sampled(self, step: int, samples: Sequence[AnswerSample]) -> None: ...
    def rows(self, losses: RowLosses) -> None: ...
    def settle(self) -> None: ...
    def checkpointed(
        self, step: int, *, size_bytes: int, metrics: Mapping[str, float], kept: Iterable[int]
    ) -> None: ...

    def wish(self) -> Wish | None:
        return None


@dataclass(frozen=True)
class Series:
    """A number that a method reports at each step beside the loss, which the monitor draws over the steps.

    ``name`` is one of the objective's ``sum_names``; ``format``: how its values are written, in d3's words.
    """

    name: str
    title: str
    format: str = ".3f"


@dataclass(frozen=True)
class Method:
    """One way to train: all that sets it apart from the others. What has a default need not be said."""

    name: str
    title: str
    help: str
    formats: tuple[str, ...]  # of datasets that it learns from
    # makes the core.training.objective.Objective that is minimised; called only where torch may be loaded
    objective: Callable[[CommonSettings], Any]
    likely_for: tuple[str, ...] = ()  # formats for which it is suggested before others that learn from them
    settings: tuple[OwnSetting, ...] = ()  # that only it has
    fixed: Mapping[str, Any] = field(
        default_factory=dict
    )  # common settings that it decides, so none is asked
    auto_epochs: Callable[[int], int] | None = None  # rows to learn -> automatic epochs; None: as in resolve
    learning_rate_divisor: float = 1.0  # the automatic learning rate is divided by it
    sequences_per_row: int = 1  # of a row that are in memory at a time
    compares_with_start: bool = False  # its loss needs the model as it was before the training
    gives_answers: bool = False  # an evaluation asks the questions of its rows and compares the answers
    series: tuple[Series, ...] = ()  # what it reports while it trains
    # what an evaluation says of numbers that the objective measures: (name, words with {} for the number)
    measured: tuple[tuple[str, str], ...] = ()
    asks_in_chat: bool = True  # a sample prompt is a user's message; False: the model goes on writing it
