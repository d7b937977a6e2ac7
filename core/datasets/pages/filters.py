"""Which rows are meant: a filter per column and words to search for, as SQL with every value bound.

Column names are checked against the version and quoted; nothing a user wrote becomes SQL. The opposites
(``not_equals``, ``not_contains``, ``none_of``, ``outside``) also find rows in which the column is null. A
range leaves not-a-number out, as the histograms do, and ``7.5`` on a column of whole numbers means what it
says instead of being rounded to 8.
"""

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, InvalidOperation
from typing import Annotated, Any

import pydantic
from pydantic import Field

from core.errors import ValidationError
from core.fields import Input
from core.readers.base import literal, quoted
from core.sql_types import is_decimal, is_moment, is_number, parsed, size_of_decimal

MAX_WORDS = 20
Scalar = bool | int | float | str
Column = Mapping[str, str]
Many = Annotated[list[Scalar] | None, Field(max_length=1000)]
BITS = {
    "TINYINT": 7,
    "SMALLINT": 15,
    "INTEGER": 31,
    "BIGINT": 63,
    "UTINYINT": 8,
    "USMALLINT": 16,
    "UINTEGER": 32,
    "UBIGINT": 64,
}
MOST_DIGITS = 38
EXACTLY = Context(prec=MOST_DIGITS)
ROUNDING = {">=": ROUND_CEILING, ">": ROUND_FLOOR, "<=": ROUND_FLOOR, "<": ROUND_CEILING}


class Filter(Input):
    """What one column must satisfy; everything given must hold.

    ``contains`` and ``starts_with`` are literal and ignore case; ``min`` and ``max`` include their bound, the
    others do not.
    """

    contains: str | None = None
    not_contains: str | None = None
    starts_with: str | None = None
    equals: Scalar | None = None
    not_equals: Scalar | None = None
    min: Scalar | None = None
    max: Scalar | None = None
    above: Scalar | None = None
    below: Scalar | None = None
    outside: Annotated[list[Scalar] | None, Field(min_length=2, max_length=2)] = None
    is_null: bool | None = None
    one_of: Many = None
    none_of: Many = None


def as_filter(name: str, wanted: Any) -> Filter:
    """A filter as it comes: a Filter, its dict, a plain value (equals), or None (is null)."""
    if isinstance(wanted, Filter):
        return wanted
    try:
        if isinstance(wanted, Mapping):
            _refuse_unknown(name, wanted)
            return Filter.model_validate(dict(wanted))
        return Filter(is_null=True) if wanted is None else Filter(equals=wanted)
    except pydantic.ValidationError as error:
        message = f"must be a value, or some of {', '.join(Filter.model_fields)}"
        raise ValidationError.of(f"where.{name[:100]}", message) from error


def _refuse_unknown(name: str, wanted: Mapping[str, Any]) -> None:
    """A condition that is not known would be no condition at all: all rows would pass."""
    for word in wanted:
        if word not in Filter.model_fields:
            known = ", ".join(Filter.model_fields)
            raise ValidationError.of(
                f"where.{name[:100]}", f"{str(word)[:40]!r} is no condition; these are: {known}"
            )


class Condition:
    """The WHERE of a view: ``sql`` (empty when all rows are meant) and its bound ``values``."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.values: list[Any] = []

    @property
    def sql(self) -> str:
        return " AND ".join(self.parts)

    def add(self, sql: str, *values: Any) -> None:
        self.parts.append(f"({sql})")
        self.values += values


def condition_of(where: Mapping[str, Filter], search: str | None, known: Mapping[str, Column]) -> Condition:
    """Raises ValidationError for a column that is not there
    or a value that cannot be of its column's type."""
    condition = Condition()
    for name, wanted in where.items():
        _add_filter(condition, require_column(name, known, "where"), known[name]["type"], wanted)
    for word in (search or "").split()[:MAX_WORDS]:
        _add_word(condition, word, known)
    return condition


def require_column(name: str, known: Mapping[str, Any], field: str) -> str:
    if name not in known:
        raise ValidationError.of(field, f"there is no column {name[:100]!r}")
    return name


def has_text(type_: str) -> bool:
    """Whether the search looks into columns of this type."""
    return text_of("x", type_) is not None


def text_of(cell: str, type_: str) -> str | None:
    """SQL for all the text inside a cell, also of nested ones; None for a type that holds none."""
    return _text(cell, parsed(type_), 0)


def _add_filter(found: Condition, name: str, type_: str, wanted: Filter) -> None:
    cell = quoted(name)
    text = text_of(cell, type_) or f"CAST({cell} AS VARCHAR)"
    if wanted.contains is not None:
        found.add(f"contains(lower({text}), lower(?))", wanted.contains)
    if wanted.not_contains is not None:
        found.add(f"contains(lower({text}), lower(?)) IS NOT TRUE", wanted.not_contains)
    if wanted.starts_with is not None:
        found.add(f"starts_with(lower({text}), lower(?))", wanted.starts_with)
    if wanted.is_null is not None:
        found.add(f"{cell} IS {'' if wanted.is_null else 'NOT '}NULL")
    for operator, value in (
        ("=", wanted.equals),
        (">=", wanted.min),
        (">", wanted.above),
        ("<=", wanted.max),
        ("<", wanted.below),
    ):
        if value is not None:
            sql, values = _compared(name, type_, operator, value)
            found.add(sql, *values)
    _add_opposites(found, name, type_, wanted)


