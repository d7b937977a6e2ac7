"""What the model sees of the data before a start: any row as tokens, and all rows counted.

A child process answers with the code that trains (``process``). A row is answered at once. Totals are counted
in the background while somebody asks for them again and again: ``totals`` returns how far it is until it is
done, and counting stops when nobody asks any more. What was counted is kept in memory and in a small file, by
everything that changes it: version, base version, mapping, longest row and what the loss is on. Other
settings share it.
"""

from dataclasses import asdict, dataclass
from typing import Any

from core import models, storage
from core.fine_tuning import starting
from core.fine_tuning.before.process import shared
from core.fine_tuning.before.tasks import BackgroundTask, TaskProgress, kept, kept_rows, tasks
from core.fine_tuning.before.totals import Totals, key_of, known_of
from core.fine_tuning.sources import Base, Rows, Sources
from core.fine_tuning.starting import NewJob
from core.people.users import User
from core.training import Settings
from core.training.preview_rows import TokenPiece

Json = dict[str, Any]


@dataclass(frozen=True)
class Sequence:
    """``part``: "" for a whole row, "preferred" or "non_preferred".

    Counts are of all tokens, ``pieces`` may be the first ones.

    ``num_sequences``: how many training sequences it becomes; more than one for a long text, 0 when it trains
    nothing.
    """

    part: str
    text: str
    pieces: list[TokenPiece]
    num_tokens: int
    num_learned: int
    num_cut: int
    num_sequences: int


@dataclass(frozen=True)
class ShownRow:
    """``errors``: what is wrong with the row, {"field", "message"}; then it has no sequences.

    ``trains``: it is learned from.
    """

    line: int
    errors: list[dict[str, str]]
    trains: bool
    max_length: int
    sequences: list[Sequence]


@dataclass(frozen=True)
class Subject:
    """What is looked at: base, rows and settings of a request that need not be fit to start yet."""

    base: Base
    rows: Rows
    settings: Settings
    method: str

    def as_json(self) -> Json:
        return {
            "weights": models.location(self.base.version_id).as_json(),
            "rows": {
                "parquet": str(storage.parquet_path(self.rows.version_id)),
                "columns": self.rows.columns,
                "mapping": self.rows.mapping or None,
                "format": self.rows.format,
                "num_rows": self.rows.num_rows,
            },
            "settings": asdict(self.settings),
        }


def find(user: User, new: NewJob, found: Sources | None = None) -> Subject:
    """``found``: what ``starting.look_up`` has just found for this user and request, here and below.

    Raises NotFound, Conflict, ValidationError (the mapping). Wrong rows and too few rows are no hindrance.
    """
    base, rows, _ = found or starting.look_up(user, new.model_copy(update={"validation_dataset_id": None}))
    return Subject(base, rows, starting.resolve_for(new, base, rows.num_rows), new.method)


def row(user: User, new: NewJob, line: int) -> ShownRow:
    """Raises NotFound (also for a line that is not there), Conflict, ValidationError, Unavailable."""
    return _as_row(shared.ask({"op": "row", "line": line, **find(user, new).as_json()}))


def look(
    user: User, new: NewJob, line: int, found: Sources | None = None, *, wait: float = 2.0
) -> ShownRow | TaskProgress:
    """``row`` for a page, which must not hang while the process starts:
    after ``wait`` seconds it says so, and asks again."""
    subject = find(user, new, found)
    key = f"{_totals_key(subject)}/{line}"
    task = tasks.running(key)
    if (known := kept_rows.get(key)) is not None:
        return _as_row(known)
    task = task or tasks.begin(key, lambda task: kept_rows.put(key, _ask_row(task, subject, line)))
    task.wait(wait)
    progress = task.report()
    known = kept_rows.get(key)
    return _as_row(known) if known is not None else progress


def _ask_row(task: BackgroundTask, subject: Subject, line: int) -> Json:
    return shared.ask({"op": "row", "line": line, **subject.as_json()}, stop=task.is_over)


def _as_row(found: Json) -> ShownRow:
    sequences = [
        Sequence(**{**one, "pieces": [TokenPiece(**piece) for piece in one["pieces"]]})
        for one in found["sequences"]
    ]
    return ShownRow(**{**found, "sequences": sequences})


def totals(
    user: User, new: NewJob, found: Sources | None = None, *, wait: float = 0.0
) -> Totals | TaskProgress:
    """All rows, or how far the counting is after ``wait`` seconds; asking begins it.

    Raises as ``row`` does.
    """
    subject = find(user, new, found)
    if known := known_totals(subject):
        return known
    key = _totals_key(subject)
    task = tasks.running(key) or tasks.begin(
        key, lambda task: _count(task, subject, key), of=subject.rows.num_rows
    )
    task.wait(wait)
    return known_totals(subject) or task.report()


def known_totals(subject: Subject) -> Totals | None:
    """What was counted before."""
    return known_of(subject.base, subject.rows, subject.settings)


def cancel_totals(user: User, new: NewJob) -> None:
    """Stop counting, for everybody who watches. Nothing happens when nothing is counted."""
    tasks.cancel(_totals_key(find(user, new)))


def stop() -> None:
    """The server ends: so do the counting and the process."""
    tasks.cancel_all()
    shared.stop()


def _count(task: BackgroundTask, subject: Subject, key: str) -> None:
    answer = shared.ask({"op": "totals", **subject.as_json()}, on_progress=task.note, stop=task.is_over)
    kept.put(key, answer)


def _totals_key(subject: Subject) -> str:
    return key_of(subject.base, subject.rows, subject.settings)
