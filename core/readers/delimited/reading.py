"""CSV, TSV and other delimited text.

DuckDB reads strictly and fast; but left alone its sniffer makes one column of a ragged file, drops quoting
when a quote is left open, skips what it takes for a preamble, and rounds a late 1.5 in a column of whole
numbers. So the dialect is settled here (``dialects``), DuckDB cuts the file into text strictly, and each
value is converted under guard (``column_types``). When the cutting fails, the slow way goes through every
record, names each bad line, and evens out what is merely untidy (mixed line ends, long lines).

A field that is empty is a missing value; ``""`` is the empty text, or a missing value where the column is not
text.
"""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb

from core.errors import UnreadableFile
from core.readers import text
from core.readers.base import (
    MAX_ERRORS,
    IngestOptions,
    Reading,
    ReadTask,
    require_columns,
    require_date_format,
    unreadable_rows,
    write_parquet,
)
from core.readers.chosen_types import misfit
from core.readers.delimited import headers, telling
from core.readers.delimited.dialects import DEFAULT_LINE, Dialect, RowSample, sample_of, settle_dialect
from core.readers.delimited.records import Record, problem_of, records
from core.readers.sql import clean_names, literal
from core.readers.text_types import column_types
from core.readers.text_types.column_types import MISFIT, TextColumn
from core.readers.text_types.taught import taught

ANSWERS_AT_ONCE = 2000
WIDE = 2000
WIDE_MEMORY_MB = 2560


def read(task: ReadTask) -> Reading:
    reading = Reading()
    plain = text.as_utf8(task, reading).path
    dialect = settle_dialect(plain, task, reading)
    if dialect.comment:
        plain = _without_comments(plain, dialect, task)
    if dialect.width == 1 and task.suffix == ".txt":
        return _read_lines(plain, task, reading)
    require_date_format(task)
    if not task.options.skip_bad_rows:
        try:
            _convert(plain, dialect, task, reading)
            return reading
        except duckdb.Error:
            reading.detected.pop("header", None)
    try:
        _convert_mended(plain, dialect, task, reading)
    except duckdb.Error as error:
        raise UnreadableFile(
            "It could not be read as delimited text. Choose the delimiter and the encoding, and look whether "
            "all quotes are closed."
        ) from error
    return reading


def _convert_mended(path: Path, dialect: Dialect, task: ReadTask, reading: Reading) -> None:
    mended, even = _mend(path, dialect, task)
    if not task.options.skip_bad_rows or not task.options.types:
        return _convert(mended, even, task, reading)
    return _convert(mended, even, task, reading, origin=(path, dialect))


def _convert(
    path: Path,
    dialect: Dialect,
    task: ReadTask,
    reading: Reading,
    *,
    origin: tuple[Path, Dialect] | None = None,
) -> None:
    require_columns(dialect.width)
    if dialect.width > WIDE:  # every column takes vectors of its own: measured 1.6 GB for 10,000 of them
        task.connection.execute(f"SET threads = 1; SET memory_limit = '{WIDE_MEMORY_MB}MB'")
    sample = sample_of(path, dialect)
    has_header, columns = _columns_of(sample, dialect, task)
    source = _source(columns, dialect, has_header=has_header)
    if sample.is_all:
        # nothing in it: text
        columns = [replace(c, candidates=()) if c.unseen and not c.chosen else c for c in columns]
    elif any(column.unseen or telling.is_unclear(column) for column in columns):
        columns = _settled(source, path, columns, task)
    try:
        _write(source, path, columns, sample, task)
    except duckdb.Error as error:
        if MISFIT not in str(error):
            raise
        columns = _settled(source, path, columns, task)
        misfits = _misfits(source, path, columns, task)
        if misfits:
            _reject_misfits(misfits, origin or (path, dialect), has_header, task)
        _write(source, path, columns, sample, task, skips=bool(misfits))
    telling.tell(reading, has_header, columns, sample, task)


def _columns_of(sample: RowSample, dialect: Dialect, task: ReadTask) -> tuple[bool, list[TextColumn]]:
    """Whether the first row names the columns, and the columns with what they may be."""
    if not sample.rows:
        raise UnreadableFile("No row of the file can be read. Is the delimiter right, and are quotes closed?")
    width, stated = dialect.width, task.options.header
    first, body = sample.rows[0], sample.rows[1:]
    free = task.options.model_copy(update={"types": None})
    columns = _proposed(clean_names(first[:width]), body, free)
    if stated if stated is not None else headers.is_header(first, columns, body):
        return True, _as_chosen_or_taught(columns, body, task)
    names = [f"column{i}" for i in range(width)]
    return False, _as_chosen_or_taught(_proposed(names, sample.rows, free), sample.rows, task)


