"""The types of a JSON file's columns, so that what was written comes back.

JSON says itself what is a string and what a number. DuckDB guesses beyond that: dates value by value, objects
with other keys as one structure with nulls, large whole numbers beside fractions as floating point. So a
string becomes a date only where all values have one form, and a column that a structure or a floating point
would change is kept as JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from core import sql_types
from core.readers.base import ReadTask
from core.readers.json_lines.casts import pointer
from core.readers.sql import describe, literal, quoted
from core.readers.text_types import column_types
from core.readers.text_types.column_types import TextColumn
from core.readers.text_types.taught import taught

_MOMENTS = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP", "DATE")
_GUESSED = (*_MOMENTS, "TIME", "UUID")  # of what is a string in the file
_SAMPLE = 2000
_EXACT = 2**53
# A whole number that floating point may not hold
_LONG_WHOLE = r"(^|[\[,:])-?[0-9]{16,}($|[\],}])"


@dataclass(frozen=True)
class JsonColumns:
    """How each column is read: ``types`` by name, in the file's order, and of text what may be dates."""

    types: dict[str, str]
    dated: dict[str, TextColumn] = field(default_factory=dict)
    unclear: dict[str, list[str]] = field(default_factory=dict)  # forms that fit as well as each other

    def reads(self) -> list[TextColumn]:
        return [self.dated.get(name, TextColumn(name, ())) for name in self.types]

    def columns(self) -> list[tuple[str, str]]:
        return [
            (name, self.dated[name].type if name in self.dated else type_)
            for name, type_ in self.types.items()
        ]


def kept(task: ReadTask, inferred: Sequence[tuple[str, str]]) -> JsonColumns:
    """The types to read with, before any value was looked at."""
    wanted = {
        name: type_ for name, type_ in (task.options.types or {}).items() if type_ in ("VARCHAR", "JSON")
    }
    words = taught(
        [name for name, _ in inferred], are_numbers=[n for n, t in inferred if sql_types.is_number(t)]
    )
    task.as_detected = {n: t for n, t in inferred if n in words and t in _MOMENTS and n not in wanted}
    task.kept_as_taught = list(task.as_detected)
    plain = {name: _plain_type(type_) for name, type_ in inferred}
    task.detected = {name: plain[name] for name in wanted if name in plain}
    free = [name for name in plain if name not in words and name not in wanted]
    maybe_dates = [
        name
        for name, type_ in inferred
        if name in free and (type_ in _MOMENTS or (type_ == "VARCHAR" and task.options.date_format))
    ]
    return JsonColumns(
        {name: wanted.get(name, type_) for name, type_ in plain.items()},
        {name: TextColumn(name, (), unseen=True) for name in maybe_dates},
    )


def _plain_type(type_: str) -> str:
    """Without what DuckDB guessed. Where a nested value is now text, now a list, the whole column stays JSON,
    or texts get quotes."""
    if sql_types.is_nested(type_) and "JSON" in sql_types.leaves(type_):
        return "JSON"
    return sql_types.with_leaves(type_, lambda leaf: "VARCHAR" if leaf in _GUESSED else leaf)


def with_dates(task: ReadTask, source: str, parameters: Sequence[str], columns: JsonColumns) -> JsonColumns:
    """With what a sample says of the columns that may be dates."""
    if not columns.dated:
        return columns
    names = ", ".join(map(quoted, columns.dated))
    rows = task.connection.execute(
        f"SELECT {names} FROM ({source}) LIMIT {_SAMPLE}", list(parameters)
    ).fetchall()
    free = task.options.model_copy(update={"types": None, "null_values": None})
    found = {
        name: _only_dates(column_types.propose(name, [row[i] or "" for row in rows], free))
        for i, name in enumerate(columns.dated)
    }
    return replace(columns, dated=found)


def settled(task: ReadTask, source: str, parameters: Sequence[str], columns: JsonColumns) -> JsonColumns:
    """With what all rows say of them: a form that another fits as well is none."""
    asked = [replace(column, careful=False) for column in columns.dated.values() if column.candidates]
    questions = [question for column in asked for question in column_types.questions(column, careful=False)]
    if not questions:
        return columns
    (answers,) = task.connection.execute(
        f"SELECT {', '.join(questions)} FROM ({source})", list(parameters)
    ).fetchall()
    rest = iter(answers)
    told = [(int(next(rest)), [next(rest) is not False for _ in column.candidates]) for column in asked]
    found = column_types.settle(asked, told)
    certain = {column.name: _certain(column) for column in found}
    unclear = {
        column.name: [str(c.format) for c in column.candidates]
        for column in found
        if column.candidates and not certain[column.name].candidates
    }
    return replace(columns, dated=columns.dated | certain, unclear=columns.unclear | unclear)


def _certain(column: TextColumn) -> TextColumn:
    """With the form that all values have: ISO 8601, or the only one of the others that they fit."""
    left = column.candidates
    is_clear = len({c.format for c in left}) == 1 or (bool(left) and left[0].format is None)
    return replace(column, candidates=left[:1] if is_clear else (), careful=False)


