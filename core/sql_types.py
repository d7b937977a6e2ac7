"""What a DuckDB type is, from the text by which a version keeps it:
a number, a moment, a list; and which types lie in it.

``DECIMAL(38,0)[]`` begins like a number and is a list, ``STRUCT("DATE" BIGINT)`` names a date and holds none.
So nobody else looks for a word in such a text: ``kind`` answers for the type itself, ``leaves`` and
``with_leaves`` for what lies in it.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import duckdb

WHOLE = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
)
HUGE = ("HUGEINT", "UHUGEINT")  # 128 bits; neither Parquet nor Arrow holds them
FLOATS = ("FLOAT", "DOUBLE")
NESTED = ("LIST", "STRUCT", "MAP", "UNION")
TEXTS = ("VARCHAR", "JSON")
Type = Any  # a text, or duckdb.DuckDBPyType as ``parsed`` and ``relation.types`` give it


def kind(type_: str) -> str:
    """The word of a type without its parameters, such as DECIMAL or STRUCT.

    LIST for lists and arrays of anything.
    """
    return "LIST" if type_.endswith("]") else type_.partition("(")[0]


def is_whole(type_: str) -> bool:
    return type_ in WHOLE


def is_decimal(type_: str) -> bool:
    return kind(type_) == "DECIMAL"


def is_number(type_: str) -> bool:
    return type_ in WHOLE or type_ in FLOATS or is_decimal(type_)


def is_moment(type_: str) -> bool:
    """A day, or a day with a time; with or without a zone, of any precision."""
    return type_ == "DATE" or kind(type_).startswith("TIMESTAMP")


def is_list(type_: str) -> bool:
    return kind(type_) == "LIST"


def is_nested(type_: str) -> bool:
    return kind(type_) in NESTED


def size_of_decimal(type_: str) -> tuple[int, int]:
    """(digits, digits of the fraction) of ``DECIMAL(digits,fraction)``."""
    digits, fraction = type_.removeprefix("DECIMAL(").removesuffix(")").split(",")
    return int(digits), int(fraction)


def holds_text(type_: str) -> bool:
    """Whether texts lie in it, however deep."""
    return any(leaf in TEXTS for leaf in leaves(type_))


@lru_cache(maxsize=4096)
def leaves(type_: str) -> tuple[str, ...]:
    """The plain types in a type, of a map its keys' first; a plain type itself."""
    return tuple(_leaves(type_ if not is_nested(type_) else parsed(type_)))


def with_leaves(type_: Type, change: Callable[[str], str]) -> str:
    """The type with ``change`` made to each plain type in it; the same text where nothing changes.

    Arrays become lists, as which they come back from Parquet in any case: where one is null, DuckDB 2.0
    writes it in a way that only DuckDB can read.
    """
    taken_apart = parsed(type_) if isinstance(type_, str) and is_nested(type_) else type_
    old = children(taken_apart)
    if not old:
        return change(str(type_))
    new = [with_leaves(child, change) for _, child in old]
    if taken_apart.id != "array" and new == [str(child) for _, child in old]:
        return str(type_)
    return _composed(taken_apart, [name for name, _ in old], new)


@lru_cache(maxsize=4096)
def parsed(type_: str) -> Type:
    """The type as DuckDB takes it apart.

    A text that DuckDB does not know, such as one of an extension, stays a text.
    """
    try:
        return duckdb.sqltype(type_)
    except duckdb.Error:
        return type_


def children(type_: Type) -> list[tuple[str, Type]]:
    """The types directly in one, with the names of fields; none in a plain one."""
    if isinstance(type_, str):
        return []
    if type_.id in ("list", "array"):
        return [("", type_.children[0][1])]
    if type_.id == "union":
        return list(type_.children[1:])  # the first is DuckDB's own: which of them it is
    return list(type_.children) if type_.id in ("struct", "map") else []


def _leaves(type_: Type) -> Iterator[str]:
    inside = children(type_)
    if not inside:
        yield str(type_)
    for _, child in inside:
        yield from _leaves(child)


def _composed(type_: Type, names: list[str], types: list[str]) -> str:
    if type_.id in ("list", "array"):
        return f"{types[0]}[]"
    if type_.id == "map":
        return f"MAP({types[0]}, {types[1]})"
    quoted = ('"' + name.replace('"', '""') + '"' for name in names)
    return f"{type_.id.upper()}({', '.join(map(' '.join, zip(quoted, types, strict=True)))})"