def _proposed(names: list[str], rows: list[list[str]], options: IngestOptions) -> list[TextColumn]:
    return [column_types.propose(name, (row[i] for row in rows), options) for i, name in enumerate(names)]


def _as_chosen_or_taught(found: list[TextColumn], rows: list[list[str]], task: ReadTask) -> list[TextColumn]:
    """The columns with the types that the user chose, and as text as it was written where it is taught."""
    numbers = [column.name for column in found if column.candidates and not column.unseen]
    words = taught([column.name for column in found], are_numbers=numbers)
    chosen, columns = task.options.types or {}, []
    task.kept_as_taught = []  # the file may be read a second time
    for i, column in enumerate(found):
        values = (row[i] for row in rows)
        if column.name in chosen:
            task.detected[column.name] = column.type
            columns.append(column_types.propose(column.name, values, task.options))
        elif column.name in words:
            columns.append(column_types.propose(column.name, values, task.options, taught=True))
            if columns[i].type != column.type and not column.unseen:
                task.kept_as_taught.append(column.name)
                task.as_detected[column.name] = column.type
        else:
            columns.append(column)
    return columns


def _settled(source: str, path: Path, columns: list[TextColumn], task: ReadTask) -> list[TextColumn]:
    """The columns with the types that the whole file allows: one pass, or a few for very wide tables."""
    by_column = [column_types.questions(column) for column in columns]
    values: list[object] = []
    flat = [question for questions in by_column for question in questions]
    for at in range(0, len(flat), ANSWERS_AT_ONCE):
        chosen = ", ".join(flat[at : at + ANSWERS_AT_ONCE])
        values += task.connection.execute(f"SELECT {chosen} FROM {source}", [str(path)]).fetchall()[0]
    answers, rest = [], iter(values)
    for questions in by_column:
        count, *fits = itertools.islice(rest, len(questions))
        answers.append((int(str(count)), [fit is not False for fit in fits]))
    return column_types.settle(columns, answers)


def _source(columns: list[TextColumn], dialect: Dialect, *, has_header: bool) -> str:
    """read_csv of everything as text, one parameter: the path."""
    typed = "{" + ", ".join(f"{literal(column.name)}: 'VARCHAR'" for column in columns) + "}"
    long_lines = f", max_line_size={dialect.longest_line}" if dialect.longest_line > DEFAULT_LINE else ""
    return (
        f"read_csv(?, columns={typed}, auto_detect=false, header={str(has_header).lower()}, "
        f"delim={literal(dialect.delimiter)}, quote='\"', escape={literal(dialect.escape)}, comment='', "
        f"skip={dialect.skip}, allow_quoted_nulls=false, strict_mode=true, null_padding=false{long_lines})"
    )


def _write(
    source: str,
    path: Path,
    columns: list[TextColumn],
    sample: RowSample,
    task: ReadTask,
    *,
    skips: bool = False,
) -> None:
    steps = [column.converted(number) for number, column in enumerate(columns)]
    read_, values = (", ".join(parts) for parts in zip(*steps, strict=True))
    misfits = (column.misfit for column in columns if column.chosen and column.candidates)
    where = f" WHERE NOT ({' OR '.join(misfits) or 'false'})" if skips else ""
    known = [(column.name, column.type) for column in columns]
    write_parquet(
        task,
        f"SELECT {values} FROM (SELECT {read_} FROM {source}{where})",
        [str(path)],
        row_bytes=sample.row_characters,
        columns=known,
    )


def _misfits(source: str, path: Path, columns: list[TextColumn], task: ReadTask) -> dict[int, str]:
    """Rows (from 0) whose values do not fit the types that the user chose, with what to say about each."""
    chosen = [column for column in columns if column.chosen and column.candidates]
    if not chosen:
        return {}
    limit = "" if task.options.skip_bad_rows else f" LIMIT {MAX_ERRORS}"
    values = ", ".join(f"CASE WHEN {c.misfit} THEN {c.text} END AS v{i}" for i, c in enumerate(chosen))
    any_of = " OR ".join(f"v{i} IS NOT NULL" for i in range(len(chosen)))
    answers = task.connection.execute(
        f"SELECT * FROM (SELECT row_number() OVER () - 1, {values} FROM {source}) WHERE {any_of}{limit}",
        [str(path)],
    )
    misfits: dict[int, str] = {}
    while row := answers.fetchone():
        column, value = next((c, v) for c, v in zip(chosen, row[1:], strict=True) if v is not None)
        misfits[row[0]] = misfit(column.name, value, column.type)
    return misfits


