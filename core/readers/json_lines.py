"""JSON: one object per line, an array of objects, or objects one after the other. Nested values stay nested.

DuckDB reads; its line numbers are not to be trusted (off by one, or the number of a buffer), so when it fails the slow way goes
through the file and names the lines. That way also finds doubled keys, and keeps integers that fit no 64 bits as text.
"""

import json
import re
from pathlib import Path
from typing import Any

import duckdb

from core.errors import UnreadableFile
from core.readers import text
from core.readers.base import PROSE, Reading, Task, unreadable_rows, write_parquet
from core.readers.sql import describe, explain, literal, quoted

MAX_DEPTH = 120
MAX_REWRITTEN = 64 * 2**20
MAX_DOCUMENT = 512 * 2**20
OBJECT_BYTES = 64 * 2**20
SAMPLE_CHARACTERS = 1 << 16
_TEMPORAL = re.compile(r'(?<!")\b(TIMESTAMP WITH TIME ZONE|TIMESTAMP|DATE|TIME|UUID)\b(?!")')
_BIG_INTEGER = re.compile(rb"[:\[,\s]-?\d{20,}[,}\]\s]")


def read(task: Task) -> Reading:
    reading = Reading()
    plain = text.as_utf8(task, reading).path
    layout = _layout_of(plain)
    reading.detected["layout"] = layout
    has_big = _has_big_integers(plain)
    if layout == "newline_delimited" and (task.options.skip_bad_rows or has_big):
        plain = _mend(plain, task)
    elif has_big and plain.stat().st_size <= MAX_REWRITTEN:
        plain, layout = _with_exact_integers(plain, layout, task), "newline_delimited"
    try:
        write_parquet(task, _select(layout, _kept_types(task, plain, layout)), [str(plain)])
    except duckdb.Error as error:
        raise _explained(plain, layout, task, error) from error
    _flatten_scalars(task)
    return reading


def _layout_of(path: Path) -> str:
    """By content, because .json and .jsonl are used for either."""
    with path.open(encoding="utf-8") as file:
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
    stated = f", columns={{{columns}}}" if types else ", sample_size=-1, map_inference_threshold=-1, field_appearance_threshold=0"
    return f"SELECT * FROM read_json(?, format={literal(layout)}, records=true, maximum_object_size={OBJECT_BYTES}{stated})"


def _kept_types(task: Task, path: Path, layout: str) -> dict[str, str] | None:
    """Types to state because the inferred ones would change what was written; None when they are fine.

    JSON says itself what is a string. Dates in columns of their own are welcome; but inside a conversation, or in a column that is
    taught, a date is a word. And where a nested value is now text, now a list, the whole column stays JSON, or texts get quotes.
    """
    inferred = describe(task.connection, _select(layout), [str(path)])
    kept = {name: _kept_type(name, type_) for name, type_ in inferred}
    names = {name.lower() for name in kept}
    has_twins = any(re.search(r"_\d+$", name) and re.sub(r"_\d+$", "", name).lower() in names for name in kept)
    return None if has_twins or kept == dict(inferred) else kept  # a twin (A and a) was renamed: its key is not its name


def _kept_type(name: str, type_: str) -> str:
    is_nested = type_.endswith("]") or type_.startswith(("STRUCT", "MAP"))
    if is_nested and re.search(r'(?<!")\bJSON\b(?!")', type_):
        return "JSON"
    if is_nested or name.lower() in PROSE:
        return _TEMPORAL.sub("VARCHAR", type_)
    return "VARCHAR" if type_ in ("TIME", "UUID") else type_


def _flatten_scalars(task: Task) -> None:
    """A column of mixed plain values (``1`` and ``"a"``) comes as JSON; as text it has no quotes around its words."""
    source = f"read_parquet({literal(str(task.target))})"
    found = [name for name, type_ in describe(task.connection, f"SELECT * FROM {source}") if type_ == "JSON"]
    if not found:
        return
    tests = ", ".join(f"coalesce(bool_or(json_type({quoted(name)}) IN ('OBJECT', 'ARRAY')), false)" for name in found)
    nested = task.connection.execute(f"SELECT {tests} FROM {source}").fetchall()[0]
    plain = [name for name, is_nested in zip(found, nested, strict=True) if not is_nested]
    if plain:
        changed = ", ".join(f"{quoted(name)} ->> '$' AS {quoted(name)}" for name in plain)
        untidy = task.target.rename(task.work / "untidy.parquet")
        write_parquet(task, f"SELECT * REPLACE ({changed}) FROM read_parquet(?)", [str(untidy)])


