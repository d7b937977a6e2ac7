"""A look at a file before it is taken in: what was detected
and the first rows, by the very readers that convert it later.

Runs in a process of its own (``python -m core.readers.look``, started by ``core.ingest.look``): a request as
JSON on its standard input, a ``Look`` as JSON on its standard output. Of a big file only its head is read,
and the look says so.
"""

import json
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb

from core import formats
from core.cells import json_safe
from core.errors import LuthierError, UnreadableFile
from core.fields import parse
from core.readers import (
    READERS,
    TEXTS,
    IngestOptions,
    ReadTask,
    WorkProgress,
    chosen_types,
    moments,
    reader_for,
)
from core.readers.opening import Opened, configure, open_plain
from core.readers.sql import describe, literal

ROWS = 50
SAMPLE_BYTES = 4 * 2**20
MOST_ROWS = 1000
EXACT_IN_BROWSERS = 2**53
MEMORY_MB = 512
ADDRESS_SPACE = 4 * 2**30  # most of it is only reserved: libraries, stacks, the allocator's arenas
_TEXT_CHOICES = ["encoding", "names", "types", "skip_bad_rows"]
_CHOICES = {  # which options make sense for a kind of file
    "delimited": [
        "delimiter",
        "header",
        "skip_lines",
        "date_format",
        "decimal",
        "thousands",
        "comment",
        "null_values",
        *_TEXT_CHOICES,
    ],
    "json_lines": ["date_format", *_TEXT_CHOICES],
    "excel": ["sheet", "header", "skip_lines", "names", "types"],
    "parquet": ["names", "types"],
    "arrow": ["names", "types"],
}


