"""Editing in place: cells changed, rows added and deleted, as the next version of a dataset.

The edited copy is made by DuckDB from the old Parquet in file order, whatever its size; only the edits are in
memory. Types are kept: a value that is none of its column's type is refused by row and column, and then
nothing is made. Rows of a whole file are put at the end by ``making.append_rows``.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic import Field

from core import storage
from core.datasets import looking, results, rows
from core.datasets.diffs.columns import is_nested
from core.datasets.scratch import Scratch, parquet, scratch
from core.datasets.values import Version
from core.db import reading
from core.errors import Detail, ValidationError
from core.fields import Input, Note500
from core.people.users import User
from core.readers.base import literal, quoted
from core.sql_types import FLOATS, WHOLE, is_decimal, is_moment

SECONDS = 300.0
MAX_EDITS = 10_000
MAX_SAID = 20
WORDS = {"VARCHAR": "text", "BOOLEAN": "true or false", "DATE": "a date such as 2026-01-31", "JSON": "JSON"}


class Cell(Input):
    """One cell to change; ``line`` counts from 1. ``value``: as the API shows it; null empties the cell."""

    line: int = Field(ge=1)
    column: str
    value: Any = None


class Edits(Input):
    """What to change. Lines are those of the version that is edited, whatever else is added or deleted."""

    cells: list[Cell] = Field(default_factory=list, max_length=MAX_EDITS)
    added: list[dict[str, Any]] = Field(
        default_factory=list, max_length=MAX_EDITS, description="Rows for the end."
    )
    deleted: list[int] = Field(default_factory=list, max_length=MAX_EDITS, description="Lines.")
    note: Note500 = ""
    force: bool = Field(False, description="Also when the dataset has a newer version by now.")


@dataclass(frozen=True)
class _Wanted:
    """A value on its way into a column; ``row`` is how people find it."""

    row: str
    line: int
    column: str
    text: str | None


def edit(user: User, version_id: str, edits: Edits) -> Version:
    """Make the next version of the dataset from this version and the edits.

    Raises NotFound, Conflict (no rows, or newer versions exist), ValidationError by row and column, and what
    making a version does.
    """
    old = looking.get_version(user, version_id)
    rows.require_readable(old)
    unless = None if edits.force else old
    if unless:
        with reading() as session:  # said early, and asked again when the version is made
            rows.require_newest(session, unless)
    _check(old, edits)
    types = {column["name"]: column["type"] for column in old.columns}
    staged = storage.new_staging_path()
    try:
        # one thread and no reordered joins: rows stay in the order of the file
        with scratch(SECONDS, of=[old.id], threads=1) as work:
            work.run("SET disabled_optimizers = 'join_order,build_side_probe_side'")
            _require_fitting(work, types, [*_changed(edits), *_new(edits)])
            work.run(
                f"COPY ({_edited(work, old, edits, types)}) "
                f"TO {literal(str(staged))} (FORMAT parquet, COMPRESSION zstd)"
            )
        _, version = results.create_from_table(
            user,
            parquet=staged,
            parents=[old.id],
            note=edits.note,
            dataset_id=old.dataset_id,
            origin="edit",
            options=_summary(edits),
            newest=unless,
        )
    finally:
        staged.unlink(missing_ok=True)
    return version


def describe(edits: Edits) -> str:
    """``3 cells changed, 1 row deleted``: for people."""
    parts = [
        (len(edits.cells), "cell", "changed"),
        (len(edits.added), "row", "added"),
        (len(edits.deleted), "row", "deleted"),
    ]
    return ", ".join(
        f"{count:,} {noun}{'' if count == 1 else 's'} {verb}" for count, noun, verb in parts if count
    )


def _check(old: Version, edits: Edits) -> None:
    if not (edits.cells or edits.added or edits.deleted):
        raise ValidationError.of("cells", "nothing is changed")
    known = {column["name"] for column in old.columns}
    named = [*(cell.column for cell in edits.cells), *(name for row in edits.added for name in row)]
    if unknown := [name for name in named if name not in known]:
        raise ValidationError.of("column", f"there is no column {unknown[0][:100]!r}")
    lines = [*(cell.line for cell in edits.cells), *edits.deleted]
    if beyond := [line for line in lines if not 1 <= line <= old.num_rows]:
        raise ValidationError.of("line", f"there is no row {beyond[0]:,}: the version has {old.num_rows:,}")
    if len(set(edits.deleted)) >= old.num_rows and not edits.added:
        raise ValidationError.of("deleted", "a version needs at least one row")


def _changed(edits: Edits) -> list[_Wanted]:
    """The last edit of each cell."""
    last = {(cell.line, cell.column): cell.value for cell in edits.cells}
    return [
        _Wanted(f"row {line:,}", line - 1, column, _text(value)) for (line, column), value in last.items()
    ]


def _new(edits: Edits) -> list[_Wanted]:
    return [
        _Wanted(f"new row {n}", n, column, _text(value))
        for n, row in enumerate(edits.added, 1)
        for column, value in row.items()
    ]


def _text(value: Any) -> str | None:
    """As DuckDB casts it from text; nested values as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _require_fitting(work: Scratch, types: dict[str, str], wanted: Sequence[_Wanted]) -> None:
    """Raises ValidationError that names row and column of every value
    that is none of its column's type (the first twenty)."""
    wrong: list[Detail] = []
    for column in dict.fromkeys(want.column for want in wanted):
        with_text = [want for want in wanted if want.column == column and want.text is not None]
        if types[column] == "BLOB" and with_text:
            raise ValidationError.of(column, "holds bytes, which cannot be edited here")
        table = pa.table(
            {"n": range(len(with_text)), "text": pa.array([want.text for want in with_text], pa.string())}
        )
        work.connection.register("given", table)
        for n, value in work.run(
            f"SELECT n, to_json({cast_text('text', types[column])})::VARCHAR FROM given ORDER BY n"
        ):
            if value is None or (
                is_nested(types[column])
                and not _is_whole(json.loads(with_text[n].text or ""), json.loads(value))
            ):
                problem = f"{str(with_text[n].text)[:60]!r} is not {_said(types[column])}"
                wrong.append(Detail(f"{with_text[n].row}, column {column}", problem))
        work.connection.unregister("given")
    if wrong:
        message = f"{wrong[0].field}: {wrong[0].message}"
        raise ValidationError(message, details=wrong[:MAX_SAID])


