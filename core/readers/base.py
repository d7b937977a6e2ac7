"""What a reader is given, what it answers, and the few things all of them share.

A reader turns one plain file into one Parquet through the given DuckDB connection, or raises ``UnreadableFile`` with a sentence
that says what is wrong and where. It never drops a row silently: with ``skip_bad_rows`` what it leaves out is counted and listed.
Decompression happened before (``unpack``), publishing comes after (``core.ingest``).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from core.errors import DiskFull, UnreadableFile
from core.readers.options import IngestOptions

MAX_ERRORS = 100
MAX_COLUMNS = 10_000
MAX_NAME = 200
# Columns of these names are taught: their words must stay as they were written ("yes", "1.50"), whatever they could be parsed as.
PROSE = frozenset({"prompt", "completion", "system", "text", "question", "answer", "instruction", "response"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


class Cancelled(Exception):
    """Somebody asked the conversion to end."""


@dataclass
class Progress:
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
        """What DuckDB says of its running query (-1: nothing); never raises, for it is called from the watching thread."""
        start, end = self._window
        self.value = max(self.value, start + (end - start) * min(max(percent, 0.0) / 100, 1.0))


@dataclass
class Task:
    """One conversion: from ``source`` (plain, its kind is ``suffix``) to ``target``, with ``work`` for what is thrown away."""

    source: Path
    suffix: str
    target: Path
    work: Path
    options: IngestOptions
    connection: duckdb.DuckDBPyConnection
    progress: Progress


@dataclass
class Reading:
    """What a reader decided (for people), and the rows it was told to leave out."""

    detected: dict[str, Any] = field(default_factory=dict)
    skipped: list[tuple[int, str]] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        self.detected.setdefault("notes", []).append(sentence)


Read = Callable[[Task], Reading]


def write_parquet(task: Task, select: str, parameters: Sequence[Any] = ()) -> None:
    """Run ``select`` (our own SQL) into the target, with types and names that survive Parquet and SQL.

    Raises duckdb.Error when the source cannot be read to its end; the reader knows how to say why.
    """
    columns = describe(task.connection, select, parameters)
    if len(columns) > MAX_COLUMNS:
        raise UnreadableFile(f"It has {len(columns):,} columns; at most {MAX_COLUMNS:,} are possible.")
    try:
        _copy(task, select, parameters, _projection(columns, big="DECIMAL(38,0)"))
    except duckdb.ConversionException:
        if not any("HUGEINT" in type_ for _, type_ in columns):
            raise
        _copy(task, select, parameters, _projection(columns, big="VARCHAR"))  # 39 digits fit no decimal


def describe(connection: duckdb.DuckDBPyConnection, select: str, parameters: Sequence[Any] = ()) -> list[tuple[str, str]]:
    """The columns of a query as (name, DuckDB type)."""
    return [(row[0], row[1]) for row in connection.execute(f"DESCRIBE {select}", list(parameters)).fetchall()]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def clean_names(names: Sequence[str]) -> list[str]:
    """Names a person can type and SQL can tell apart: no control characters, none empty, none twice (also not as A and a)."""
    taken = {"file_row_number"}  # what a Parquet reader calls the number of a row
    cleaned = []
    for number, name in enumerate(names, 1):
        base = _CONTROL.sub(" ", name.encode("utf-8", "replace").decode())[:MAX_NAME].strip() or f"column{number}"
        unique, copy = base, 1
        while unique.lower() in taken:
            unique, copy = f"{base}_{copy}", copy + 1
        taken.add(unique.lower())
        cleaned.append(unique)
    return cleaned


def explain(error: BaseException) -> str:
    """The sentence of a library's error that helps a person: no paths, no SQL, no advice about parameters."""
    text = re.split(r"\n\nLINE|Possible (?:fixes|Solution)|Try (?:increasing|setting)|Detail:|Traceback", str(error))[0]
    text = re.sub(r"^[A-Z][\w ]*(Error|Exception): ", "", text.strip())
    text = re.sub(r"""(in |reading |open |file )?(file )?["'](/|[A-Za-z]:\\)[^"']*["']:?""", "", text)
    text = re.sub(r"\(?(duckdb|pyarrow|arrow|calamine|yyjson|thrift)\w*\)?", "", text, flags=re.IGNORECASE)
    return " ".join(text.split())[:300] or "unknown error"


def _projection(columns: Sequence[tuple[str, str]], *, big: str) -> str:
    wanted = clean_names([name for name, _ in columns])
    parts = []
    for (name, type_), new in zip(columns, wanted, strict=True):
        stored = _storable(type_, big)
        value = quoted(name) if stored == type_ else f"CAST({quoted(name)} AS {stored})"
        parts.append(f"{value} AS {quoted(new)}")
    return ", ".join(parts)


def _storable(type_: str, big: str) -> str:
    """Parquet holds no 128-bit integers (they would become floating point), no bignums, no enums and no typeless nulls."""
    if type_.startswith("ENUM(") or type_ in ("BIGNUM", "VARINT", '"NULL"', "NULL", "BIT"):
        return "VARCHAR"
    return re.sub(r'"NULL"|\bBIGNUM\b', "VARCHAR", re.sub(r"\bU?HUGEINT\b", big, type_))


def _copy(task: Task, select: str, parameters: Sequence[Any], projection: str) -> None:
    task.progress.stage(0.4, 0.8)
    target = literal(str(task.target))
    try:
        _run_copy(task, f"COPY (SELECT {projection} FROM ({select})) TO {target} (FORMAT parquet, COMPRESSION zstd)", parameters)
    except duckdb.OutOfMemoryException as error:
        raise UnreadableFile("Reading it takes more memory than a conversion may use. Split the file.") from error
    except duckdb.IOException as error:
        if "No space left" in str(error) or "quota" in str(error).lower():
            raise DiskFull from error
        raise


def _run_copy(task: Task, statement: str, parameters: Sequence[Any]) -> None:
    task.connection.execute(statement, list(parameters))
