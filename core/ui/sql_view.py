"""The SQL page's parts: the tables at hand, running with a spinner, the outcome, the session's history, saving.

The last outcome stays in the session, so that drawing a chart does not run the query again.
"""

from dataclasses import dataclass, field
from datetime import datetime

import streamlit as st

from core import datasets, query
from core.clock import now
from core.datasets import DatasetList
from core.errors import LuthierError, SqlError
from core.fields import parse
from core.query import NewQuery, QueryResult, QueryTable
from core.ui import charts, places, show, sql_editor
from core.users import User

OUTCOME, HISTORY = "_sql_outcome", "_sql_history"
MAX_HISTORY, MAX_IN_ADDRESS = 30, 6000
SAMPLE = 2000


@dataclass(frozen=True)
class Outcome:
    """A query that was run: its answer or its error."""

    sql: str
    result: QueryResult | None = None
    error: LuthierError | None = None
    at: datetime = field(default_factory=now)


def tables_of(user: User) -> list[QueryTable]:
    with show.guarded():
        return list(query.tables(user))
    return []


def first_query(tables: list[QueryTable]) -> str:
    return f"SELECT *\nFROM {tables[0].name}\nLIMIT 100"


def show_tables(tables: list[QueryTable], *, editor: str) -> None:
    """The tables that may be asked; a click on a name writes it at the caret."""
    st.markdown("**Tables**")
    wanted = (
        st.text_input("Find a table", key="tables_q", placeholder="Find", label_visibility="collapsed") if len(tables) > 8 else ""
    )
    found = [table for table in tables if (wanted or "").lower() in table.name.lower()]
    with st.container(height=420 if len(found) > 6 else "content", border=False, gap="xsmall"):
        for n, table in enumerate(found[:200]):
            with st.expander(show.plain(table.name), icon=":material/table:", expanded=len(found) == 1):
                st.caption(show.count(table.num_rows, "row"))
                st.caption("  \n".join(f"{show.code(column['name'])} {_type(column['type'])}" for column in table.columns[:60]))
                st.button(
                    "Insert name",
                    key=f"insert_{n}",
                    icon=":material/input:",
                    type="tertiary",
                    on_click=sql_editor.insert,
                    args=(editor, table.name),
                )


def _type(name: str) -> str:
    return show.plain(name if len(name) <= 24 else name[:23] + "…")


# Running


def is_unanswered(asked: str | None) -> bool:
    """Whether the address asks something that has not been run yet: a link opens with its answer."""
    last: Outcome | None = st.session_state.get(OUTCOME)
    return bool(asked) and (last is None or last.sql != asked)


def run(user: User, sql: str, *, limit: int) -> None:
    """Run it with a spinner and keep the outcome; the address then holds the query."""
    with st.spinner("Running …", show_time=True):
        try:
            outcome = Outcome(sql, result=query.run(user, parse(NewQuery, sql=sql, limit=limit)))
        except LuthierError as err:
            outcome = Outcome(sql, error=err)
    st.session_state[OUTCOME] = outcome
    st.session_state[HISTORY] = [outcome, *(o for o in st.session_state.get(HISTORY, []) if o.sql != sql)][:MAX_HISTORY]
    if len(sql) <= MAX_IN_ADDRESS:
        st.query_params["sql"] = sql
    else:
        st.query_params.pop("sql", None)


def last_error() -> SqlError | None:
    last: Outcome | None = st.session_state.get(OUTCOME)
    return last.error if last and isinstance(last.error, SqlError) else None


def show_outcome() -> None:
    last: Outcome | None = st.session_state.get(OUTCOME)
    if last is None:
        st.caption("Run a query to see its answer here.")
    elif last.error is not None:
        _show_error(last.sql, last.error)
    elif last.result is not None:
        _show_result(last.result)


def _show_error(sql: str, err: LuthierError) -> None:
    show.error(err)
    if isinstance(err, SqlError) and err.position is not None:
        st.code(point_at(sql, err.position), language=None)


def point_at(sql: str, position: int) -> str:
    """The line of the mistake with a caret below it. ``position`` counts characters from 0."""
    position = min(max(position, 0), len(sql))
    start = sql.rfind("\n", 0, position) + 1
    end = sql.find("\n", position)
    line, number = sql[start : end if end >= 0 else len(sql)], sql.count("\n", 0, position) + 1
    prefix = f"line {number}: "
    return f"{prefix}{line}\n{' ' * (len(prefix) + position - start)}^"


def _show_result(result: QueryResult) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="sql_facts"):
        st.markdown(f"**{show.count(result.row_count, 'row')}**", width="content")
        st.caption(f"{show.count(len(result.columns), 'column')} · {result.elapsed_ms:,.0f} ms", width="content")
        if result.truncated:
            st.badge("Only the first rows are shown; saving keeps all", icon=":material/content_cut:", color="orange")
    table, chart = st.tabs(["Table", "Chart"], key="sql_view", on_change="rerun")
    if table.open:
        with table:
            st.dataframe(result.table, hide_index=True, key="sql_result", height=440 if result.row_count > 11 else "auto")
    if chart.open:
        with chart:
            charts.build(result.table, key="chart")


# History and saving


def show_history(*, editor: str) -> None:
    history: list[Outcome] = st.session_state.get(HISTORY, [])
    with st.popover("History", icon=":material/history:", key="sql_history", disabled=not history):
        st.caption("What you ran since you opened this page.")
        for n, one in enumerate(history):
            words = show.count(one.result.row_count, "row") if one.result else "failed"
            label = show.plain(" ".join(one.sql.split())[:60])
            st.button(
                f"{label} · {words} · {show.ago(one.at)}",
                key=f"history_{n}",
                type="tertiary",
                width="stretch",
                on_click=_reopen,
                args=(one, editor),
            )


def _reopen(one: Outcome, editor: str) -> None:
    st.session_state[OUTCOME] = one
    st.query_params["sql"] = one.sql
    sql_editor.replace(editor)


def show_save(user: User) -> None:
    """Keep the whole answer of the last query as a dataset or as the next version of one."""
    last: Outcome | None = st.session_state.get(OUTCOME)
    answered = last is not None and last.result is not None
    with st.popover("Save", icon=":material/save:", key="sql_save", disabled=not answered):
        if last is None or last.result is None:
            return
        mine = datasets.list_datasets(user, DatasetList(limit=100, sort="-updated_at", status="ready")).items
        kinds = {"new": "New dataset", "version": "New version"}
        kind = st.segmented_control(
            "Save as", list(kinds), default="new", required=True, format_func=kinds.__getitem__, key="save_kind"
        )
        names = {dataset.id: dataset.name for dataset in mine}
        with st.form("save_form", border=False):
            name = st.text_input("Name", key="save_name", max_chars=200) if kind == "new" else None
            target = (
                st.selectbox("Of", list(names), format_func=names.__getitem__, key="save_target") if kind == "version" else None
            )
            note = st.text_input("Note", key="save_note", max_chars=500, placeholder="Why this version, in a few words")
            st.caption("All rows are kept, with the query and the datasets it came from.")
            if st.form_submit_button("Save", key="save_submit", type="primary"):
                _save(user, last.sql, name=name, dataset_id=target, note=note or "")


def _save(user: User, sql: str, *, name: str | None, dataset_id: str | None, note: str) -> None:
    with show.guarded():
        with st.spinner("Saving …", show_time=True):
            dataset, version = query.save(user, sql=sql, name=(name or "").strip() or None, dataset_id=dataset_id, note=note)
        show.flash(f"{dataset.name}, version {version.version}, is saved.")
        places.go("dataset", id=dataset.id)
