"""What the Rows tab shows, as the address says it: a link reopens the same view.

``where`` (JSON), ``sort``, ``q``, ``cols`` and ``finding`` are a ``View``; ``page`` and ``size`` say which
part of it, ``row`` what is open in the drawer. What makes no sense is ignored. Widgets keep no value of their
own: they show what the address says, and change it in their callbacks.
"""

import json
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.datasets import Filter, Version, View, views
from core.errors import LuthierError

PER_PAGE = 50
SIZES = (25, 50, 100, 200, 500)
MANY_COLUMNS = 500  # more are found by a part of their name
FIRST_COLUMNS = 60  # of a wider table only so many are shown until others are chosen


@dataclass(frozen=True)
class RowsAddress:
    """``view`` is what was asked for; ``shown`` the columns that are drawn."""

    view: View
    shown: list[str]
    page: int
    size: int
    row: int | None

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.size

    @property
    def page_view(self) -> View:
        return self.view.model_copy(update={"columns": self.shown})


def read(version: Version) -> RowsAddress:
    names = [column["name"] for column in version.columns]
    view = _view(version, set(names))
    size = _number("size") or PER_PAGE
    return RowsAddress(
        view=view,
        shown=view.columns or names[:FIRST_COLUMNS],
        page=_number("page") or 1,
        size=size if size in SIZES else PER_PAGE,
        row=_number("row"),
    )


def change(**values: str | int | None) -> None:
    """Write parts of the address; None takes one out.

    A changed view starts at its first page, and its drawer is closed.
    """
    if set(values) - {"page", "row"}:
        values = {"page": None, "row": None, **values}
    for name, value in values.items():
        if value in (None, "") or (name == "page" and value == 1) or (name == "size" and value == PER_PAGE):
            st.query_params.pop(name, None)
        else:
            st.query_params[name] = str(value)


def change_filter(view: View, column: str, wanted: dict[str, Any] | None) -> None:
    """Set a column's filter, or take it away."""
    where: dict[str, Any] = {
        name: condition.model_dump(exclude_none=True) for name, condition in view.where.items()
    }
    where.pop(column, None)
    if wanted:
        where[column] = wanted
    change(where=json.dumps(where, ensure_ascii=False, separators=(",", ":")) if where else None)


def change_columns(names: list[str]) -> None:
    change(cols=views.to_query(View(columns=names)).get("cols"), page=_number("page"), row=None)


def filter_of(view: View, column: str) -> dict[str, Any]:
    return view.where.get(column, Filter()).model_dump(exclude_none=True)


def _view(version: Version, names: set[str]) -> View:
    parameters = {
        name: value
        for name in ("sort", "q", "cols", "where", "finding")
        if (value := st.query_params.get(name))
    }
    view = View()
    for name, value in parameters.items():
        try:
            part = views.from_query({name: value})
        except LuthierError:
            continue
        view = view.model_copy(
            update=part.model_dump(exclude_defaults=True) | ({"where": part.where} if part.where else {})
        )
    sort = view.order_by or ""
    is_known = sort in names or sort.removeprefix("-") in names
    return view.model_copy(
        update={
            "version": version.version,
            "where": {
                name: wanted for name, wanted in view.where.items() if name in names and wanted != Filter()
            },
            "columns": [name for name in view.columns or () if name in names] or None,
            "order_by": sort if is_known else None,
        }
    )


def _number(name: str) -> int | None:
    text = st.query_params.get(name) or ""
    return int(text) if text.isdecimal() and 0 < len(text) < 10 and int(text) > 0 else None
