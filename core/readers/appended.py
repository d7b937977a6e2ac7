"""Rows of a file behind those of an older version: they must fit
by column names and types, and nothing may be lost in a cast.

The order of columns does not matter. Numbers fit numbers and days fit times, also inside lists and
structures, as long as every value is the same afterwards; a column without any value fits everything. What
does not fit is named, all of it, and nothing is made.
"""

from pathlib import Path

import duckdb

from core import sql_types
from core.errors import UnreadableFile
from core.readers.json_lines import casts
from core.readers.options import is_choice
from core.readers.sql import describe, listed, literal, quoted

Columns = dict[str, str]


def types_for(columns: list[dict[str, str]]) -> dict[str, str]:
    """How a reader should read columns that are to fit these: so "007" stays text behind text."""
    return {column["name"]: column["type"] for column in columns if is_choice(column["type"])}


def put_behind(connection: duckdb.DuckDBPyConnection, first: Path, target: Path) -> None:
    """``target``, just written, becomes ``first`` with the rows of ``target`` behind it.

    Raises UnreadableFile.
    """
    old, new = (
        dict(describe(connection, f"FROM read_parquet({literal(str(path))})")) for path in (first, target)
    )
    _require_same_names(old, new)
    changed = {name: type_ for name, type_ in old.items() if new[name] != type_}
    _require_same_values(connection, target, new, changed)
    values = ", ".join(
        f"{_cast(quoted(name), new[name], type_)} AS {quoted(name)}" if name in changed else quoted(name)
        for name, type_ in old.items()
    )
    names = ", ".join(quoted(name) for name in old)
    joined = target.with_name("joined.parquet")
    connection.execute(
        f"COPY (SELECT {names} FROM read_parquet({literal(str(first))}) UNION ALL "
        f"SELECT {values} FROM read_parquet({literal(str(target))})) "
        f"TO {literal(str(joined))} (FORMAT parquet, COMPRESSION zstd)"
    )
    joined.replace(target)


def _require_same_names(old: Columns, new: Columns) -> None:
    missing, extra = [name for name in old if name not in new], [name for name in new if name not in old]
    problems = []
    if missing:
        problems.append(f"it has no column {listed(list(map(repr, missing)))}")
    if extra:
        problems.append(f"the dataset has no column {listed(list(map(repr, extra)))}")
    if problems:
        raise UnreadableFile(
            f"The rows do not fit behind the others: {', and '.join(problems)}. Rename or drop columns, "
            f"then try again."
        )


def _require_same_values(
    connection: duckdb.DuckDBPyConnection, target: Path, new: Columns, changed: Columns
) -> None:
    if not changed:
        return
    counts = ", ".join(
        f"count(*) FILTER ({_is_lost(quoted(name), new[name], type_)})" for name, type_ in changed.items()
    )
    lost = connection.execute(f"SELECT {counts} FROM read_parquet({literal(str(target))})").fetchall()[0]
    wrong = [
        f"column {name!r} is {new[name]} here and {type_} in the dataset"
        for (name, type_), count in zip(changed.items(), lost, strict=True)
        if count
    ]
    if wrong:
        more = f", and {len(wrong) - 10} more" if len(wrong) > 10 else ""
        advice = "Mend the file, or choose the types when it is read."
        raise UnreadableFile(
            f"The rows do not fit behind the others: {'; '.join(wrong[:10])}{more}. {advice}"
        )


def _cast(x: str, mine: str, theirs: str) -> str:
    if theirs == "JSON":
        return f"to_json({x})"
    return casts.cast(x, theirs) if mine == "JSON" and sql_types.is_nested(theirs) else f"{x}::{theirs}"


def _is_lost(x: str, mine: str, theirs: str) -> str:
    """SQL that is true for a value that would not be the same after the cast."""
    if theirs == "JSON":
        return "false"
    if mine == "JSON" and sql_types.is_nested(theirs):
        return f"{x} IS NOT NULL AND ({casts.is_other(x, sql_types.parsed(theirs))})"
    if not _are_alike(sql_types.parsed(mine), sql_types.parsed(theirs)):
        return f"{x} IS NOT NULL"
    return f"{x} IS NOT NULL AND TRY_CAST(TRY_CAST({x} AS {theirs}) AS {mine}) IS DISTINCT FROM {x}"


def _are_alike(mine: sql_types.Type, theirs: sql_types.Type) -> bool:
    """Whether values of one type may be those of the other:
    both numbers, both moments, or built alike of such."""
    inside, inside_theirs = sql_types.children(mine), sql_types.children(theirs)
    if not inside and not inside_theirs:
        a, b = str(mine), str(theirs)
        return a == b or any(
            is_kind(a) and is_kind(b) for is_kind in (sql_types.is_number, sql_types.is_moment)
        )
    if not inside or not inside_theirs or {mine.id, theirs.id} not in ({mine.id}, {"list", "array"}):
        return False
    fields, fields_theirs = dict(inside), dict(inside_theirs)
    return fields.keys() == fields_theirs.keys() and all(
        _are_alike(type_, fields_theirs[name]) for name, type_ in inside
    )
