"""What a reader is given, what it answers, and the few things all of them share.

A reader turns one plain file into one Parquet through the given DuckDB connection, or raises
``UnreadableFile`` with a sentence that says what is wrong and where. It never drops a row silently: with
``skip_bad_rows`` what it leaves out is counted and listed. Decompression happened before (``unpack``),
publishing comes after (``core.ingest``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb

from core import sql_types
from core.errors import DiskFull, UnreadableFile, ValidationError, is_full_disk
from core.readers import big_integers
from core.readers.options import IngestOptions
from core.readers.questions import NoteOffer, Question
from core.readers.rejects import Rejects
from core.readers.sql import clean_names, describe, literal, quoted

__all__ = ["clean_names", "describe", "literal", "quoted"]

MAX_ERRORS = 100
MAX_COLUMNS = 10_000
GROUP_BYTES = 128 * 2**20


class Cancelled(Exception):
    """Somebody asked the conversion to end."""


@dataclass
class WorkProgress:
    """How far a conversion is, for whoever watches; and whether it should go on."""

    value: float = 0.0
    cancelled: bool = False
    _window: tuple[float, float] = (0.0, 1.0)

    def stage(self, start: float, end: float) -> None:
        self._window = (start, end)
        self.advance(0.0)

    def advance(self, share: float) -> None:
        """``share`` of the present stage is done. Raises Cancelled when that was asked for."""
        start, end = self._window
        self.value = max(self.value, start + (end - start) * min(share, 1.0))
        if self.cancelled:
            raise Cancelled

    def follow(self, percent: float) -> None:
        """What DuckDB says of its running query (-1: nothing);
        never raises, for it is called from the watching thread."""
        start, end = self._window
        self.value = max(self.value, start + (end - start) * min(max(percent, 0.0) / 100, 1.0))


@dataclass
class ReadTask:
    """One conversion: from ``source`` (plain, its kind is ``suffix``)
    to ``target``, with ``work`` for what is thrown away.

    ``most_rows``: it is only a look, of which so many rows will do. ``is_head``: the source was cut off
    behind a line. ``is_look``: somebody looks, and can be asked what is not clear.
    """

    source: Path
    suffix: str
    target: Path
    work: Path
    options: IngestOptions
    connection: duckdb.DuckDBPyConnection
    progress: WorkProgress
    most_rows: int | None = None
    is_head: bool = False
    is_look: bool = False

    def __post_init__(self) -> None:
        self.rejects = Rejects(self.work / "rejects.jsonl")
        self.columns: list[str] = []  # as options speak of them, once something was written
        self.detected: dict[
            str, str
        ] = {}  # types of columns for which the user chose others while they were read
        self.renamed: set[str] = set()  # keys of JSON that another key differs from only by case
        self.rounded: set[str] = set()  # keys of JSON with numbers of more digits than floating point holds
        self.kept_as_taught: list[str] = []  # columns that would have another type if no model learned them
        self.as_detected: dict[str, str] = {}  # that type


@dataclass
class Reading:
    """What a reader decided, for people.

    ``num_rows``: of the whole file, where it is known without reading it. ``questions``: of a look, what is
    not certain. ``offers``: how what a note says can be undone.
    """

    detected: dict[str, Any] = field(default_factory=dict)
    num_rows: int | None = None
    questions: list[Question] = field(default_factory=list)
    offers: list[NoteOffer] = field(default_factory=list)

    def note(self, sentence: str, *offers: NoteOffer) -> None:
        self.detected.setdefault("notes", []).append(sentence)
        self.offers += [replace(offer, note=sentence) for offer in offers]

    def ask(self, question: Question | None) -> None:
        if question:
            self.questions.append(question)


Read = Callable[[ReadTask], Reading]


def write_parquet(
    task: ReadTask,
    select: str,
    parameters: Sequence[Any] = (),
    *,
    row_bytes: int = 0,
    columns: Sequence[tuple[str, str]] | None = None,
) -> None:
    """Run ``select`` (our own SQL) into the target, with types and names that survive Parquet and SQL.

    ``row_bytes``: about the size of a row. ``columns``: names and types, where they are known (asking takes
    seconds for a wide table). Raises duckdb.Error when the source cannot be read to its end; the reader knows
    to say why.
    """
    columns = columns or describe(task.connection, select, parameters)
    require_columns(len(columns))
    group_rows = _group_rows(row_bytes, len(columns))
    try:
        _copy(
            task, select, parameters, _projection(columns, big_integers.in_64_bits(columns), task), group_rows
        )
    except duckdb.ConversionException:
        if not big_integers.are_in(columns):
            raise
        exact = big_integers.exactly(task.connection, select, parameters, columns)
        _copy(task, select, parameters, _projection(columns, exact, task), group_rows)


def require_columns(count: int) -> None:
    """Raises UnreadableFile when there are too many."""
    if count > MAX_COLUMNS:
        raise UnreadableFile(
            f"It has {count:,} columns; at most {MAX_COLUMNS:,} are possible. Cut the table, "
            f"or turn it around."
        )


def require_date_format(task: ReadTask) -> None:
    """Raises ValidationError for a stated format that DuckDB does not know."""
    if not task.options.date_format:
        return
    try:
        task.connection.execute("SELECT try_strptime('1', ?)", [task.options.date_format]).fetchall()
    except duckdb.Error as error:
        raise ValidationError.of("options.date_format", "is not a date format such as %d/%m/%Y") from error


def unreadable_rows(
    first: Sequence[tuple[int, str]],
    count: int,
    *,
    of: str = "Line",
    advice: str = "Mend the file, or skip bad rows.",
) -> UnreadableFile:
    """The error about ``count`` rows: the first one in the message, those in ``first`` listed."""
    line, problem = first[0]
    more = f", and {count - 1:,} more row{'s' * (count > 2)} cannot be read" if count > 1 else ""
    return UnreadableFile(f"{of} {line:,}: {problem}{more}. {advice}", lines=list(first[:MAX_ERRORS]))


def _projection(
    columns: Sequence[tuple[str, str]], wanted_types: Sequence[tuple[str, str]], task: ReadTask
) -> str:
    task.columns = clean_names([name for name, _ in columns])
    renamed = task.options.names or {}
    wanted = clean_names([renamed.get(name, name) for name in task.columns])
    parts = []
    for (name, type_), (_, wanted_type), new in zip(columns, wanted_types, wanted, strict=True):
        stored = sql_types.with_leaves(wanted_type, _storable)
        value = quoted(name) if stored == type_ else f"CAST({quoted(name)} AS {stored})"
        parts.append(f"{value} AS {quoted(new)}")
    return ", ".join(parts)


def _storable(plain: str) -> str:
    """Parquet holds no bignums, no bits, no enums and no typeless nulls."""
    return (
        "VARCHAR" if sql_types.kind(plain) in ("ENUM", "BIGNUM", "VARINT", '"NULL"', "NULL", "BIT") else plain
    )


def _group_rows(row_bytes: int, columns: int) -> int:
    """Rows per row group: DuckDB's own number, fewer
    where rows are so large that a group would not fit in memory."""
    row_bytes = max(row_bytes, columns * 16, 1)
    return max(2048, min(122_880, GROUP_BYTES // row_bytes // 2048 * 2048))


def _copy(task: ReadTask, select: str, parameters: Sequence[Any], projection: str, group_rows: int) -> None:
    task.progress.stage(0.15, 0.85)
    limit = f" LIMIT {task.most_rows}" if task.most_rows else ""
    layout = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {group_rows}"
    try:
        _run_copy(
            task,
            f"COPY (SELECT {projection} FROM ({select}){limit}) TO {literal(str(task.target))} ({layout})",
            parameters,
        )
    except duckdb.OutOfMemoryException as error:
        raise UnreadableFile(
            "Reading it takes more memory than a conversion may use. Split the file."
        ) from error
    except duckdb.IOException as error:
        if is_full_disk(error):
            raise DiskFull from error
        raise


def _run_copy(task: ReadTask, statement: str, parameters: Sequence[Any]) -> None:
    task.connection.execute(statement, list(parameters))
