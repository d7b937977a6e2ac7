"""The Rows tab: a page of rows in the grid, what chooses them above it,
the place in the list below it, and a drawer with one row in full.

The address holds everything that decides what is shown (``rows_address``); the server reads, counts and
filters the rows.
"""

import hashlib
from typing import Any
from urllib.parse import urlencode

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import datasets
from core.datasets import Dataset, Preview, Version, views
from core.datasets.pages import filters
from core.datasets.pages.shares import ColumnShare
from core.people.users import User
from core.sql_types import is_nested, is_number
from core.ui import dialogs, digits, places, show
from core.ui.datasets import download_words
from core.ui.datasets.rows import row_view, rows_address, rows_filter, rows_strip
from core.ui.datasets.rows.rows_address import PER_PAGE, SIZES, RowsAddress
from core.ui.elements import grid

__all__ = ["PER_PAGE", "show_rows"]
COMING = ("waiting", "running")  # states of a profile
JUMP_FROM = 8  # pages; fewer need no field to jump by


def show_rows(user: User, dataset: Dataset, version: Version) -> None:
    """Draw the rows; a chosen one opens in a drawer."""
    address = rows_address.read(version)
    # from the footer while the real one is being computed
    known = datasets.profile(user, dataset.id, version=version.version)
    profile = {column["name"]: column for column in known.columns}
    beside_chips = _show_toolbar(user, dataset, version, address, profile)
    with st.spinner("Reading the rows …", show_time=False), show.guarded():
        page, address = _fetch(user, dataset, address)
        if beside_chips and address.view.narrows:
            beside_chips.markdown(f"**{page.total:,} of {version.num_rows:,}**", width="content")
        shares = datasets.shares_of(user, dataset.id, address.page_view, profile, values=rows_strip.TOPS)
        _show_grid(page, version, address, profile, shares or {})
        if shares is None:
            st.caption(
                "The bars above the columns are of all rows: counting those that pass takes too long here."
            )
        if known.status in COMING:
            _await_profile(user, dataset, version)
        _show_foot(page, version, address)
        if address.row is not None:
            row_view.open_row(user, dataset, version, address, page)