def _has_big_integers(path: Path) -> bool:
    """Whether some number may have more digits than 64 bits hold: those would become floating point."""
    with path.open("rb") as file:
        tail = b""
        while chunk := file.read(text.CHUNK):
            if _BIG_INTEGER.search(tail + chunk):
                return True
            tail = chunk[-64:]
    return False


def _mend(path: Path, task: Task) -> Path:
    """Rewrite line by line: big integers as text, bad lines listed or refused."""
    target, rejects = task.work / "mended", task.rejects
    rejects.clear()
    with (
        path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file,
        target.open("w", encoding="utf-8") as out,
    ):
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            value, problem = _parse_row(line)
            if problem:
                rejects.add(number, problem, line.rstrip("\r\n"))
                continue
            out.write(json.dumps(value, ensure_ascii=False) + "\n")
            task.progress.advance(0)
    if rejects.count and not task.options.skip_bad_rows:
        raise unreadable_rows(rejects.first, rejects.count)
    return target


def _with_exact_integers(path: Path, layout: str, task: Task) -> Path:
    """A document as lines, its big integers as text. What cannot be parsed is left for the reader to explain."""
    target, content = task.work / "exact", path.read_text(encoding="utf-8")
    try:
        rows = _documents(content) if layout == "unstructured" else json.loads(content, parse_int=_exact_integer)
    except (ValueError, RecursionError) as error:
        raise _locate_in_document(path, layout) or UnreadableFile("The file is not valid JSON.") from error
    with target.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return target


def _parse_row(line: str) -> tuple[Any, str | None]:
    """The object on a line, or what is wrong with it."""
    try:
        value = json.loads(line, object_pairs_hook=_without_twins, parse_int=_exact_integer)
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        return None, f"not valid JSON: {error.msg.lower()} at column {error.colno}"
    except RecursionError:
        return None, f"nested more than {MAX_DEPTH} levels deep"
    except UnicodeEncodeError:
        return None, "not valid JSON: half of a surrogate pair"
    except ValueError as error:
        return None, str(error)
    if not isinstance(value, dict):
        return None, 'must be an object, such as {"question": "…"}'
    if _depth(value) > MAX_DEPTH:
        return None, f"nested more than {MAX_DEPTH} levels deep"
    return value, None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twin = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twin[:60]!r} stands twice in one object")
    if "" in found:
        raise ValueError("a key is empty")
    return found


def _exact_integer(digits: str) -> int | str:
    return int(digits) if len(digits) < 20 and -(2**63) <= int(digits) < 2**63 else digits


def _depth(value: Any) -> int:
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        part, depth = waiting.pop()
        deepest = max(deepest, depth)
        children = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        waiting += [(child, depth + 1) for child in children]
    return deepest


def _explained(path: Path, layout: str, task: Task, error: duckdb.Error) -> UnreadableFile:
    """Why DuckDB could not read it, with the line."""
    if layout == "newline_delimited":
        try:
            _mend(path, task)
        except UnreadableFile as found:
            return found
    elif path.stat().st_size <= MAX_DOCUMENT and (problem := _locate_in_document(path, layout)):
        return problem
    if "expected records" in str(error):
        return UnreadableFile("The objects have no fields, so there are no columns.")
    if "maximum_object_size" in str(error):
        return UnreadableFile(f"One object is larger than {OBJECT_BYTES >> 20} MiB. Cut it into rows, one object each.")
    return UnreadableFile(f"It could not be read as JSON: {explain(error)}")


def _locate_in_document(path: Path, layout: str) -> UnreadableFile | None:
    content = path.read_text(encoding="utf-8")
    try:
        rows = _documents(content) if layout == "unstructured" else json.loads(content, object_pairs_hook=_without_twins)
    except json.JSONDecodeError as error:
        problem = f"not valid JSON: {error.msg.lower()} at column {error.colno}"
        return UnreadableFile(f"Line {error.lineno:,}: {problem}.", lines=[(error.lineno, problem)])
    except RecursionError:
        return UnreadableFile(f"The JSON is nested more than {MAX_DEPTH} levels deep.")
    except ValueError as error:
        return UnreadableFile(f"The JSON cannot become a table: {error}.")
    if not rows:
        return UnreadableFile("The file holds no rows.")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            return UnreadableFile(f'Element {number:,} must be an object, such as {{"question": "…"}}.')
    return None


def _documents(content: str) -> list[Any]:
    decoder, at, found = json.JSONDecoder(object_pairs_hook=_without_twins, parse_int=_exact_integer), 0, []
    while (at := len(content) - len(content[at:].lstrip())) < len(content):
        value, at = decoder.raw_decode(content, at)
        found.append(value)
    return found
