"""Rows of a version: pages from the server, sorting, a filter per column, and a drawer that shows one row whole."""

import json
from typing import Any

import pandas as pd
import streamlit as st

from core import datasets
from core.datasets import Dataset, Preview, Version
from core.ui import lists, row_view, show
from core.users import User

PER_PAGE = 50
OPERATORS = {
    "contains": "contains",
    "eq": "is",
    "ne": "is not",
    "gt": "is more than",
    "lt": "is less than",
    "empty": "is empty",
    "filled": "is not empty",
}
WITHOUT_VALUE = {"empty", "filled"}
OPEN = "_open_row"


def show_rows(user: User, dataset: Dataset, version: Version) -> None:
    """Draw the rows; a chosen one opens in a drawer."""
    names = [column["name"] for column in version.columns]
    order_by, where = _choose(names)

    def fetch(limit: int, offset: int) -> Preview:
        return datasets.preview(
            user, dataset.id, version=version.version, limit=limit, offset=offset, order_by=order_by, where=where or None
        )

    with st.spinner("Reading the rows …", show_time=False):
        found = lists.page_of(fetch, key="rows_page", per_page=PER_PAGE)
    if not found.items:
        show.empty("No rows", "No row passes the filters." if where else "This version has no rows.", icon="filter_alt_off")
        return
    _show_table(found, names, version)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        first = found.offset + 1
        st.caption(f"Rows {first:,} to {first + len(found.items) - 1:,} of {found.total:,}", width="content")
        lists.pages(found, key="rows_page")
    if (offset := st.session_state.pop(OPEN, None)) is not None:
        row_view.open_row(fetch, offset, found.total, version.format)


def _choose(names: list[str]) -> tuple[str | None, list[dict[str, Any]]]:
    """The sort and the filters that the reader set; both live in the address."""
    with st.container(horizontal=True, vertical_alignment="center", key="rows_toolbar"):
        column = st.selectbox(
            "Sort by",
            ["", *names],
            format_func=lambda name: f"Sort by {name}" if name else "File order",
            key="rows_sort",
            label_visibility="collapsed",
            bind="query-params",
            width=220,
        )
        descending = st.toggle("Descending", key="rows_desc", bind="query-params", disabled=not column)
        with st.popover("Filter", icon=":material/filter_alt:", key="rows_filter"):
            _add_filter(names)
        filters = _filters(names)
        for n, one in enumerate(filters):
            st.button(
                _words(one), key=f"drop_filter_{n}", icon=":material/close:", help="Remove this filter", on_click=_drop, args=(n,)
            )
    return (f"-{column}" if descending else column) if column else None, filters


def _add_filter(names: list[str]) -> None:
    column = st.selectbox("Column", names, key="filter_column")
    op = st.selectbox("Condition", list(OPERATORS), format_func=OPERATORS.__getitem__, key="filter_op")
    st.text_input("Value", key="filter_value", disabled=op in WITHOUT_VALUE)
    st.button("Add filter", key="filter_add", type="primary", on_click=_add, args=(column, op))


def _add(column: str, op: str) -> None:
    value = None if op in WITHOUT_VALUE else st.session_state.filter_value
    _store([*_stored(), {"column": column, "op": op, "value": value}])


def _drop(n: int) -> None:
    _store([one for k, one in enumerate(_stored()) if k != n])


def _store(filters: list[dict[str, Any]]) -> None:
    st.session_state["rows_page"] = 1
    if filters:
        st.query_params["where"] = json.dumps(filters)
    else:
        st.query_params.pop("where", None)


def _stored() -> list[dict[str, Any]]:
    try:
        found = json.loads(st.query_params.get("where") or "[]")
    except ValueError:
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _filters(names: list[str]) -> list[dict[str, Any]]:
    """What the address says, as far as it makes sense for this table."""
    return [one for one in _stored() if one.get("column") in names and one.get("op") in OPERATORS]


def _words(one: dict[str, Any]) -> str:
    value = "" if one["op"] in WITHOUT_VALUE else f" {one.get('value')}"
    return show.plain(f"{one['column']} {OPERATORS[one['op']]}{value}"[:60])


def _show_table(found: Preview, names: list[str], version: Version) -> None:
    table = pd.DataFrame([{name: _cell(item["data"].get(name)) for name in names} for item in found.items], columns=names)
    table.index = pd.Index([item["line"] for item in found.items], name="row")
    st.dataframe(
        table,
        key=f"rows_{version.id}_{found.offset}",
        on_select=lambda: _opened(version, found.offset),
        selection_mode="single-row",
        column_config={"row": st.column_config.NumberColumn("#", width=60, pinned=True)},
        height=min(38 * (len(found.items) + 1) + 2, 640),
        row_height=38,
    )
    st.caption(":material/ads_click: Choose a row at its left edge to see it whole.")


def _opened(version: Version, offset: int) -> None:
    chosen = st.session_state[f"rows_{version.id}_{offset}"].selection.rows
    if chosen:
        st.session_state[OPEN] = offset + chosen[0]


def _cell(value: Any) -> Any:
    """Lists and objects as compact JSON; long text is cut, the drawer has it whole."""
    if isinstance(value, (list, dict)):
        value = json.dumps(value, ensure_ascii=False)
    return value[:500] if isinstance(value, str) else value
