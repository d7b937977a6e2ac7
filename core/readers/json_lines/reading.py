"""JSON: one object per line, an array of objects, or objects one after the other. Nested values stay nested.

DuckDB reads; its line numbers are not to be trusted (off by one, or the number of a buffer), so when it fails
the slow way goes through the file and names the lines. That way also finds doubled keys, and keeps integers
that fit no 64 bits as text.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from core.errors import UnreadableFile
from core.readers import text
from core.readers.base import Reading, ReadTask, require_date_format, unreadable_rows, write_parquet
from core.readers.json_lines import telling, types, wrapped
from core.readers.json_lines.documents import Element, elements
from core.readers.json_lines.rows import as_written, parse_row, with_long_fractions, without_case_twins
from core.readers.json_lines.types import OBJECT_BYTES, JsonColumns
from core.readers.sql import describe, literal, quoted
from core.readers.text_types.column_types import MISFIT

SAMPLE_CHARACTERS = 1 << 16
_STRAY_COMMA = re.compile(rb",[ \t\r]*[}\]]")
# with a minus sign the least of 64 bits; DuckDB takes what is less for floating point
_LEAST = "9223372036854775808"
_LESS = "|".join(
    rf"{_LEAST[:i]}[{int(digit) + 1}-9]\d{{{18 - i}}}" for i, digit in enumerate(_LEAST) if digit != "9"
)
_LONG_FRACTION = re.compile(rb"[:\[,\s]-?(?=[0-9]*[.])(?:0[.]0*)?[1-9](?:[.]?[0-9]){17}")
_BIG_INTEGER = re.compile(rf"[:\[,\s](?:-?\d{{20,}}|-(?:{_LESS}))[,}}\]\s]".encode())


def read(task: ReadTask) -> Reading:
    reading = Reading()
    plain = text.as_utf8(task, reading).path
    layout = _layout_of(plain)
    plain, layout = _unwrapped(plain, layout, task, reading)
    reading.detected["layout"] = layout
    is_document = layout != "newline_delimited"
    is_odd = _has_long_numbers(plain) or (not is_document and _has_stray_comma(plain))
    if task.options.skip_bad_rows or (is_document and task.is_head) or is_odd:
        plain, layout = _rewritten(plain, task, is_document=is_document), "newline_delimited"
    require_date_format(task)
    try:
        said = _convert(plain, layout, task, reading)
    except duckdb.Error as error:
        raise _explained(plain, task, error, is_document=is_document) from error
    _flatten_scalars(task, reading, said=said)
    return reading


def _convert(plain: Path, layout: str, task: ReadTask, reading: Reading) -> list[str]:
    """Write the target. Of which columns it was said that they are text, since floating point would change
    them."""
    inferred = _inferred(plain, layout, task)
    if _has_twins(inferred):  # DuckDB renames a twin (A and a), and then its key is not its name
        plain, layout = (
            _rewritten(plain, task, is_document=layout != "newline_delimited"),
            "newline_delimited",
        )
        inferred = _inferred(plain, layout, task)
        if renamed := [name for name, _ in inferred if name in task.renamed]:
            reading.note(f"Keys that differ only by case have a number behind them: {', '.join(renamed)}.")
    columns = types.kept(task, inferred)
    source = types.layout_select(layout, columns.types)
    columns = types.with_dates(task, source, [str(plain)], columns)
    if types.is_uncertain(columns):
        columns = types.settled(task, source, [str(plain)], columns)
    columns = _write(plain, layout, columns, task)
    reasons = types.changed(task, layout, plain, columns)
    if reasons:
        _write(plain, layout, replace(columns, types=columns.types | dict.fromkeys(reasons, "JSON")), task)
    telling.tell(
        reading, task, columns, telling.JsonSource(types.layout_select(layout, columns.types), [str(plain)])
    )
    for name, reason in reasons.items():
        form = "text" if columns.types[name] == "DOUBLE" else "JSON"  # see _flatten_scalars
        reading.note(f"{name} is kept as {form}, because {reason}.")
    telling.tell_rounded(reading, task, columns)
    return [name for name in reasons if columns.types[name] == "DOUBLE"]


def _inferred(plain: Path, layout: str, task: ReadTask) -> list[tuple[str, str]]:
    try:
        return describe(task.connection, types.layout_select(layout), [str(plain)])
    except duckdb.Error as error:
        if "Duplicate name" not in str(error):
            raise
        # keys of one object that differ only by case: such columns can only stay JSON
        return describe(task.connection, types.layout_select(layout, depth=1), [str(plain)])


def _has_twins(inferred: Sequence[tuple[str, str]]) -> bool:
    names = {name.lower() for name, _ in inferred}
    return any(
        re.search(r"_\d+$", name) and re.sub(r"_\d+$", "", name).lower() in names for name, _ in inferred
    )


def _write(plain: Path, layout: str, columns: JsonColumns, task: ReadTask) -> JsonColumns:
    """Write the target; the columns as they were read, when a later value tells more than the sample."""
    source = types.layout_select(layout, columns.types)
    try:
        _write_once(source, plain, columns, task)
    except duckdb.Error as error:
        if MISFIT not in str(error):
            raise
        columns = types.settled(task, source, [str(plain)], columns)
        _write_once(source, plain, columns, task)
    return columns


def _write_once(source: str, plain: Path, columns: JsonColumns, task: ReadTask) -> None:
    steps = [column.converted(number) for number, column in enumerate(columns.reads())]
    read_, values = (", ".join(parts) for parts in zip(*steps, strict=True))
    select = f"SELECT {values} FROM (SELECT {read_} FROM ({source}))" if columns.dated else source
    write_parquet(task, select, [str(plain)], columns=columns.columns())


def _unwrapped(plain: Path, layout: str, task: ReadTask, reading: Reading) -> tuple[Path, str]:
    """A document that is one object but means a table becomes its rows."""
    if task.is_head or layout == "array" or task.suffix != ".json":
        return plain, layout
    found = wrapped.rows_of(plain)
    if found is None:
        return plain, layout
    rows, note = found
    target = task.work / "unwrapped"
    with target.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    reading.note(note)
    return target, "newline_delimited"


def _layout_of(path: Path) -> str:
    """By content, because .json and .jsonl are used for either."""
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        sample = file.read(SAMPLE_CHARACTERS).lstrip()
    first = sample.split("\n", 1)[0].rstrip()
    if sample.startswith("["):
        return "array"
    is_pretty = first.startswith("{") and first.endswith(("{", "[", ",")) and not _is_json(first)
    return "unstructured" if is_pretty else "newline_delimited"


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _flatten_scalars(task: ReadTask, reading: Reading, *, said: Sequence[str]) -> None:
    """A column of mixed plain values (``1`` and ``"a"``) comes as JSON;
    as text it has no quotes around its words."""
    source = f"read_parquet({literal(str(task.target))})"
    names = [name for name, type_ in describe(task.connection, f"SELECT * FROM {source}") if type_ == "JSON"]
    if not names:
        return
    tests = ", ".join(
        f"coalesce(bool_or(json_type({quoted(name)}) IN ('OBJECT', 'ARRAY')), false), "
        f"count({quoted(name)}) > 0"
        for name in names
    )
    answers = task.connection.execute(f"SELECT {tests} FROM {source}").fetchall()[0]
    told = zip(names, answers[::2], answers[1::2], strict=True)
    plain = {name: is_filled for name, is_nested, is_filled in told if not is_nested}
    if plain:
        changed = ", ".join(f"{quoted(name)} ->> '$' AS {quoted(name)}" for name in plain)
        untidy = task.target.rename(task.work / "untidy.parquet")
        write_parquet(task, f"SELECT * REPLACE ({changed}) FROM read_parquet(?)", [str(untidy)])
    mixed = [name for name, is_filled in plain.items() if is_filled and name not in said]
    if mixed:
        reading.note(f"Kept as text, because it holds values of several kinds: {', '.join(mixed[:10])}.")


def _has_long_numbers(path: Path) -> bool:
    """Whether some number may have more digits than 64 bits hold, which would become floating point, or than
    floating point does."""
    with path.open("rb") as file:
        tail = b""
        while chunk := file.read(text.CHUNK):
            block = tail + chunk
            if _has_long_digits(block) and (_BIG_INTEGER.search(block) or _LONG_FRACTION.search(block)):
                return True
            tail = chunk[-64:]
    return False


def _has_long_digits(block: bytes) -> bool:
    """Whether 20 digits or points in a row, or a sign and 19, may be there: they hold four that are five
    apart. Saves the expressions, a second per 90 MB."""
    import numpy as np

    marks = np.frombuffer(block, np.uint8)[::5]
    digits = (marks - np.uint8(ord("0")) < 10) | (marks == ord("."))
    begins = digits | (marks == ord("-"))
    return bool((begins[:-3] & digits[1:-2] & digits[2:-1] & digits[3:]).any())


def _has_stray_comma(path: Path) -> bool:
    """Whether a line such as ``{"n": 8,}`` is there, which DuckDB takes for JSON.

    Only lines that may be one are parsed.
    """
    import numpy as np

    with path.open("rb") as file:
        while block := file.read(text.IN_CACHE):
            block += file.readline()
            codes = np.frombuffer(block, np.uint8)
            before, closes = codes[:-1], (codes[1:] | 32) == ord("}")  # ] | 32 is } too
            if (
                closes & ((before == ord(",")) | (before <= 32))
            ).any():  # four times as fast as the expression
                lines = (_line_at(block, match.start()) for match in _STRAY_COMMA.finditer(block))
                if not all(_is_json(line) for line in lines):
                    return True
    return False


def _line_at(block: bytes, at: int) -> str:
    end = block.find(b"\n", at)
    return block[block.rfind(b"\n", 0, at) + 1 : end if end >= 0 else len(block)].decode(
        errors="surrogateescape"
    )


def _rewritten(path: Path, task: ReadTask, *, is_document: bool) -> Path:
    """One object per line: big integers as text, and long fractions where text is chosen; bad rows listed.

    Raises UnreadableFile when they are not to be skipped.
    """
    target, rejects, skip = task.work / "mended", task.rejects, task.options.skip_bad_rows
    rejects.clear()
    texts = {name for name, type_ in (task.options.types or {}).items() if type_ == "VARCHAR"}
    rows = elements(path, resume=skip, is_head=task.is_head) if is_document else _lines(path)
    with target.open("w", encoding="utf-8") as out:
        for row in rows:
            if row.problem:
                rejects.add(row.line, row.problem, row.raw.strip())
                continue
            value = without_case_twins(row.value)
            if value is not row.value:
                task.renamed |= value.keys() - row.value.keys()
            for name in with_long_fractions(value):
                if name in texts:
                    value = value | {name: as_written(value[name])}
                else:
                    task.rounded.add(name)
            out.write(json.dumps(value, ensure_ascii=False) + "\n")
            task.progress.advance(0)
    if rejects.count and not skip:
        raise unreadable_rows(rejects.first, rejects.count)
    return target


def _lines(path: Path) -> Iterator[Element]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                value, problem = parse_row(line)
                yield Element(number, line, value, problem)


def _explained(path: Path, task: ReadTask, error: duckdb.Error, *, is_document: bool) -> UnreadableFile:
    """Why DuckDB could not read it, with the line."""
    try:
        rewritten = _rewritten(path, task, is_document=is_document)
    except UnreadableFile as found:
        return found
    if not rewritten.stat().st_size:
        return UnreadableFile("The file holds no rows.")
    if "expected records" in str(error):
        return UnreadableFile("The objects have no fields, so there are no columns.")
    if "maximum_object_size" in str(error):
        return UnreadableFile(
            f"One object is larger than {OBJECT_BYTES >> 20} MiB. Cut it into rows, one object each."
        )
    return UnreadableFile(
        "Its rows are right one by one, but no table could be made of them: their values differ too much. "
        "Give the columns in question the type JSON."
    )
