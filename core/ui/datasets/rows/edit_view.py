"""The table editor: a page of rows to mend, search to find them, and saving all of it as the next version."""

import json
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any, NoReturn

import pandas as pd
import streamlit as st

from core import datasets
from core.datasets import Dataset, Preview, Version, View
from core.errors import Conflict, LuthierError
from core.people.users import User
from core.sql_types import FLOATS, is_whole
from core.ui import digits, lists, places, show
from core.ui.datasets import diff_view
from core.ui.datasets.rows import rows_address, rows_filter
from core.ui.datasets.rows.edit_state import ROW, Pending, fold, shown_rows
from core.ui.elements import edit_guard

PER_PAGE = 50
LARGEST_SHOWN = 2**53  # a browser's numbers are floats
STATE = "_editing_{}"


@dataclass
class Editing:
    """``ground``: what was changed before the present editor was put
    on the page; ``now``: that and what the editor reports.

    ``rows`` are those the editor was given, ``times`` counts the editors. ``heard``: the number of the
    last run that ``edit_guard`` asked for.
    """

    version: Version
    ground: Pending = field(default_factory=Pending)
    now: Pending = field(default_factory=Pending)
    rows: list[dict[str, Any]] = field(default_factory=list)
    page: tuple[Any, ...] = ()
    times: int = 0
    heard: int = 0
    saving: bool = False
    saved: Version | None = None
    error: LuthierError | None = None
    lock: Lock = field(default_factory=Lock)

    @property
    def widget(self) -> str:
        return f"edit_table_{self.version.id}_{self.times}"


def show_editor(user: User, dataset: Dataset) -> None:
    state = _state(user, dataset)
    if state.saved is not None:
        _leave(state, state.saved)
    version = state.version
    _gather(state)
    _say_what(dataset, version)
    search = lists.search("edit_search", placeholder="Find rows by their words")
    view = _show_filters(state)
    with st.spinner("Reading the rows …", show_time=False):
        page = lists.page_of(
            lambda limit, offset: datasets.rows_of(
                user, dataset.id, view.model_copy(update={"search": search}), limit=limit, offset=offset
            ),
            key="edit_page",
            per_page=PER_PAGE,
        )
    shown = (page.offset, search, view.model_dump_json())
    if state.page != shown or state.saving:  # a disabled editor is a new widget: it reports no edits
        state.ground, state.page, state.times = state.now, shown, state.times + 1
    with st.container(key="edit_box"):
        _show_table(state, page)
    edit_guard.show(
        "edit_guard",
        table="edit_box",
        switches=[column["name"] for column in version.columns if column["type"] == "BOOLEAN"],
        heard=state.heard,
        pending=bool(state.now),
        on_told=partial(_hear, state),
    )
    lists.pages(page, key="edit_page")
    _show_saving(user, dataset, state)


def forget_saved(dataset_id: str) -> None:
    """Called by the dataset's page, which an editor leads to after saving: the next editor begins anew."""
    state: Editing | None = st.session_state.get(STATE.format(dataset_id))
    if state is not None and state.saved is not None:
        del st.session_state[STATE.format(dataset_id)]


def _state(user: User, dataset: Dataset) -> Editing:
    """Edits belong to the version they were made on: they stay with it when a newer one appears meanwhile."""
    newest, key = datasets.version_of(user, dataset.id), STATE.format(dataset.id)
    state: Editing | None = st.session_state.get(key)
    if state is not None and (state.version.id == newest.id or state.now or state.saving or state.saved):
        return state
    state = st.session_state[key] = Editing(newest, times=state.times + 1 if state else 0)
    return state


def _hear(state: Editing, number: int) -> None:
    state.heard = max(state.heard, number)


def _say_what(dataset: Dataset, version: Version) -> None:
    st.caption(
        f"Version {version.version}, {show.count(version.num_rows, 'row')}. Change cells, "
        f"add rows at the end of the table, or choose rows at their left edge to delete them. "
        "Types stay as they are; an emptied cell has no value."
    )
    if (dataset.version or 0) > version.version:
        st.warning(
            (
                f"The dataset has version {dataset.version} by now; "
                f"what you changed here was made on version {version.version}. "
                "Drop it to start from the newest version."
            ),
            icon=":material/update:",
        )


def _show_filters(state: Editing) -> View:
    """The filters of the Rows tab, when the reader came from there."""
    view = rows_address.read(state.version).view
    conditions = [f"{name} {rows_filter.words(rows_address.filter_of(view, name))}" for name in view.where]
    conditions += ["the rows of a finding"] if view.finding else []
    if conditions:
        with st.container(horizontal=True, vertical_alignment="center", key="edit_filters"):
            st.markdown(
                ":material/filter_alt: Only " + ", ".join(map(show.plain, conditions)), width="content"
            )
            st.button("All rows", key="edit_all_rows", type="tertiary", on_click=_forget_filters)
    return View(version=state.version.version, where=view.where, finding=view.finding)


def _forget_filters() -> None:
    rows_address.change(where=None, finding=None)


def _gather(state: Editing) -> None:
    """First of all: what came with this run, whatever started it,
    belongs to the rows that the editor still shows."""
    reported = st.session_state.get(state.widget)
    if reported is not None:
        state.now = fold(state.ground, state.rows, reported)
    elif STATE.format(state.version.dataset_id) not in st.session_state:
        # another run has replaced this one and has the session's values now: what this one knows is outdated
        st.stop()
    elif state.times:  # the reader was on another page of the app: the editor begins anew
        state.page = ()


