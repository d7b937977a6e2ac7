"""JSON: one object per line, an array of objects, or objects one after the other. Nested values stay nested.

DuckDB reads; its line numbers are not to be trusted (off by one, or the number of a buffer), so when it fails
the slow way goes through the file and names the lines. That way also finds doubled keys, and keeps integers
that fit no 64 bits as text.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from core import sql_types
from core.errors import UnreadableFile
from core.readers import text
from core.readers.base import PROSE, Reading, ReadTask, unreadable_rows, write_parquet
from core.readers.json_documents import Element, elements
from core.readers.json_rows import parse_row
from core.readers.sql import describe, explain, literal, quoted

OBJECT_BYTES = 64 * 2**20
SAMPLE_CHARACTERS = 1 << 16
# of what is a string in the file
_GUESSED = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP", "DATE", "TIME", "UUID")
_STRAY_COMMA = re.compile(rb",[ \t\r]*[}\]]")
# with a minus sign the least of 64 bits; DuckDB takes what is less for floating point
_LEAST = "9223372036854775808"
_LESS = "|".join(
    rf"{_LEAST[:i]}[{int(digit) + 1}-9]\d{{{18 - i}}}" for i, digit in enumerate(_LEAST) if digit != "9"
)
_BIG_INTEGER = re.compile(rf"[:\[,\s](?:-?\d{{20,}}|-(?:{_LESS}))[,}}\]\s]".encode())


def read(task: ReadTask) -> Reading:
    reading = Reading()
    plain = text.as_utf8(task, reading).path
    layout = _layout_of(plain)
    reading.detected["layout"] = layout
    is_document = layout != "newline_delimited"
    is_odd = _has_big_integers(plain) or (not is_document and _has_stray_comma(plain))
    if task.options.skip_bad_rows or (is_document and task.is_head) or is_odd:
        plain, layout = _rewritten(plain, task, is_document=is_document), "newline_delimited"
    try:
        inferred = describe(task.connection, _select(layout), [str(plain)])
        kept = _kept_types(task, inferred)
        write_parquet(
            task, _select(layout, kept), [str(plain)], columns=list(kept.items()) if kept else inferred
        )
    except duckdb.Error as error:
        raise _explained(plain, task, error, is_document=is_document) from error
    _flatten_scalars(task)
    return reading


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


def _select(layout: str, types: dict[str, str] | None = None) -> str:
    columns = ", ".join(f"{literal(name)}: {literal(type_)}" for name, type_ in (types or {}).items())
    stated = (
        f", columns={{{columns}}}"
        if types
        else ", sample_size=-1, map_inference_threshold=-1, field_appearance_threshold=0"
    )
    return (
        f"SELECT * FROM read_json(?, format={literal(layout)}, records=true, "
        f"maximum_object_size={OBJECT_BYTES}{stated})"
    )


def _kept_types(task: ReadTask, inferred: Sequence[tuple[str, str]]) -> dict[str, str] | None:
    """Types to state because the inferred ones would change what was written; None when they are fine.

    JSON says itself what is a string. Dates in columns of their own are welcome; but inside a conversation,
    or in a column that is taught, a date is a word. And where a nested value is now text, now a list, the
    whole column stays JSON, or texts get quotes.
    """
    wanted = {
        name: type_ for name, type_ in (task.options.types or {}).items() if type_ in ("VARCHAR", "JSON")
    }
    task.detected = {name: _kept_type(name, type_) for name, type_ in inferred if name in wanted}
    kept = {name: wanted.get(name) or _kept_type(name, type_) for name, type_ in inferred}
    names = {name.lower() for name in kept}
    has_twins = any(
        re.search(r"_\d+$", name) and re.sub(r"_\d+$", "", name).lower() in names for name in kept
    )
    # a twin (A and a) was renamed: its key is not its name
    return None if has_twins or kept == dict(inferred) else kept


def _kept_type(name: str, type_: str) -> str:
    is_nested = sql_types.is_nested(type_)
    if is_nested and "JSON" in sql_types.leaves(type_):
        return "JSON"
    if is_nested or name.lower() in PROSE:
        return sql_types.with_leaves(type_, lambda plain: "VARCHAR" if plain in _GUESSED else plain)
    return "VARCHAR" if type_ in ("TIME", "UUID") else type_


def _flatten_scalars(task: ReadTask) -> None:
    """A column of mixed plain values (``1`` and ``"a"``) comes as JSON;
    as text it has no quotes around its words."""
    source = f"read_parquet({literal(str(task.target))})"
    names = [name for name, type_ in describe(task.connection, f"SELECT * FROM {source}") if type_ == "JSON"]
    if not names:
        return
    tests = ", ".join(
        f"coalesce(bool_or(json_type({quoted(name)}) IN ('OBJECT', 'ARRAY')), false)" for name in names
    )
    nested = task.connection.execute(f"SELECT {tests} FROM {source}").fetchall()[0]
    plain = [name for name, is_nested in zip(names, nested, strict=True) if not is_nested]
    if plain:
        changed = ", ".join(f"{quoted(name)} ->> '$' AS {quoted(name)}" for name in plain)
        untidy = task.target.rename(task.work / "untidy.parquet")
        write_parquet(task, f"SELECT * REPLACE ({changed}) FROM read_parquet(?)", [str(untidy)])


def _has_big_integers(path: Path) -> bool:
    """Whether some number may have more digits than 64 bits hold: those would become floating point."""
    with path.open("rb") as file:
        tail = b""
        while chunk := file.read(text.CHUNK):
            block = tail + chunk
            if _has_long_digits(block) and _BIG_INTEGER.search(block):
                return True
            tail = chunk[-64:]
    return False


def _has_long_digits(block: bytes) -> bool:
    """Whether 20 digits in a row, or a sign and 19, may be there: they hold four that are five apart. Saves
    the expression, a second per 90 MB."""
    import numpy as np

    marks = np.frombuffer(block, np.uint8)[::5]
    digits = marks - np.uint8(ord("0")) < 10
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
    """One object per line: big integers as text, bad rows listed.

    Raises UnreadableFile when they are not to be skipped.
    """
    target, rejects, skip = task.work / "mended", task.rejects, task.options.skip_bad_rows
    rejects.clear()
    rows = elements(path, resume=skip, is_head=task.is_head) if is_document else _lines(path)
    with target.open("w", encoding="utf-8") as out:
        for row in rows:
            if row.problem:
                rejects.add(row.line, row.problem, row.raw.strip())
                continue
            out.write(json.dumps(row.value, ensure_ascii=False) + "\n")
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
    return UnreadableFile(f"It could not be read as JSON: {explain(error)}")
