"""How one column is compared between two versions, as SQL.

Both sides become the same type, so that one ``=`` and one hash do.

Nested values are compared as JSON text: DuckDB's hash takes ``[]`` and null for the same. Numbers of
different types are compared by their shortest exact text, which keeps 9007199254740993 apart from its nearest
float.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from core import sql_types
from core.readers.base import quoted
from core.sql_types import FLOATS, WHOLE, is_moment, is_number

LARGEST_WHOLE = "1e38"  # what fits a HUGEINT


@dataclass(frozen=True)
class Compared:
    """A column of both versions; ``alias`` is its name in the SQL of a comparison."""

    name: str
    alias: str
    from_type: str
    to_type: str

    def sql(self, side: str) -> str:
        """The value as both sides have it. ``side``: a (from) or b (to)."""
        mine, theirs = (self.from_type, self.to_type) if side == "a" else (self.to_type, self.from_type)
        return comparable(quoted(self.name), mine, theirs)

    @property
    def salted(self) -> str:
        """For a second hash: an equal 64-bit hash of two texts must not make their second hash equal, too."""
        is_text = self.from_type != self.to_type or is_text_like(self.from_type)
        return f"({self.alias}::VARCHAR || chr(1))" if is_text else self.alias

    @property
    def may_be_key(self) -> bool:
        return not is_nested(self.to_type) and self.from_type not in FLOATS and self.to_type not in FLOATS


def compared(old: Sequence[dict[str, str]], new: Sequence[dict[str, str]]) -> list[Compared]:
    """The columns that both have, in the order of the new version."""
    before = {column["name"]: column["type"] for column in old}
    return [
        Compared(column["name"], f"x{i}", before[column["name"]], column["type"])
        for i, column in enumerate(new)
        if column["name"] in before
    ]


def comparable(cell: str, mine: str, theirs: str) -> str:
    """SQL for ``cell`` of type ``mine`` so that it can be compared with one of type ``theirs``."""
    if is_nested(mine) or is_nested(theirs):
        return f"to_json({cell})::VARCHAR"
    if mine == theirs:
        return cell
    if mine in WHOLE and theirs in WHOLE:
        return f"{cell}::HUGEINT"
    if is_number(mine) and is_number(theirs):
        return number_text(cell, mine)
    if is_moment(mine) and is_moment(theirs):
        return f"{cell}::TIMESTAMP WITH TIME ZONE" if "ZONE" in mine + theirs else f"{cell}::TIMESTAMP"
    return f"{cell}::VARCHAR"


def number_text(cell: str, type_: str) -> str:
    """The shortest text of a number, the same for 1, 1.0 and 1.00."""
    if type_ in WHOLE:
        return f"{cell}::VARCHAR"
    if type_ in FLOATS:
        is_whole = f"isfinite({cell}) AND {cell} = trunc({cell}) AND abs({cell}) < {LARGEST_WHOLE}"
        return f"CASE WHEN {is_whole} THEN {cell}::HUGEINT::VARCHAR ELSE {cell}::VARCHAR END"
    return (
        f"CASE WHEN contains({cell}::VARCHAR, '.') THEN rtrim(rtrim({cell}::VARCHAR, '0'), '.') "
        f"ELSE {cell}::VARCHAR END"
    )


def is_nested(type_: str) -> bool:
    """A structure, also one of which each row has its own."""
    return sql_types.is_nested(type_) or type_ == "VARIANT"


def is_text_like(type_: str) -> bool:
    return type_ in ("VARCHAR", "JSON") or is_nested(type_)