def _is_whole(given: Any, made: Any) -> bool:
    """Whether nothing was lost when JSON became a nested value:
    DuckDB makes null of what does not fit, and rounds."""
    if isinstance(given, dict) and isinstance(made, dict):
        fits = all(name in made and _is_whole(value, made[name]) for name, value in given.items())
        return fits and all(made[name] is None for name in made.keys() - given.keys())
    if isinstance(given, list) and isinstance(made, list):
        return len(given) == len(made) and all(map(_is_whole, given, made))
    if isinstance(given, str) and isinstance(made, str):
        return given.replace("T", " ") == made.replace("T", " ")
    return bool(given == made)


def cast_text(cell: str, type_: str) -> str:
    """SQL for a text as a value of the type; null where
    that would lose something, or is not possible at all."""
    if type_ == "VARCHAR":
        return cell
    if type_ == "JSON":
        return f"CASE WHEN json_valid({cell}) THEN {cell}::JSON END"
    if is_nested(type_):
        return f"CASE WHEN json_valid({cell}) THEN TRY_CAST(({cell})::JSON AS {type_}) END"
    tried = f"TRY_CAST({cell} AS {type_})"
    if type_ in WHOLE:  # DuckDB rounds 1.5 to 2
        return (
            f"CASE WHEN regexp_full_match(trim({cell}), '[+-]?[0-9]+([.]0*)?') THEN TRY_CAST(trim({cell}) "
            f"AS {type_}) END"
        )
    if is_decimal(type_):
        # it would be rounded to the column's scale
        exact = f"{tried}::DECIMAL(38, 18) = TRY_CAST({cell} AS DECIMAL(38, 18))"
        return f"CASE WHEN {exact} OR {tried}::VARCHAR = trim({cell}) THEN {tried} END"
    if type_ in FLOATS:
        return f"CASE WHEN NOT isinf({tried}) OR contains(lower({cell}), 'inf') THEN {tried} END"
    if type_ == "DATE":
        return f"CASE WHEN {tried}::TIMESTAMP = TRY_CAST({cell} AS TIMESTAMP) THEN {tried} END"
    return tried