@dataclass(frozen=True)
class Look:
    """What a file looks like when it is read with some options.

    ``error`` is carried, not raised: the user changes the options.

    ``columns``: {"name", "type", "source", "detected"}: its name in the file, by which options speak of it,
    and its type before one was chosen. ``rows``: the first ones; None is a missing value. ``num_rows`` is
    None where only the head was read. ``choices``: the fields of IngestOptions that make sense for this kind
    of file. ``skipped``: [[line, message]] of bad rows that were left out. ``error``: {"message", "count",
    "lines": [[line, message]]}; the rows are then those that could be read.

    ``questions``: what is not certain, {"about": "dates", "header", "types" or "table", "ask", "note",
    "readings": [{"label", "columns", "rows": [[text or null]], "change", "is_current"}]}: two or three ways
    to read the same first cells. ``note`` is the one of ``detected["notes"]`` that says the same. ``change``
    holds the options that lead to a reading; its ``types`` are by column, null for the detected one.
    ``offers``: [{"note", "label", "change"}], how what a note says can be undone.
    """

    detected: dict[str, Any] = field(default_factory=dict)
    columns: list[dict[str, str]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    num_rows: int | None = None
    is_sample: bool = False
    format: str = "table"
    choices: list[str] = field(default_factory=list)
    num_skipped: int = 0
    skipped: list[list[Any]] = field(default_factory=list)
    error: dict[str, Any] | None = None
    questions: list[dict[str, Any]] = field(default_factory=list)
    offers: list[dict[str, Any]] = field(default_factory=list)


def failed(error: LuthierError, **known: Any) -> Look:
    """A look that found only what is wrong."""
    lines = [[line, message] for line, message in error.lines] if isinstance(error, UnreadableFile) else []
    return Look(error={"message": error.message, "count": len(lines), "lines": lines}, **known)


def look_at(path: Path, filename: str, options: IngestOptions, *, work: Path) -> Look:
    """Read the head of a file into ``work``, which the caller removes.

    Never raises for what is wrong with the file.
    """
    try:
        with duckdb.connect() as connection:
            configure(connection, work, memory_mb=MEMORY_MB)
            opened = open_plain(
                path, filename, work, options=options, progress=WorkProgress(), head=SAMPLE_BYTES
            )
            choices = [*(["member"] if opened.found else []), *_CHOICES[READERS[opened.suffix]]]
            try:
                return _read(opened, options, connection, work, choices)
            except LuthierError as error:
                look = (
                    _rest_of(opened, options, connection, work, choices)
                    if _has_good_rows(error, options)
                    else Look()
                )
                error_facts = failed(error).error or {}
                error_facts["count"] = max(error_facts["count"], look.num_skipped)
                return replace(
                    look,
                    detected=opened.found | look.detected,
                    choices=choices,
                    error=error_facts,
                    num_skipped=0,
                    skipped=[],
                )
    except LuthierError as error:
        return failed(error)


def _has_good_rows(error: LuthierError, options: IngestOptions) -> bool:
    return isinstance(error, UnreadableFile) and bool(error.lines) and not options.skip_bad_rows


def _rest_of(
    opened: Opened,
    options: IngestOptions,
    connection: duckdb.DuckDBPyConnection,
    work: Path,
    choices: list[str],
) -> Look:
    """What can be read of a file with bad rows, so that there is something to see."""
    try:
        return _read(opened, options.model_copy(update={"skip_bad_rows": True}), connection, work, choices)
    except LuthierError:
        return Look()


def _read(
    opened: Opened,
    options: IngestOptions,
    connection: duckdb.DuckDBPyConnection,
    work: Path,
    choices: list[str],
) -> Look:
    is_text = opened.suffix in TEXTS
    task = ReadTask(
        opened.path, opened.suffix, work / "data.parquet", work, options, connection, WorkProgress(),
        most_rows=None if is_text else MOST_ROWS, is_head=opened.is_head, is_look=True,
    )  # fmt: skip
    reading = reader_for(opened.suffix)(task)
    detected = [type_ for _, type_ in describe(connection, f"FROM read_parquet({literal(str(task.target))})")]
    chosen_types.apply(task, reading)
    moments.require_known_years(task)
    task.rejects.close()
    look = _shown(task, detected)
    is_sample = opened.is_head or bool(task.most_rows and look.num_rows == task.most_rows)
    if is_sample:
        reading.note(
            f"This is a look at the first {look.num_rows:,} rows; "
            f"the types are checked against the whole file."
        )
    return replace(
        look,
        detected=opened.found | reading.detected,
        num_rows=reading.num_rows if is_sample else look.num_rows,
        is_sample=is_sample,
        choices=choices,
        num_skipped=task.rejects.count,
        skipped=[[line, message] for line, message in task.rejects.first],
        questions=[asdict(question) for question in reading.questions],
        offers=[asdict(offer) for offer in reading.offers],
    )


def _shown(task: ReadTask, detected: list[str]) -> Look:
    table_ = f"read_parquet({literal(str(task.target))})"
    described = zip(describe(task.connection, f"FROM {table_}"), task.columns, detected, strict=True)
    columns = [
        {"name": name, "type": type_, "source": source, "detected": task.detected.get(source, was)}
        for (name, type_), source, was in described
    ]
    (num_rows,) = task.connection.execute(f"SELECT count(*) FROM {table_}").fetchall()[0]
    table = task.connection.sql(f"SELECT * FROM {table_} LIMIT {ROWS}").to_arrow_table()
    rows = [_exact(json_safe(row)) for row in table.to_pylist(maps_as_pydicts="lossy")]
    return Look(columns=columns, rows=rows, num_rows=num_rows, format=formats.detect(columns))


def _exact(value: Any) -> Any:
    """Integers that a browser would round, as text."""
    if isinstance(value, dict):
        return {key: _exact(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_exact(part) for part in value]
    return str(value) if isinstance(value, int) and abs(value) > EXACT_IN_BROWSERS else value


def main() -> None:
    if sys.platform == "linux":  # only Linux keeps such a limit
        import resource

        # a hostile file takes this process down, not the machine
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    request = json.load(sys.stdin)
    options = parse(IngestOptions, **request["options"])
    look = look_at(Path(request["path"]), request["filename"], options, work=Path(request["work"]))
    json.dump(asdict(look), sys.stdout)


if __name__ == "__main__":
    main()