def _add_opposites(found: Condition, name: str, type_: str, wanted: Filter) -> None:
    if wanted.one_of is not None:
        sql, values = _one_of(name, type_, wanted.one_of)
        found.add(sql, *values)
    unwanted = wanted.none_of if wanted.none_of is not None else []
    if wanted.not_equals is not None:
        unwanted = [*unwanted, wanted.not_equals]
    if unwanted:
        sql, values = _one_of(name, type_, unwanted)
        found.add(f"({sql}) IS NOT TRUE", *values)
    if wanted.outside is not None:
        low, low_values = _compared(name, type_, ">=", wanted.outside[0])
        high, high_values = _compared(name, type_, "<=", wanted.outside[1])
        found.add(f"({low} AND {high}) IS NOT TRUE", *low_values, *high_values)


def _one_of(name: str, type_: str, wanted: list[Scalar]) -> tuple[str, list[Any]]:
    compared = [_compared(name, type_, "=", value) for value in wanted]
    return " OR ".join(sql for sql, _ in compared) or "false", [
        value for _, values in compared for value in values
    ]


def _compared(name: str, type_: str, operator: str, value: Scalar) -> tuple[str, list[Any]]:
    """One comparison. Numbers are bound as text and cast by DuckDB, so that none loses digits on its way."""
    cell = quoted(name)
    if type_ in BITS or is_decimal(type_):
        return _compared_exactly(cell, type_, operator, _number(name, value))
    if is_number(type_):
        ordered = "" if operator == "=" else f" AND NOT isnan({cell})"
        return f"{cell} {operator} CAST(? AS {type_}){ordered}", [str(_number(name, value))]
    if type_ in ("VARCHAR", "BOOLEAN", "TIME", "UUID") or is_moment(type_):
        return f"{cell} {operator} CAST(? AS {type_})", [_as_text(value)]
    return f"CAST({cell} AS VARCHAR) {operator} ?", [_as_text(value)]


def _compared_exactly(cell: str, type_: str, operator: str, value: Decimal) -> tuple[str, list[Any]]:
    if not value.is_finite():
        matches = value.is_infinite() and (value > 0) == (operator in ("<", "<="))
        return (f"{cell} IS NOT NULL" if matches and operator != "=" else "false"), []
    digits, scale = (MOST_DIGITS, 0) if type_ in BITS else size_of_decimal(type_)
    try:
        rounded = value.quantize(Decimal(1).scaleb(-scale), ROUNDING.get(operator, ROUND_FLOOR), EXACTLY)
    except InvalidOperation:  # more digits than any column here can hold
        rounded = None
    if rounded is None or rounded.copy_abs() >= Decimal(10) ** (digits - scale):
        return (
            f"{cell} IS NOT NULL" if operator != "=" and (value < 0) == (operator in (">", ">=")) else "false"
        ), []
    if operator == "=" and rounded != value:
        return "false", []
    is_inside = type_ not in BITS or rounded.copy_abs() < 2 ** BITS[type_]
    cast = type_ if is_inside and (rounded >= 0 or not type_.startswith("U")) else "HUGEINT"
    return f"{cell} {operator} CAST(? AS {cast})", [f"{rounded:f}"]


def _number(name: str, value: Scalar) -> Decimal:
    try:
        return Decimal(str(value).strip())
    except InvalidOperation as error:
        raise ValidationError.of(f"where.{name[:100]}", f"{str(value)[:40]!r} is not a number") from error


def _as_text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _add_word(found: Condition, word: str, known: Mapping[str, Column]) -> None:
    texts = [text for name, column in known.items() if (text := text_of(quoted(name), column["type"]))]
    found.add(
        " OR ".join(f"contains(lower({text}), lower(?))" for text in texts) or "false", *[word] * len(texts)
    )


def _text(cell: str, type_: Any, depth: int) -> str | None:
    kind = type_.id
    if kind == "varchar":
        return cell
    if kind in ("enum", "uuid"):
        return f"CAST({cell} AS VARCHAR)"
    if kind == "struct":
        parts = [
            part
            for name, child in type_.children
            if (part := _text(f"struct_extract({cell}, {literal(name)})", child, depth))
        ]
        return f"concat_ws(chr(10), {', '.join(parts)})" if parts else None
    if kind in ("list", "array"):
        part = _text(f"x{depth}", type_.children[0][1], depth + 1)
        return f"array_to_string(list_transform({cell}, lambda x{depth}: {part}), chr(10))" if part else None
    if kind == "map":
        (_, key), (_, value) = type_.children
        sides = [(f"map_keys({cell})", key), (f"map_values({cell})", value)]
        parts = [f"array_to_string(list_transform({side}, lambda x{depth}: {part}), chr(10))"
                 for side, child in sides if (part := _text(f"x{depth}", child, depth + 1))]  # fmt: skip
        return f"concat_ws(chr(10), {', '.join(parts)})" if parts else None
    return None
