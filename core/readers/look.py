"""A look at a file before it is taken in: what was detected and the first rows, by the very readers that convert it later.

Runs in a process of its own (``python -m core.readers.look``, started by ``core.ingest.look``): a request as JSON on its standard
input, a ``Look`` as JSON on its standard output. Of a big file only its head is read, and the look says so.
"""

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from core import formats
from core.cells import json_safe
from core.errors import LuthierError, UnreadableFile
from core.fields import parse
from core.readers import chosen_types, reader_for
from core.readers.base import IngestOptions, Progress, Reading, Task, describe, literal
from core.readers.opening import configure, plain_file
from core.readers.text import require_kind

ROWS = 50
SAMPLE_BYTES = 4 * 2**20
MEMORY_MB = 512
_TEXT_CHOICES = ["encoding", "names", "types", "skip_bad_rows"]
_CHOICES = {  # which options make sense for a kind of file
    "delimited": ["delimiter", "header", "skip_lines", "date_format", "decimal", "null_values", *_TEXT_CHOICES],
    "json_lines": _TEXT_CHOICES,
    "excel": ["sheet", "header", "skip_lines", "names", "types"],
    "parquet": ["names", "types"],
    "arrow": ["names", "types"],
}


@dataclass(frozen=True)
class Look:
    """What a file looks like when it is read with some options. ``error`` is carried, not raised: the user changes the options.

    ``columns``: {"name", "type", "source"}, the last as in the file. ``num_rows`` is None where only the head was read.
    ``choices``: the fields of IngestOptions that make sense for this kind. ``error``: {"message", "lines": [[line, message]]}.
    """

    detected: dict[str, Any] = field(default_factory=dict)
    columns: list[dict[str, str]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    num_rows: int | None = None
    is_sample: bool = False
    format: str = "table"
    choices: list[str] = field(default_factory=list)
    error: dict[str, Any] | None = None


def failed(error: LuthierError, **known: Any) -> Look:
    """A look that found only what is wrong."""
    lines = error.lines if isinstance(error, UnreadableFile) else []
    return Look(error={"message": error.message, "lines": [[line, message] for line, message in lines]}, **known)


def look_at(path: Path, filename: str, options: IngestOptions, *, work: Path) -> Look:
    """Read the head of a file into ``work``, which the caller removes. Never raises for what is wrong with the file."""
    from core.readers import READERS

    try:
        with duckdb.connect() as connection:
            configure(connection, work, memory_mb=MEMORY_MB)
            source, suffix, archive = plain_file(path, filename, work, options=options, progress=Progress(), limit=SAMPLE_BYTES)
            choices = [*(["member"] if archive else []), *_CHOICES[READERS[suffix]]]
            require_kind(source, suffix)
            task = Task(source, suffix, work / "data.parquet", work, options, connection, Progress())
            try:
                reading = reader_for(suffix)(task)
                chosen_types.apply(task, reading)
                return _shown(task, reading, archive, choices)
            except LuthierError as error:
                return failed(error, choices=choices, detected=archive)
    except LuthierError as error:
        return failed(error)


def _shown(task: Task, reading: Reading, archive: dict[str, object], choices: list[str]) -> Look:
    source = f"read_parquet({literal(str(task.target))})"
    found = zip(describe(task.connection, f"FROM {source}"), task.columns, strict=True)
    columns = [{"name": name, "type": type_, "source": original} for (name, type_), original in found]
    (num_rows,) = task.connection.execute(f"SELECT count(*) FROM {source}").fetchall()[0]
    table = task.connection.sql(f"SELECT * FROM {source} LIMIT {ROWS}").to_arrow_table()
    return Look(
        detected=archive | reading.detected,
        columns=columns,
        rows=[json_safe(row) for row in table.to_pylist(maps_as_pydicts="lossy")],
        num_rows=num_rows,
        format=formats.detect(columns),
        choices=choices,
    )


def main() -> None:
    asked = json.load(sys.stdin)
    options = parse(IngestOptions, **asked["options"])
    look = look_at(Path(asked["path"]), asked["filename"], options, work=Path(asked["work"]))
    json.dump(asdict(look), sys.stdout)


if __name__ == "__main__":
    main()
