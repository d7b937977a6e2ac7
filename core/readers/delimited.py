"""CSV, TSV and other delimited text.

DuckDB reads strictly and fast; but left alone its sniffer makes one column of a ragged file, drops quoting when a quote is left
open, and skips what it takes for a preamble. So the delimiter, the quoting and the first row are settled here on a sample; DuckDB
decides only types (over the whole file: leading zeros and a late "n/a" count) and reads strictly. When that fails, the slow way
goes through every record, names each bad line, and evens out what is merely untidy (mixed line ends, long lines).
"""

import csv
import io
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from core.errors import UnreadableFile, ValidationError
from core.readers import text
from core.readers.base import MAX_ERRORS, PROSE, Reading, Task, explain, literal, quoted, write_parquet

SAMPLE_CHARACTERS = 1 << 18
DELIMITERS = ",\t;|"
DEFAULT_LINE = 2_000_000
csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True)
class Dialect:
    """How records are cut. ``skip`` lines stand above the first row; ``width`` is the number of values in it."""

    delimiter: str
    skip: int
    width: int
    escape: str = '"'
    longest_line: int = DEFAULT_LINE


def read(task: Task) -> Reading:
    reading = Reading()
    plain = text.as_utf8(
        task.source, task.work / "utf8", encoding=task.options.encoding, reading=reading, progress=task.progress
    ).path
    dialect = _settle_dialect(plain, task, reading)
    if dialect.width == 1 and task.suffix == ".txt":
        return _read_lines(plain, task, reading)
    if task.options.skip_bad_rows:
        plain, dialect = _mend(plain, dialect, task, reading)
    try:
        _convert(plain, dialect, task, reading)
    except duckdb.Error as error:
        if task.options.skip_bad_rows:
            raise UnreadableFile(f"It could not be read as delimited text: {explain(error)}") from error
        _convert_mended(plain, dialect, task, reading)
    return reading


def _settle_dialect(path: Path, task: Task, reading: Reading) -> Dialect:
    lines = _sample_lines(path)
    above, stated = 0, task.options.delimiter or ("\t" if task.suffix == ".tsv" else None)
    if lines and lines[0].lower().startswith("sep=") and len(lines[0].rstrip("\r\n")) == 5:
        above, stated = 1, lines[0][4]  # Excel's own way to say it
    _refuse_json(lines, task.suffix)
    fits = [_fit(lines[above:], delimiter) for delimiter in (stated or DELIMITERS)]
    matching, best = max(fits, key=lambda fit: (fit[1].width > 1, fit[0]))  # the first of equals
    if task.suffix == ".txt" and not stated and matching < 1:
        best = replace(best, width=1)  # prose with commas in it
    if best.skip:
        reading.note(f"{best.skip} line{'s' * (best.skip > 1)} above the header left out.")
    reading.detected["delimiter"] = best.delimiter
    return replace(best, skip=best.skip + above)


def _sample_lines(path: Path) -> list[str]:
    """The first lines, whole ones, but not more than a person would wait for."""
    with path.open(encoding="utf-8", newline="") as file:
        sample = file.read(SAMPLE_CHARACTERS)
    lines = list(io.StringIO(sample, newline=""))
    return lines[:-1] if len(sample) == SAMPLE_CHARACTERS and len(lines) > 1 else lines


def _fit(lines: list[str], delimiter: str) -> tuple[float, Dialect]:
    """The share of the sample's rows that are as wide as its first, and the dialect a delimiter makes."""
    rows, escape = _sample_rows(lines, delimiter)
    widths = [len(row) for row in rows]
    if not any(width > 1 for width in widths):
        return 1.0, Dialect(delimiter, 0, 1, escape)
    skip = next(i for i, width in enumerate(widths) if width > 1)
    if len(set(filter(None, widths[skip:]))) > 1 or len(widths) - skip < 2:
        skip = 0  # a preamble stands above an even table, anything else is a ragged file
    first = next(width for width in widths[skip:] if width)
    matching = sum(width == first for width in widths) / len(widths)
    return matching, Dialect(delimiter, skip, first, escape)


def _sample_rows(lines: list[str], delimiter: str) -> tuple[list[list[str]], str]:
    """The sample's records, read with doubled quotes, or with backslashes where only that works."""
    doubled = list(_records(iter(lines), delimiter, '"'))
    if any(record.problem for record in doubled) and any('\\"' in line for line in lines):
        slashed = list(_records(iter(lines), delimiter, "\\"))
        if not any(record.problem for record in slashed):
            return [record.values for record in slashed], "\\"
    return [record.values for record in doubled], '"'