def _fetch(user: User, dataset: Dataset, address: RowsAddress) -> tuple[Preview, RowsAddress]:
    """The page of the address, or the last one when it is behind the end."""
    page = datasets.rows_of(
        user,
        dataset.id,
        address.page_view,
        limit=address.size,
        offset=address.offset,
        present=grid.text,
        cut=grid.CUT + 1,
    )
    last = max(1, -(-page.total // address.size))
    if address.page <= last:
        return page, address
    rows_address.change(page=last)
    return _fetch(user, dataset, RowsAddress(address.view, address.shown, last, address.size, address.row))


@st.fragment(run_every=1.5)
def _await_profile(user: User, dataset: Dataset, version: Version) -> None:
    """A line about it, and the page drawn again when it is there."""
    profile = datasets.profile(user, dataset.id, version=version.version)
    if profile.status not in COMING:
        dialogs.renew()
    st.caption(f":material/hourglass_top: The columns' statistics are being computed: {profile.progress:.0%}")


def _show_toolbar(
    user: User, dataset: Dataset, version: Version, address: RowsAddress, profile: dict[str, Any]
) -> DeltaGenerator | None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="rows_toolbar"):
        st.session_state["rows_q"] = address.view.search or ""
        st.text_input(
            "Search in all text",
            key="rows_q",
            type="search",
            placeholder="Search in all text",
            label_visibility="collapsed",
            icon=":material/search:",
            width=280,
            on_change=lambda: rows_address.change(q=(st.session_state["rows_q"] or "").strip()[:200]),
        )
        with st.popover("Filter", icon=":material/filter_alt:", key="rows_filter", width="content"):
            rows_filter.show_form(user, dataset, version, address, profile)
        with st.popover(
            _columns_label(version, address),
            icon=":material/view_column:",
            key="rows_columns",
            width="content",
        ):
            _show_columns(version, address)
        with st.popover("Export", icon=":material/download:", key="rows_download", width="content"):
            _show_downloads(dataset, version, address)
        places.link("edit", "Edit these rows", icon="edit", id=dataset.id, **_edited(address))
    return rows_filter.show_chips(user, version, address)


def _edited(address: RowsAddress) -> dict[str, str | None]:
    """The same rows in the editor."""
    query = views.to_query(address.view)
    return {"where": query.get("where"), "finding": query.get("finding"), "edit_search": address.view.search}


def _columns_label(version: Version, address: RowsAddress) -> str:
    few = len(address.shown) < len(version.columns)
    return f"{len(address.shown)} of {show.count(len(version.columns), 'column')}" if few else "Columns"


def _show_columns(version: Version, address: RowsAddress) -> None:
    names = [column["name"] for column in version.columns]
    options = names
    if len(names) > rows_address.MANY_COLUMNS:
        text = st.text_input("Find columns", key="rows_find_column", placeholder="Part of a name").lower()
        matching = [name for name in names if text in name.lower()][:200]
        options = list(dict.fromkeys([*address.shown, *matching]))
    st.session_state["rows_cols"] = list(address.shown)
    st.multiselect(
        "Shown columns, in this order",
        options,
        key="rows_cols",
        placeholder="All columns",
        on_change=lambda: rows_address.change_columns(_in_need(st.session_state["rows_cols"], names)),
    )
    if address.view.columns:
        st.button(
            "Back to all",
            key="rows_cols_all",
            icon=":material/undo:",
            on_click=rows_address.change_columns,
            args=([],),
        )


def _in_need(chosen: list[str], names: list[str]) -> list[str]:
    """What has to be written into the address: nothing when it is what would be shown anyway."""
    return [] if chosen == names[: rows_address.FIRST_COLUMNS] else chosen


def _show_downloads(dataset: Dataset, version: Version, address: RowsAddress) -> None:
    st.markdown("**Export what is shown**")
    st.caption("All rows that pass the search and the filters, with the shown columns, sorted as here.")
    view = address.page_view if len(address.shown) < len(version.columns) else address.view
    query = views.to_query(view)
    with st.container(horizontal=True):
        for as_, label in (("csv", "CSV"), ("jsonl", "JSON Lines"), ("parquet", "Parquet")):
            st.link_button(
                label,
                f"/download/{dataset.id}?{urlencode({**query, 'as': as_})}",
                key=f"rows_download_{as_}",
                help=download_words.help_of(as_, version.columns),
            )


def _show_grid(
    page: Preview,
    version: Version,
    address: RowsAddress,
    profile: dict[str, Any],
    shares: dict[str, ColumnShare],
) -> None:
    view, where = (
        address.view,
        {name: rows_address.filter_of(address.view, name) for name in address.view.where},
    )
    columns = [
        grid.GridColumn(
            name=column["name"],
            type=grid.short_type(column["type"]),
            full_type=column["type"],
            kind=_kind(column["type"]),
            sort=_sorted(view.order_by, column["name"], version),
            searched=filters.has_text(column["type"]),
            strip=rows_strip.strip(
                profile.get(column["name"]),
                version.num_rows,
                where.get(column["name"], {}),
                part=shares.get(column["name"]),
            ),
        )
        for column in page.columns
    ]
    place = repr((version.id, view, address.shown, address.page, address.size))
    sheet = grid.Sheet(
        label=f"Rows of version {version.version}",
        columns=columns,
        rows=[[item["line"], *cells] for item, cells in zip(page.items, _cells(page, address), strict=True)],
        total=page.total,
        first=page.offset + 1,
        page=hashlib.md5(place.encode(), usedforsecurity=False).hexdigest(),
        empty="No row passes the search and the filters." if view.narrows else "This version has no rows.",
        open=address.row,
        words=(view.search or "").lower().split(),
    )
    with st.container(key="rows_table"):
        grid.show("rows_grid", sheet, on_act=lambda acted: _act(acted, address, profile))


def _cells(page: Preview, address: RowsAddress) -> list[tuple[Any, ...]]:
    """The texts of the rows; numbers of a column are written alike."""
    types = {column["name"]: str(column["type"]) for column in page.columns}
    columns = []
    for name in address.shown:
        texts = [item["data"][name] for item in page.items]
        is_column_of_numbers = is_number(types.get(name, ""))
        columns.append(
            digits.aligned(name, texts, places=digits.scale_of(types[name]))
            if is_column_of_numbers
            else texts
        )
    return list(zip(*columns, strict=True)) if columns else [() for _ in page.items]


def _sorted(order_by: str | None, name: str, version: Version) -> str | None:
    """A column may itself be called ``-x``, so the order is read as the service reads it: a name first."""
    if order_by == name:
        return "asc"
    is_name = any(column["name"] == order_by for column in version.columns)
    return "desc" if order_by == f"-{name}" and not is_name else None


def _act(acted: dict[str, Any], address: RowsAddress, profile: dict[str, Any]) -> None:
    """What a click in the grid means for the address."""
    if "row" in acted:
        return rows_address.change(row=int(acted["row"]))
    kind = next((kind for kind in ("sort", "bar", "value", "nulls") if kind in acted), "")
    if not kind or not 0 <= acted[kind] < len(address.shown):
        return None
    name = address.shown[acted[kind]]
    if kind == "sort":
        following = {None: name, name: f"-{name}", f"-{name}": None}
        order = address.view.order_by
        return rows_address.change(sort=following.get(order if order in following else None))
    column, wanted = profile[name], rows_address.filter_of(address.view, name)
    if kind == "bar":
        wanted = rows_strip.with_bar(column, wanted, int(acted["number"]), extend=bool(acted.get("extend")))
    elif kind == "value":
        wanted = rows_strip.with_value(column, wanted, int(acted["number"]))
    else:
        wanted = rows_strip.with_nulls(wanted)
    return rows_address.change_filter(address.view, name, wanted)


def _kind(type_: str) -> str:
    if is_number(type_):
        return "number"
    is_talk = "role" in type_ and "content" in type_  # the grid shows a conversation as text
    return "nested" if not is_talk and (is_nested(type_) or type_ == "JSON") else ""


def _show_foot(page: Preview, version: Version, address: RowsAddress) -> None:
    pages = max(1, -(-page.total // address.size))
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="rows_foot"
    ):
        st.caption(_place_words(page, version), width="content")
        with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content"):
            if pages > 1:
                st.session_state["rows_page"] = address.page
                st.pagination(
                    pages, key="rows_page", max_visible_pages=5, on_change=lambda: _turn("rows_page")
                )
            if pages >= JUMP_FROM:
                st.session_state["rows_jump"] = address.page
                st.number_input(
                    "Go to page",
                    1,
                    pages,
                    key="rows_jump",
                    width=120,
                    label_visibility="collapsed",
                    on_change=lambda: _turn("rows_jump"),
                    help="Go to page",
                )
            if page.total > min(SIZES):
                st.session_state["rows_size"] = address.size
                st.selectbox(
                    "Rows per page",
                    SIZES,
                    key="rows_size",
                    format_func=lambda size: f"{size} per page",
                    width=140,
                    label_visibility="collapsed",
                    on_change=lambda: rows_address.change(size=st.session_state["rows_size"]),
                )


def _turn(key: str) -> None:
    rows_address.change(page=int(st.session_state[key]), row=None)


def _place_words(page: Preview, version: Version) -> str:
    if not page.items:
        return f"None of {show.count(version.num_rows, 'row')}"
    first = page.offset + 1
    words = f"Rows {first:,} to {first + len(page.items) - 1:,} of {page.total:,}"
    return words if page.total == version.num_rows else f"{words} found among {version.num_rows:,}"
