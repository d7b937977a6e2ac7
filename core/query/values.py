"""What a query is asked with and what it is answered with."""

from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pyarrow as pa
from pydantic import Field

from core.fields import Input, Note500
from core.sql_sandbox.gate import MAX_CHARACTERS

MAX_ROWS = 10_000
MAX_ARROW_ROWS = 1_000_000


class NewQuery(Input):
    """One question. ``limit`` cuts the answer, it does not change the query."""

    sql: str = Field(
        min_length=1, max_length=MAX_CHARACTERS, description="One SELECT, DESCRIBE or SUMMARIZE."
    )
    limit: int = Field(1_000, ge=1, le=MAX_ROWS, description="Rows to answer at most.")
    parameters: list[Any] | dict[str, Any] | None = Field(
        None, description="Values for ? and $1, or for $name."
    )


class NewArrowQuery(NewQuery):
    """A question whose answer is an Arrow stream, which may be a hundred times longer."""

    limit: int = Field(
        1_000,
        ge=1,
        le=MAX_ARROW_ROWS,
        description="Rows to answer at most: 10,000 as JSON, 1,000,000 as an Arrow stream.",
    )


class SavedQuery(Input):
    """A result to keep: as the first version of a new dataset, or as the next version of one."""

    sql: str = Field(min_length=1, max_length=MAX_CHARACTERS)
    name: str | None = Field(None, min_length=1, max_length=200)
    dataset_id: str | None = None
    note: Note500 = ""


@dataclass(frozen=True)
class QueryResult:
    """An answer.

    ``columns``: {"name", "type"} as DuckDB calls it; ``rows``: what JSON can hold; ``truncated``: there is
    more.

    ``elapsed_ms`` is everything but the wait for a place, which is ``queue_ms``. ``bytes_scanned`` were read
    from the files of the tables, ``rows_scanned`` were looked at in them (of a table that was not read to its
    end: about). ``dataset_ids``: whose tables were read.
    """

    table: pa.Table = field(repr=False)  # the same rows as Arrow, with their real types
    columns: list[dict[str, str]]
    rows: list[list[Any]]
    row_count: int
    truncated: bool
    elapsed_ms: int
    queue_ms: int = 0
    bytes_scanned: int = 0
    rows_scanned: int = 0
    dataset_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class ArrowResult:
    """An answer as an Arrow IPC stream in an open file
    that has no name any more (where the system allows that).

    Whoever gets it reads and closes ``stream``; nothing else is left of the query.
    """

    stream: BinaryIO
    size_bytes: int
    row_count: int
    truncated: bool
    elapsed_ms: int
    queue_ms: int = 0


@dataclass(frozen=True)
class Operator:
    """One step of a plan.

    ``seconds``: of all its threads; ``share``: of the time of all steps, 0 to 1; ``details``: key, text.
    """

    name: str
    rows: int
    estimate: int | None
    seconds: float
    share: float
    details: tuple[tuple[str, str], ...] = ()
    children: tuple["Operator", ...] = ()


@dataclass(frozen=True)
class QueryPlan:
    """How a query was run.

    ``operators`` are the topmost steps, none where DuckDB knew the answer without any.
    """

    operators: tuple[Operator, ...]
    elapsed_ms: int
    queue_ms: int
    bytes_scanned: int
    rows_scanned: int

    @property
    def text(self) -> str:
        """The plan as indented lines, to be copied."""
        head = f"{self.elapsed_ms:,} ms, {self.bytes_scanned:,} bytes and {self.rows_scanned:,} rows scanned"
        return "\n".join([head, *(line for step in self.operators for line in _lines(step, depth=0))])


@dataclass(frozen=True)
class QueryTable:
    """A table that SQL can name; ``name`` is as it has to be written, with quotes where they are needed."""

    name: str
    dataset_id: str
    columns: list[dict[str, str]] = field(default_factory=list)
    num_rows: int = 0


def _lines(step: Operator, *, depth: int) -> list[str]:
    details = "; ".join(f"{key.lower()}: {text}" for key, text in step.details)
    line = f"{'  ' * depth}{step.name}  {step.rows:,} rows  {step.seconds * 1000:,.1f} ms ({step.share:.0%})"
    return [
        line + (f"  {details}" if details else ""),
        *(x for child in step.children for x in _lines(child, depth=depth + 1)),
    ]