def _convert(path: Path, dialect: Dialect, task: Task, reading: Reading) -> None:
    options = _read_options(dialect)
    header = "" if task.options.header is None else f", header={str(task.options.header).lower()}"
    dates = f", dateformat={literal(task.options.date_format)}" if task.options.date_format else ""
    found = task.connection.execute(
        f"SELECT HasHeader, Columns, DateFormat, TimestampFormat FROM sniff_csv(?, sample_size=-1, {options}{header}{dates})",
        [str(path)],
    ).fetchall()
    has_header, columns, date_format, timestamp_format = found[0]
    dates = "".join(
        f", {name}={literal(value)}"
        for name, value in (("dateformat", task.options.date_format or date_format), ("timestampformat", timestamp_format))
        if value
    )
    layout = f"auto_detect=false, header={str(has_header).lower()}, {options}"
    columns = _spare_texts(path, columns, layout, task, reading)
    write_parquet(task, f"SELECT * FROM read_csv(?, columns={_typed(columns)}, {layout}{dates})", [str(path)])
    _tell(reading, has_header, columns, date_format or timestamp_format, task)


def _typed(columns: list[dict[str, str]]) -> str:
    return "{" + ", ".join(f"{literal(column['name'])}: {literal(column['type'])}" for column in columns) + "}"


def _spare_texts(path: Path, columns: list[dict[str, str]], layout: str, task: Task, reading: Reading) -> list[dict[str, str]]:
    """The columns, VARCHAR wherever the sniffed type would change what was written: yes, 0x1F, 17 digits, words to teach."""
    doubts = [(column["name"], doubt) for column in columns if (doubt := _doubt(column))]
    if not doubts:
        return columns
    texts = _typed([{**column, "type": "VARCHAR"} for column in columns])
    tests = ", ".join(f"coalesce(bool_or({doubt}), false)" for _, doubt in doubts)
    changed = task.connection.execute(f"SELECT {tests} FROM read_csv(?, columns={texts}, {layout})", [str(path)]).fetchall()[0]
    spared = [name for (name, _), is_changed in zip(doubts, changed, strict=True) if is_changed]
    if spared:
        reading.note(f"Kept as text, because reading it as numbers or dates would change it: {', '.join(spared[:10])}.")
    return [{**column, "type": "VARCHAR" if column["name"] in spared else column["type"]} for column in columns]


def _doubt(column: dict[str, str]) -> str | None:
    """SQL that is true for a value which its column's type would not give back as it was."""
    cell, type_ = f"trim({quoted(column['name'])})", column["type"]
    if column["name"].lower() in PROSE:
        whole = f"NOT regexp_full_match({quoted(column['name'])}, '-?(0|[1-9][0-9]*)')"
        return None if type_ == "VARCHAR" else whole if type_ == "BIGINT" else f"{cell} IS NOT NULL"
    if type_ == "BOOLEAN":
        return f"lower({cell}) NOT IN ('true', 'false')"
    if type_ in ("BIGINT", "HUGEINT"):
        return f"NOT regexp_full_match({cell}, '[+-]?[0-9]+')"
    return f"regexp_full_match({cell}, '[+-]?[0-9]{{16,}}[.]?[0-9]*')" if type_ == "DOUBLE" else None


def _read_options(dialect: Dialect) -> str:
    long_lines = f", max_line_size={dialect.longest_line}" if dialect.longest_line > DEFAULT_LINE else ""
    return (
        f"delim={literal(dialect.delimiter)}, quote='\"', escape={literal(dialect.escape)}, comment='', skip={dialect.skip}, "
        f"strict_mode=true, null_padding=false{long_lines}"
    )


def _tell(reading: Reading, has_header: bool, columns: list[dict[str, str]], date_format: str | None, task: Task) -> None:
    reading.detected["header"] = has_header
    if not has_header:
        reading.note("No header row was found, so the columns are numbered.")
    dated = [column["name"] for column in columns if column["type"] in ("DATE", "TIMESTAMP")]
    if dated and date_format:
        reading.detected["date_format"] = date_format
        if date_format.startswith(("%d", "%m")) and not task.options.date_format:
            order = "day first" if date_format.startswith("%d") else "month first"
            reading.note(f"Dates in {', '.join(dated[:5])} were read {order} ({date_format}). Give a date format to change it.")


