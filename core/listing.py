"""One way to list: ``limit``, ``offset``, ``sort`` and a literal search, the same for pages and both APIs."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, TypeVarTuple

from pydantic import ConfigDict, Field, field_validator
from sqlalchemy import ColumnElement, Select, func, or_, select, true
from sqlalchemy.orm import Session

from core.errors import ValidationError
from core.fields import Input

T = TypeVar("T")
Columns = TypeVarTuple("Columns")


class ListQuery(Input):
    """What every list takes. ``sort`` names a field, ``-`` in front means descending."""

    model_config = ConfigDict(strict=False)  # an address holds text only

    limit: int = Field(20, ge=1, le=100)
    offset: int = Field(0, ge=0, le=10**9)
    sort: str = "-created_at"

    @field_validator("limit", "offset", mode="before")
    @classmethod
    def _numbers_are_plain(cls, value: Any) -> Any:
        """Python would read ``1_0`` and ``1.0`` as numbers, too."""
        if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,12}", value):
            raise ValueError("must be a whole number")
        return value


class SearchQuery(ListQuery):
    """What a list takes that can be searched:
    ``q`` is a literal part of a name or a text, whatever its letter case."""

    q: str | None = None

    def found_in(self, *columns: Any) -> ColumnElement[bool]:
        """Every row, when nothing is looked for."""
        return or_(*(contains(column, self.q) for column in columns)) if self.q else true()


@dataclass(frozen=True)
class Listed(Generic[T]):
    """One page of a list; ``total`` counts everything that matches."""

    items: Sequence[T]
    total: int
    limit: int
    offset: int


def fetch(
    session: Session,
    statement: Select[*Columns],
    query: ListQuery,
    *,
    sortable: Mapping[str, Any],
    tie: Any,
    present: Callable[[*Columns], T],
) -> Listed[T]:
    """Run ``statement`` for one page.

    ``present`` makes an item from what the statement selects. ``sortable`` maps public names to columns;
    ``tie`` is the column that breaks ties (the id). What has no value in the column comes last either way.
    Raises ValidationError for an unknown ``sort``.
    """
    descending, name = query.sort.startswith("-"), query.sort.removeprefix("-")
    if name not in sortable:
        raise ValidationError.of(
            "sort", f"must be one of {', '.join(sorted(sortable))}, with - in front for descending"
        )
    total = session.scalar(select(func.count()).select_from(statement.order_by(None).subquery())) or 0
    column = sortable[name].desc() if descending else sortable[name].asc()
    order = [column.nulls_last(), tie.desc() if descending else tie.asc()]
    rows = session.execute(statement.order_by(*order).limit(query.limit).offset(query.offset)).all()
    return Listed([present(*row) for row in rows], total, query.limit, query.offset)


def contains(column: Any, text: str) -> ColumnElement[bool]:
    """Case-insensitive literal substring: ``%`` and ``_`` mean themselves."""
    return column.icontains(text, autoescape=True)