def is_uncertain(columns: JsonColumns) -> bool:
    return any(
        len(column.candidates) > 1 and column.candidates[0].format for column in columns.dated.values()
    )


def changed(task: ReadTask, layout: str, path: Path, columns: JsonColumns) -> dict[str, str]:
    """The columns of the written target that are not what the file says, each with the reason."""
    suspects = [name for name in columns.types if name in _suspects(task, columns)]
    if not suspects:
        return {}
    types = {name: columns.types[name] for name in suspects}
    tests = [
        f"coalesce(bool_or({test}), false)"
        for name, type_ in types.items()
        for test in (
            _has_other_keys(quoted(name), sql_types.parsed(type_)) or "false",
            f"regexp_matches({quoted(name)}::VARCHAR, {literal(_LONG_WHOLE)})"
            if "DOUBLE" in sql_types.leaves(type_)
            else "false",
        )
    ]
    from_json = layout_select(layout, dict.fromkeys(types, "JSON"))
    answers = task.connection.execute(
        f"SELECT {', '.join(tests)} FROM ({from_json})", [str(path)]
    ).fetchall()[0]
    reasons = {}
    for name, (other_keys, long_whole) in zip(
        types, zip(answers[::2], answers[1::2], strict=True), strict=True
    ):
        if long_whole:
            reasons[name] = "it has whole numbers beside fractions that floating point would round"
        elif other_keys:
            reasons[name] = "its objects do not all have the same keys"
    return reasons


def layout_select(layout: str, types: dict[str, str] | None = None, *, depth: int = -1) -> str:
    """``SELECT * FROM`` the file, one parameter: its path. ``depth``: below it everything is JSON."""
    columns = ", ".join(f"{literal(name)}: {literal(type_)}" for name, type_ in (types or {}).items())
    stated = (
        f", columns={{{columns}}}"
        if types
        else ", sample_size=-1, map_inference_threshold=-1, field_appearance_threshold=0, "
        f"maximum_depth={depth}"
    )
    return (
        f"SELECT * FROM read_json(?, format={literal(layout)}, records=true, "
        f"maximum_object_size={OBJECT_BYTES}{stated})"
    )


OBJECT_BYTES = 64 * 2**20


def _only_dates(column: TextColumn) -> TextColumn:
    """Years of two digits say nothing certain."""
    fitting = tuple(
        c
        for c in column.candidates
        if sql_types.is_moment(c.type) and ("%y" not in (c.format or "") or column.unseen)
    )
    return replace(column, candidates=fitting, careful=False, unseen=False)


def _suspects(task: ReadTask, columns: JsonColumns) -> set[str]:
    """Columns with a null inside a structure, or with floating point beyond what whole numbers it holds: from
    the statistics of the written file, in no time."""
    names = dict(
        zip((name for name, _ in describe(task.connection, _target(task))), columns.types, strict=True)
    )
    nested = {name for name, type_ in columns.types.items() if "STRUCT" in type_}
    floats = {name for name, type_ in columns.types.items() if "DOUBLE" in sql_types.leaves(type_)}
    if not nested and not floats:
        return set()
    statistics = task.connection.execute(
        "SELECT path_in_schema, sum(stats_null_count), min(try_cast(stats_min AS DOUBLE)), "
        "max(try_cast(stats_max AS DOUBLE)) FROM parquet_metadata(?) GROUP BY ALL",
        [str(task.target)],
    ).fetchall()
    found = set()
    for path, nulls, low, high in statistics:
        name = names.get(path.split(", ")[0])
        if name in nested and nulls != 0:
            found.add(name)
        if name in floats and (low is None or max(abs(low), abs(high)) >= _EXACT):
            found.add(name)
    return found


def _target(task: ReadTask) -> str:
    return f"FROM read_parquet({literal(str(task.target))})"


def _has_other_keys(cell: str, type_: sql_types.Type, depth: int = 0) -> str:
    """SQL that is true for a JSON cell with an object that has fewer keys than its structure; empty where
    there is no structure."""
    inside = sql_types.children(type_)
    if not inside:
        return ""
    if type_.id == "struct":
        parts = [f"json_type({cell}) = 'OBJECT' AND len(json_keys({cell})) <> {len(inside)}"]
        for name, child in inside:
            parts.append(_has_other_keys(f"json_extract({cell}, {literal(pointer(name))})", child, depth))
        return " OR ".join(f"coalesce({part}, false)" for part in parts if part)
    ((_, child),) = inside[-1:]
    test = _has_other_keys(f"x{depth}", child, depth + 1)
    items = f"CASE WHEN json_type({cell}) = 'ARRAY' THEN CAST({cell} AS JSON[]) END"
    return f"coalesce(len(list_filter({items}, lambda x{depth}: {test})) > 0, false)" if test else ""