def _convert_mended(path: Path, dialect: Dialect, task: Task, reading: Reading) -> None:
    mended, even = _mend(path, dialect, task, reading)
    try:
        _convert(mended, even, task, reading)
    except duckdb.Error as error:
        if task.options.date_format:
            raise ValidationError.of("options.date_format", f"does not fit: {explain(error)}") from error
        raise UnreadableFile(f"It could not be read as delimited text: {explain(error)}") from error


def _mend(path: Path, dialect: Dialect, task: Task, reading: Reading) -> tuple[Path, Dialect]:
    """Rewrite a file record by record. Raises UnreadableFile with the bad lines, or lists them when they are to be skipped."""
    target, longest, bad = task.work / "mended", 0, []
    with path.open(encoding="utf-8", newline="") as file, target.open("w", encoding="utf-8", newline="") as out:
        lines = itertools.islice(file, dialect.skip, None)
        writer = csv.writer(out, delimiter=dialect.delimiter, lineterminator="\n")
        for record in _records(lines, dialect.delimiter, dialect.escape):
            if not record.values and not record.problem:
                continue
            problem = record.problem or _wrong_width(record.values, dialect.width)
            if problem:
                bad.append((record.line + dialect.skip, problem))
                _require_skippable(bad, record.open_quote, task.options.skip_bad_rows)
                continue
            writer.writerow(record.values)
            longest = max(longest, sum(map(len, record.values)) * 4 + 2 * dialect.width)
            task.progress.advance(0)
    if bad and not task.options.skip_bad_rows:
        raise unreadable_rows(bad)
    reading.skipped = bad
    return target, replace(dialect, skip=0, escape='"', longest_line=max(DEFAULT_LINE, longest))


def unreadable_rows(bad: list[tuple[int, str]]) -> UnreadableFile:
    """The error about rows: the first one in the message, up to MAX_ERRORS listed."""
    line, problem = bad[0]
    more = f", and {len(bad) - 1:,} more row{'s' * (len(bad) > 2)} cannot be read" if len(bad) > 1 else ""
    return UnreadableFile(f"Line {line:,}: {problem}{more}. Mend the file, or skip bad rows.", lines=bad[:MAX_ERRORS])


def _require_skippable(bad: list[tuple[int, str]], open_quote: bool, skip: bool) -> None:
    if open_quote and skip:
        raise UnreadableFile(f"Line {bad[-1][0]:,}: {bad[-1][1]}, so everything after it is unclear.", lines=bad[-1:])


def _wrong_width(values: list[str], width: int) -> str | None:
    """What is wrong with the number of values. Empty ones behind the last column do no harm."""
    count = len(values)
    if count > width and not any(values[width:]):
        del values[width:]
        return None
    if count == width:
        return None
    where = f"column {min(count, width) + 1}"
    return f"{count} value{'s' * (count != 1)} where the first row has {width} (from {where})"


@dataclass
class _Record:
    line: int
    values: list[str]
    problem: str | None = None
    open_quote: bool = False


def _records(lines: Iterator[str], delimiter: str, escape: str) -> Iterator[_Record]:
    """Each record with the line it starts on (from 1); a broken one with its problem."""
    style: dict[str, Any] = {"doublequote": True} if escape == '"' else {"doublequote": False, "escapechar": escape}
    reader = csv.reader(lines, delimiter=delimiter, strict=True, **style)
    while True:
        line = reader.line_num + 1
        try:
            yield _Record(line, next(reader))
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):
                yield _Record(line, [], "a quote is opened and never closed", open_quote=True)
                return
            yield _Record(line, [], "a quote ends in the middle of a value")


def _refuse_json(lines: list[str], suffix: str) -> None:
    """A table whose first line is a JSON object is a mislabelled JSON Lines file."""
    try:
        is_json = bool(lines) and isinstance(json.loads(lines[0]), (dict, list)) and lines[0].lstrip()[0] in "{["
    except ValueError:
        return
    if is_json and suffix != ".txt":
        raise UnreadableFile(f"The file is called {suffix} but holds JSON. Rename it to .jsonl or .json and upload it again.")


def _read_lines(path: Path, task: Task, reading: Reading) -> Reading:
    """Prose: one row per line that is not empty."""
    reading.detected = {"encoding": reading.detected.get("encoding"), "lines": True}
    with path.open(encoding="utf-8") as file, (task.work / "lines").open("w", encoding="utf-8") as out:
        for line in file:
            if line.strip():
                out.write(json.dumps({"text": line.rstrip("\n")}, ensure_ascii=False) + "\n")
    select = "SELECT text FROM read_json(?, format='newline_delimited', columns={text: 'VARCHAR'}, maximum_object_size=134217728)"
    write_parquet(task, select, [str(task.work / "lines")])
    return reading
