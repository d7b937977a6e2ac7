"""The table editor: a page of rows to mend, search to find them, and saving all of it as the next version."""

import json
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import streamlit as st

from core import datasets
from core.datasets import Dataset, Preview, Version
from core.errors import Conflict, LuthierError
from core.ui import lists, places, show
from core.ui.edit_state import ROW, Pending, fold, shown_rows
from core.users import User

PER_PAGE = 50
WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
LARGEST_SHOWN = 2**53  # a browser's numbers are floats
STATE = "_editing_{}"


@dataclass
class Editing:
    """``ground``: what was changed before the present editor was put on the page; ``now``: with what it reports."""

    ground: Pending = field(default_factory=Pending)
    now: Pending = field(default_factory=Pending)
    page: tuple[Any, ...] = ()
    times: int = 0
    error: LuthierError | None = None


def show_editor(user: User, dataset: Dataset, version: Version) -> None:
    state: Editing = st.session_state.setdefault(STATE.format(version.id), Editing())
    st.caption(
        f"Version {version.version}, {show.count(version.num_rows, 'row')}. Change cells, add rows at the end of the table, or "
        "choose rows at their left edge to delete them. Types stay as they are; an emptied cell has no value."
    )
    search = lists.search("edit_search", placeholder="Find rows by their words")
    with st.spinner("Reading the rows …", show_time=False):
        found = lists.page_of(
            lambda limit, offset: datasets.preview(
                user, dataset.id, version=version.version, limit=limit, offset=offset, search=search
            ),
            key="edit_page",
            per_page=PER_PAGE,
        )
    _turn_to(state, (found.offset, search))
    _show_table(state, version, found)
    lists.pages(found, key="edit_page")
    _show_saving(user, dataset, version, state)


def _turn_to(state: Editing, page: tuple[Any, ...]) -> None:
    if state.page != page:
        state.ground, state.page, state.times = state.now, page, state.times + 1


def _show_table(state: Editing, version: Version, found: Preview) -> None:
    rows = shown_rows(list(found.items), state.ground)
    types = {column["name"]: column["type"] for column in version.columns}
    table = pd.DataFrame({ROW: pd.array([row[ROW] for row in rows], dtype="Int64")})
    for name, type_ in types.items():
        table[name] = _values([row.get(name) for row in rows], type_)
    widget = f"edit_table_{version.id}_{state.times}"
    st.data_editor(
        table,
        key=widget,
        num_rows="dynamic",
        hide_index=True,
        disabled=[ROW],
        column_config={ROW: st.column_config.NumberColumn("#", width=70, pinned=True, format="localized")},
        column_order=[ROW, *types],
        height=min(36 * (len(rows) + 2) + 2, 560),
    )
    state.now = fold(state.ground, rows, st.session_state[widget])


def _values(cells: list[Any], type_: str) -> Any:
    """Numbers and truth values as such, all else as the text that it is saved from."""
    if type_ in WHOLE and all(cell is None or (isinstance(cell, int) and abs(cell) < LARGEST_SHOWN) for cell in cells):
        return pd.array(cells, dtype="Int64")
    if type_ in ("DOUBLE", "FLOAT") and all(cell is None or isinstance(cell, (int, float)) for cell in cells):
        return pd.array([None if cell is None else float(cell) for cell in cells], dtype="Float64")
    if type_ == "BOOLEAN" and all(cell is None or isinstance(cell, bool) for cell in cells):
        return pd.array(cells, dtype="boolean")
    return pd.array([_text(cell) for cell in cells], dtype="string")


def _text(cell: Any) -> str | None:
    return cell if cell is None or isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)


def _show_saving(user: User, dataset: Dataset, version: Version, state: Editing) -> None:
    said = _said(state.now)
    with st.container(border=True, key="edit_saving"):
        st.markdown(f"**{said}**, not saved yet" if state.now else "Nothing is changed yet")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input(
                "Note", key="edit_note", max_chars=500, placeholder="What was wrong, and what is right now", width="stretch"
            )
            st.button("Drop", key="edit_drop", disabled=not state.now, on_click=_drop, args=(version,))
            label = f"Save as version {(dataset.version or 0) + 1}"
            saving = st.button(label, key="edit_save", type="primary", icon=":material/save:", disabled=not state.now)
        force = isinstance(state.error, Conflict) and st.checkbox("Save over the newer version", key="edit_force")
        if saving:
            _save(user, dataset, version, state, force=force)
        if state.error is not None and state.now:
            show.error(state.error)


def _said(pending: Pending) -> str:
    parts = [
        (show.count(len(pending.cells), "cell") + " changed") if pending.cells else "",
        (show.count(len(pending.added), "row") + " added") if pending.added else "",
        (show.count(len(pending.deleted), "row") + " deleted") if pending.deleted else "",
    ]
    return ", ".join(filter(None, parts))


def _drop(version: Version) -> None:
    old = st.session_state.pop(STATE.format(version.id))
    st.session_state[STATE.format(version.id)] = Editing(times=old.times + 1)


def _save(user: User, dataset: Dataset, version: Version, state: Editing, *, force: bool) -> None:
    """What does not fit is said below, and the edits stay as they are."""
    try:
        with st.spinner("Making the new version …"):
            made = datasets.edit(user, version.id, state.now.edits(note=st.session_state.edit_note or "", force=force))
    except LuthierError as err:
        state.error = err
        return
    st.session_state.pop(STATE.format(version.id), None)
    show.flash(f"Version {made.version} is saved: {_said(state.now)}.")
    places.go("dataset", id=dataset.id, view="Versions")
