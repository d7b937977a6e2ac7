"""What a check is given and what it answers.

A check watches one column: ``look`` at batch after batch of its different texts, then ``findings``. It counts
rows, not occurrences, keeps the first ``MAX_LINES`` row numbers, and shows a few examples in which no
personal data is whole.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

MAX_LINES = 1000
MAX_EXAMPLES = 4
MAX_EXAMPLE = 120
Severity = Literal["info", "warn", "bad"]
Lines = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Finding:
    """Something about a column, or about whole rows where ``column`` is None.

    ``lines`` are row numbers from 1, the first thousand; ``share`` is of the rows that were looked at.
    ``kind`` is the check's name, ``key`` names this finding among all of a version.
    """

    key: str
    kind: str
    title: str
    severity: Severity
    column: str | None
    num_rows: int
    share: float
    examples: list[str]
    lines: list[int]
    help: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class QualityColumn:
    """What a check may know of its column beforehand.

    ``is_plain``: its cells are texts, not structures that hold texts.
    """

    number: int
    name: str
    type: str
    is_plain: bool = True
    profile: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TextBatch:
    """The texts of one column in some rows: each different one once. ``at`` says for every text of a row
    which one it is, ``lines`` in which row it stands."""

    values: pa.Array
    at: NDArray[np.int64]
    lines: Lines

    def lines_of(self, mask: Mask) -> Lines:
        """The rows that hold one of the texts chosen by ``mask`` (one truth value per different text)."""
        return np.unique(self.lines[mask[self.at]])

    def counts(self) -> NDArray[np.int64]:
        """How often each different text occurs."""
        return np.bincount(self.at, minlength=len(self.values))


class Watcher(Protocol):
    """A check at work on one column."""

    def look(self, batch: TextBatch) -> None: ...

    def findings(self, num_rows: int) -> Iterator[Finding]: ...


Check = Callable[[QualityColumn], Watcher | None]  # None: this check has nothing to do with such a column


@dataclass
class Tally:
    """Rows counted, the first of their numbers, and examples."""

    num_rows: int = 0
    lines: list[int] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    def add(self, lines: Lines, examples: Sequence[str] = ()) -> None:
        self.num_rows += len(lines)
        self.lines += lines[: MAX_LINES - len(self.lines)].tolist()
        for example in examples:
            if len(self.examples) < MAX_EXAMPLES and example not in self.examples:
                self.examples.append(example)


def cut(text: str) -> str:
    """One line, not too long."""
    line = " ".join(text[: 4 * MAX_EXAMPLE].split())
    return line if len(line) <= MAX_EXAMPLE else line[: MAX_EXAMPLE - 1] + "…"


def found(
    kind: str,
    column: QualityColumn | None,
    tally: Tally,
    *,
    title: str,
    severity: Severity,
    help: str,
    num_rows: int,
    examples: Sequence[str] | None = None,
) -> Finding:
    """A finding of what was tallied; ``num_rows`` is how many rows were looked at."""
    return Finding(
        key=kind if column is None else f"{kind}.{column.number}",
        kind=kind,
        title=title,
        severity=severity,
        column=None if column is None else column.name,
        num_rows=tally.num_rows,
        share=tally.num_rows / max(num_rows, 1),
        examples=list(tally.examples if examples is None else examples),
        lines=tally.lines,
        help=help,
    )
