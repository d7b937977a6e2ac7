"""Rows of a version: pages from the server, sorting, a filter per column, and a drawer that shows one row whole."""

import json
import zlib
from typing import Any

import pandas as pd
import streamlit as st

from core import datasets
from core.datasets import Dataset, Filter, Preview, Version
from core.fields import parse
from core.ui import lists, row_view, show
from core.users import User

PER_PAGE = 50
CONDITIONS = {
    "contains": "contains",
    "equals": "is",
    "min": "is at least",
    "max": "is at most",
    "empty": "is empty",
    "filled": "is not empty",
}
NULLNESS = {"empty": True, "filled": False}
Filters = dict[str, dict[str, Any]]
OPEN = "_open_row"


def show_rows(user: User, dataset: Dataset, version: Version) -> None:
    """Draw the rows; a chosen one opens in a drawer."""
    names = [column["name"] for column in version.columns]
    order_by, where = _choose(names)

    def fetch(limit: int, offset: int) -> Preview:
        return datasets.preview(
            user,
            dataset.id,
            version=version.version,
            limit=limit,
            offset=offset,
            order_by=order_by,
            where={name: parse(Filter, **wanted) for name, wanted in where.items()},
        )

    with st.spinner("Reading the rows …", show_time=False):
        found = lists.page_of(fetch, key="rows_page", per_page=PER_PAGE)
    if not found.items:
        show.empty("No rows", "No row passes the filters." if where else "This version has no rows.", icon="filter_alt_off")
        return
    view = zlib.crc32(json.dumps([version.id, order_by, where, found.offset]).encode())
    with st.container(key="rows_table"):
        _show_table(found, names, key=f"rows_{view:x}")  # another view is another table: what was selected is not kept
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        first = found.offset + 1
        st.caption(f"Rows {first:,} to {first + len(found.items) - 1:,} of {found.total:,}", width="content")
        lists.pages(found, key="rows_page")
    if (offset := st.session_state.pop(OPEN, None)) is not None:
        row_view.open_row(fetch, offset, found.total, version.format)


def _choose(names: list[str]) -> tuple[str | None, Filters]:
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
            _show_filter_form(names)
        filters = {name: wanted for name, wanted in _stored().items() if name in names}
        for n, (name, wanted) in enumerate(filters.items()):
            words = show.plain(f"{name} {_words(wanted)}"[:60])
            st.button(
                words, key=f"drop_filter_{n}", icon=":material/close:", help="Remove this filter", on_click=_drop, args=(name,)
            )
    return (f"-{column}" if descending else column) if column else None, filters


def _show_filter_form(names: list[str]) -> None:
    column = st.selectbox("Column", names, key="filter_column")
    condition = st.selectbox("Condition", list(CONDITIONS), format_func=CONDITIONS.__getitem__, key="filter_op")
    st.text_input("Value", key="filter_value", disabled=condition in NULLNESS)
    st.button("Add filter", key="filter_add", type="primary", on_click=_add, args=(column, condition))


def _add(column: str, condition: str) -> None:
    wanted = {"is_null": NULLNESS[condition]} if condition in NULLNESS else {condition: st.session_state.filter_value or ""}
    filters = _stored()
    _store({**filters, column: {**filters.get(column, {}), **wanted}})


def _drop(column: str) -> None:
    _store({name: wanted for name, wanted in _stored().items() if name != column})


def _store(filters: Filters) -> None:
    st.session_state["rows_page"] = 1
    if filters:
        st.query_params["where"] = json.dumps(filters, ensure_ascii=False)
    else:
        st.query_params.pop("where", None)


def _stored() -> Filters:
    """What the address says, as far as it is a filter at all."""
    try:
        found = json.loads(st.query_params.get("where") or "{}")
    except ValueError:
        return {}
    items = found.items() if isinstance(found, dict) else ()
    return {name: wanted for name, wanted in items if isinstance(wanted, dict) and set(wanted) <= set(Filter.model_fields)}


def _words(wanted: dict[str, Any]) -> str:
    said = {**CONDITIONS, "one_of": "is one of"}
    parts = [f"{said[name]} {value}" for name, value in wanted.items() if name != "is_null"]
    if "is_null" in wanted:
        parts.append(CONDITIONS["empty"] if wanted["is_null"] else CONDITIONS["filled"])
    return " and ".join(parts)


def _show_table(found: Preview, names: list[str], *, key: str) -> None:
    table = pd.DataFrame([{name: _cell(item["data"].get(name)) for name in names} for item in found.items], columns=names)
    table.index = pd.Index([item["line"] for item in found.items], name="row")
    st.dataframe(
        table,
        key=key,
        on_select=lambda: _opened(key, found.offset),
        selection_mode="single-row",
        column_config={"row": st.column_config.NumberColumn("#", width=60, pinned=True)},
        height=min(38 * (len(found.items) + 1) + 2, 640),
        row_height=38,
    )
    st.caption(":material/ads_click: Choose a row at its left edge to see it whole.")


def _opened(key: str, offset: int) -> None:
    chosen = st.session_state[key].selection.rows
    if chosen:
        st.session_state[OPEN] = offset + chosen[0]


def _cell(value: Any) -> Any:
    """Conversations as they are said, other nested values as compact JSON; long text is cut, the drawer has it whole."""
    if isinstance(value, list) and value and all(isinstance(one, dict) and "role" in one for one in value):
        value = "  ▸  ".join(f"{one['role']}: {one.get('content') or ''}" for one in value)
    if isinstance(value, (list, dict)):
        value = json.dumps(value, ensure_ascii=False)
    return value[:500] if isinstance(value, str) else value