def _said(type_: str) -> str:
    if type_ in WORDS:
        return WORDS[type_]
    if type_ in WHOLE:
        return f"a whole number ({type_})"
    if type_ in FLOATS or is_decimal(type_):
        return f"a number ({type_})"
    return (
        f"a point in time such as 2026-01-31 12:00:00 ({type_})"
        if is_moment(type_)
        else f"a value of type {type_}"
    )


def _edited(work: Scratch, old: Version, edits: Edits, types: dict[str, str]) -> str:
    """The query that answers the new version. Names are positions, so that no column's name matters."""
    touched = _patch(work, edits, types)
    cells = [
        f"CASE WHEN p.has{touched[name]} THEN p.v{touched[name]} ELSE d.{quoted(name)} END AS {quoted(name)}"
        if name in touched
        else f"d.{quoted(name)}"
        for name in types
    ]
    work.connection.register(
        "gone", pa.table({"gone_line": pa.array([line - 1 for line in set(edits.deleted)], pa.int64())})
    )
    kept = (
        f"SELECT {', '.join(cells)} FROM {parquet(old.id)} d LEFT JOIN patch p ON p.line = d.file_row_number "
        "ANTI JOIN gone g ON g.gone_line = d.file_row_number"
    )
    return f"{kept} UNION ALL {_added(work, edits, types)}" if edits.added else kept


def _patch(work: Scratch, edits: Edits, types: dict[str, str]) -> dict[str, int]:
    """A table ``patch`` with a line per changed row; returns the number of each column that is in it."""
    changed = _changed(edits)
    touched = {name: i for i, name in enumerate(dict.fromkeys(want.column for want in changed))}
    lines = sorted({want.line for want in changed})
    place = {line: n for n, line in enumerate(lines)}
    columns: dict[str, Any] = {"line": pa.array(lines, pa.int64())}
    for name, i in touched.items():
        texts: list[str | None] = [None] * len(lines)
        has = [False] * len(lines)
        for want in changed:
            if want.column == name:
                texts[place[want.line]], has[place[want.line]] = want.text, True
        columns |= {f"t{i}": pa.array(texts, pa.string()), f"has{i}": pa.array(has)}
    work.connection.register("patch_texts", pa.table(columns))
    casts = "".join(f", has{i}, {cast_text(f't{i}', types[name])} AS v{i}" for name, i in touched.items())
    work.run(f"CREATE TEMP TABLE patch AS SELECT line{casts} FROM patch_texts")
    return touched


def _added(work: Scratch, edits: Edits, types: dict[str, str]) -> str:
    columns = {
        f"t{i}": pa.array([_text(row.get(name)) for row in edits.added], pa.string())
        for i, name in enumerate(types)
    }
    work.connection.register("added", pa.table(columns))
    cells = ", ".join(
        f"{cast_text(f't{i}', type_)} AS {quoted(name)}" for i, (name, type_) in enumerate(types.items())
    )
    return f"SELECT {cells} FROM added"


def _summary(edits: Edits) -> dict[str, Any]:
    counts = {"cells": len(edits.cells), "added": len(edits.added), "deleted": len(set(edits.deleted))}
    return {"edit": {name: count for name, count in counts.items() if count}}