def _reject_misfits(
    misfits: dict[int, str], origin: tuple[Path, Dialect], has_header: bool, task: ReadTask
) -> None:
    """List them with their lines, or raise UnreadableFile when bad rows are not to be skipped."""
    path, dialect = origin
    bad: list[tuple[int, str]] = []
    good = (record for record in _walk(path, dialect, task) if not record.problem)
    for row, record in enumerate(good, -1 if has_header else 0):
        if row in misfits and task.options.skip_bad_rows:
            task.rejects.add(record.line, misfits[row], record.raw.rstrip("\r\n"))
        elif row in misfits:
            bad.append((record.line, misfits[row]))
        task.progress.advance(0)
    if bad:
        raise unreadable_rows(bad, len(bad), advice="Mend the file, choose another type, or skip bad rows.")


def _walk(path: Path, dialect: Dialect, task: ReadTask) -> Iterator[Record]:
    """Every record that is not blank, with its problem, also that of a wrong width."""
    resume = task.options.skip_bad_rows and not task.is_head
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        lines = itertools.islice(file, dialect.skip, None)
        for record in records(lines, dialect.delimiter, dialect.escape, resume=resume):
            if record.is_open and task.is_head:
                return  # the head was cut off inside a record
            if not record.values and not record.problem:
                continue
            record.line += dialect.skip
            record.problem = record.problem or _wrong_width(record, dialect)
            yield record


def _mend(path: Path, dialect: Dialect, task: ReadTask) -> tuple[Path, Dialect]:
    """Rewrite a file record by record.

    Raises UnreadableFile with the bad lines, or lists them when they are to be skipped.
    """
    target, longest, rejects = task.work / "mended", 0, task.rejects
    rejects.clear()
    with target.open("w", encoding="utf-8", newline="") as out:
        for record in _walk(path, dialect, task):
            task.progress.advance(0)
            raw = record.raw.rstrip("\r\n")
            if record.problem:
                rejects.add(record.line, record.problem, raw)
                continue
            out.write(raw + "\n")
            longest = max(longest, len(raw) * 4)
    if rejects.count and not task.options.skip_bad_rows:
        raise unreadable_rows(rejects.first, rejects.count)
    return target, replace(dialect, skip=0, longest_line=max(DEFAULT_LINE, longest))


def _wrong_width(record: Record, dialect: Dialect) -> str | None:
    """What is wrong with the number of values.

    Empty ones behind the last column do no harm, and are cut off.
    """
    count, width, values = len(record.values), dialect.width, record.values
    ends = dialect.delimiter * (count - width)
    if count > width and not any(values[width:]) and record.raw.rstrip("\r\n").endswith(ends):
        record.raw = record.raw.rstrip("\r\n")[: -len(ends)] + "\n"
        return None
    if count == width:
        return None
    where = f"column {min(count, width) + 1}"
    return f"{count} value{'s' * (count != 1)} where the first row has {width} (from {where})"


def _without_comments(path: Path, dialect: Dialect, task: ReadTask) -> Path:
    """The file with an empty line for each line of a comment, so that the others keep their numbers."""
    target = task.work / "without-comments"
    with (
        path.open(encoding="utf-8", errors="surrogateescape", newline="") as file,
        target.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out,
    ):
        for record in records(file, dialect.delimiter, dialect.escape):
            is_comment = record.raw.startswith(dialect.comment)
            out.write("\n" * record.raw.count("\n") if is_comment else record.raw)
            task.progress.advance(0)
    return target


def _read_lines(path: Path, task: ReadTask, reading: Reading) -> Reading:
    """Prose: one row per line that is not empty."""
    reading.detected = {"encoding": reading.detected.get("encoding"), "lines": True}
    with (
        path.open(encoding="utf-8", errors="surrogateescape") as file,
        (task.work / "lines").open("w", encoding="utf-8") as out,
    ):
        for number, line in enumerate(file, 1):
            if problem := problem_of(line):
                task.rejects.add(number, problem, line.rstrip("\n"))
            elif line.strip():
                out.write(json.dumps({"text": line.rstrip("\n")}, ensure_ascii=False) + "\n")
    select = (
        "SELECT text FROM read_json(?, format='newline_delimited', columns={text: 'VARCHAR'}, "
        "maximum_object_size=134217728)"
    )
    write_parquet(task, select, [str(task.work / "lines")])
    return reading