def _show_table(state: Editing, page: Preview) -> None:
    state.rows = rows = shown_rows(list(page.items), state.ground)
    types = {column["name"]: column["type"] for column in state.version.columns}
    table = pd.DataFrame({ROW: pd.array([row[ROW] for row in rows], dtype="Int64")})
    for name, type_ in types.items():
        table[name] = _values([row.get(name) for row in rows], type_)
    st.data_editor(
        table,
        key=state.widget,
        # edits wait in the browser and come with the next run, so that no other event overtakes them
        on_change="ignore",
        num_rows="dynamic",
        placeholder=digits.NULL,
        hide_index=True,
        disabled=True if state.saving else [ROW],
        column_config={ROW: st.column_config.NumberColumn("#", width=70, pinned=True, format="localized")},
        column_order=[ROW, *types],
        height=min(36 * (len(rows) + 2) + 2, 560),
    )
    state.now = fold(state.ground, rows, st.session_state[state.widget])


def _values(cells: list[Any], type_: str) -> Any:
    """Numbers and truth values as such, all else as the text that it is saved from."""
    if is_whole(type_) and all(
        cell is None or (isinstance(cell, int) and abs(cell) < LARGEST_SHOWN) for cell in cells
    ):
        return pd.array(cells, dtype="Int64")
    if type_ in FLOATS and all(cell is None or isinstance(cell, (int, float)) for cell in cells):
        return pd.array([None if cell is None else float(cell) for cell in cells], dtype="Float64")
    if type_ == "BOOLEAN" and all(cell is None or isinstance(cell, bool) for cell in cells):
        return pd.array(cells, dtype="boolean")
    texts = [
        cell if cell is None or isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
        for cell in cells
    ]
    return pd.array(texts, dtype="string")


def _show_saving(user: User, dataset: Dataset, state: Editing) -> None:
    summary = _said(state.now)
    with st.container(border=True, key="edit_saving"):
        st.markdown(f"**{summary}**, not saved yet" if state.now else "Nothing is changed yet")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input(
                "Note",
                key="edit_note",
                max_chars=500,
                placeholder="What was wrong, and what is right now",
                width="stretch",
            )
            st.button(
                "Drop", key="edit_drop", disabled=not state.now or state.saving, on_click=_drop, args=(state,)
            )
            label = f"Save as version {(dataset.version or 0) + 1}"
            st.button(
                label,
                key="edit_save",
                type="primary",
                icon=":material/save:",
                disabled=state.saving,
                on_click=_begin,
                args=(state,),
            )
        force = isinstance(state.error, Conflict) and st.checkbox(
            "Save over the newer version", key="edit_force"
        )
        if state.saving:
            _save(user, state, force=force)
        if state.error is not None:
            show.error(state.error)
        if isinstance(state.error, Conflict):
            _offer_difference(user, dataset, state.version)


def _offer_difference(user: User, dataset: Dataset, version: Version) -> None:
    """After somebody else saved first: what that changed, below the edits, which stay as they are."""
    newest = datasets.version_of(user, dataset.id)
    if newest.version <= version.version:
        st.button("Look for the other version", key="edit_look", icon=":material/refresh:")
        return
    label = f"Look at the difference to version {newest.version}"
    if st.toggle(label, key="edit_difference"):
        author = newest.author["name"] if newest.author else ""
        note = f": {newest.note}" if newest.note else ""
        st.caption(show.plain(f"Version {newest.version} by {author or 'somebody'}{note}"))
        pair = diff_view.VersionPair(dataset, version, newest)
        with show.guarded():
            match = diff_view.Match(*datasets.guess_match(user, version.id, newest.id))
            diff_view.show_diff(user, pair, match)


def _said(pending: Pending) -> str:
    parts = [
        (show.count(len(pending.cells), "cell") + " changed") if pending.cells else "",
        (show.count(len(pending.added), "row") + " added") if pending.added else "",
        (show.count(len(pending.deleted), "row") + " deleted") if pending.deleted else "",
    ]
    return ", ".join(filter(None, parts))


def _drop(state: Editing) -> None:
    state.ground, state.now, state.page, state.error = Pending(), Pending(), (), None
    state.times += 1


def _begin(state: Editing) -> None:
    """The run that follows saves, with the table disabled: nothing can be typed that would not be saved."""
    state.saving = True


def _save(user: User, state: Editing, *, force: bool) -> None:
    """What does not fit is said below, and the edits stay as they are."""
    # a run that replaces this one waits for the lock, and then sees that the edits are saved
    with st.spinner("Making the new version …"), state.lock:
        if state.saving and state.saved is None:
            try:
                edits = state.now.edits(note=st.session_state.get("edit_note") or "", force=force)
                state.saved, state.error = datasets.edit(user, state.version.id, edits), None
            except LuthierError as err:
                state.error = err
            state.saving = False
    if state.saved is None:
        st.rerun()
    _leave(state, state.saved)


def _leave(state: Editing, version: Version) -> NoReturn:
    """May run again: a run that the browser asks for meanwhile takes the place of the next page's. So the
    page that the reader arrives at removes the saved state, see :func:`forget_saved`."""
    show.flash(f"Version {version.version} is saved: {_said(state.now)}.")
    places.go("dataset", id=version.dataset_id, view="Versions")
