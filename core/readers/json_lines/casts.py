"""A JSON value as a list or structure that a dataset has already: whether it can be one, and the cast.

DuckDB's own cast wants every key to be there, its lenient one (``json_transform``) drops what is not expected
without a word; so the value is looked at first.
"""

import json
from typing import Any

from core import sql_types
from core.readers.sql import literal

_KINDS = {"BOOLEAN": ("BOOLEAN",), "DOUBLE": ("BIGINT", "UBIGINT", "DOUBLE"), "VARCHAR": ("VARCHAR",)}


def cast(cell: str, type_: str) -> str:
    """SQL; keys that are missing become null."""
    return f"json_transform({cell}, {literal(json.dumps(_shape(sql_types.parsed(type_))))})"


def is_other(cell: str, type_: sql_types.Type, depth: int = 0) -> str:
    """SQL that is true for a JSON cell that would lose something as this type, however deep."""
    inside = sql_types.children(type_)
    if not inside:
        return _is_other_plain(cell, str(type_))
    if type_.id == "struct":
        names = ", ".join(literal(name) for name, _ in inside)
        parts = [
            f"json_type({cell}) NOT IN ('OBJECT', 'NULL')",
            f"json_type({cell}) = 'OBJECT' AND NOT list_has_all([{names}], json_keys({cell}))",
            *(
                is_other(f"json_extract({cell}, {literal(pointer(name))})", child, depth)
                for name, child in inside
            ),
        ]
        return " OR ".join(f"coalesce({part}, false)" for part in parts)
    if type_.id in ("list", "array"):
        items = f"CASE WHEN json_type({cell}) = 'ARRAY' THEN CAST({cell} AS JSON[]) END"
        inner = is_other(f"x{depth}", inside[0][1], depth + 1)
        return (
            f"coalesce(json_type({cell}) NOT IN ('ARRAY', 'NULL'), false) OR "
            f"coalesce(len(list_filter({items}, lambda x{depth}: {inner})) > 0, false)"
        )
    return "true"  # maps and unions: nothing is known of their keys


def pointer(name: str) -> str:
    """The JSON pointer to a key of an object."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _is_other_plain(cell: str, type_: str) -> str:
    kinds = ("BIGINT", "UBIGINT") if sql_types.is_whole(type_) else _KINDS.get(type_)
    tests = [f"(({cell} ->> '$') IS NOT NULL AND TRY_CAST(({cell} ->> '$') AS {type_}) IS NULL)"]
    if kinds:
        tests.append(f"json_type({cell}) NOT IN ({', '.join(map(literal, (*kinds, 'NULL')))})")
    return f"coalesce({' OR '.join(tests)}, false)"


def _shape(type_: sql_types.Type) -> Any:
    inside = sql_types.children(type_)
    if not inside:
        return str(type_)
    if type_.id == "struct":
        return {name: _shape(child) for name, child in inside}
    return [_shape(inside[0][1])]
