"""The SQL page's parts: the tables at hand, the outcome as table,
chart and plan, the session's history, downloads, saving."""

from functools import partial

import streamlit as st

from core import datasets, query
from core.datasets import DatasetList
from core.errors import QueryStopped, SqlError
from core.people.users import User
from core.query import QueryPlan, QueryResult, QueryTable
from core.ui import charts, digits, places, show
from core.ui.elements import plan_tree, sql_editor, sql_tables
from core.ui.query import sql_run
from core.ui.query.sql_run import QueryOutcome

VIEWS = ["Table", "Chart", "Plan"]
COUNT_ONLY = (
    "DuckDB knew this answer without a step that could be measured, "
    "for instance from what a file says about itself."
)


def tables_of(user: User) -> list[QueryTable]:
    with show.guarded():
        return list(query.tables(user))
    return []


def show_tables(tables: list[QueryTable]) -> None:
    """The tables that may be asked, with their columns; a click on a name writes it at the caret."""
    st.markdown("**Tables**")
    sql_tables.show(tables, key="sql_tables")


def show_outcome(user: User) -> None:
    is_over = sql_run.settle()
    last = sql_run.last()
    if not is_over:
        sql_run.show_running()
    elif last is None:
        st.caption("Run a query to see its answer here.")
    elif last.error is not None:
        _show_error(last)
    elif last.result is not None:
        _show_result(user, last, last.result)


def _show_error(outcome: QueryOutcome) -> None:
    err = outcome.error
    assert err is not None
    if isinstance(err, QueryStopped):
        st.info(
            f"{err.message} It had run for {outcome.elapsed_ms / 1000:.1f} s.", icon=":material/stop_circle:"
        )
        return
    show.error(err)
    if isinstance(err, SqlError) and err.position is not None:
        st.code(point_at(outcome.sql, err.position), language=None)


def point_at(sql: str, position: int) -> str:
    """The line of the mistake with a caret below it. ``position`` counts characters from 0."""
    position = min(max(position, 0), len(sql))
    start = sql.rfind("\n", 0, position) + 1
    end = sql.find("\n", position)
    line, number = sql[start : end if end >= 0 else len(sql)], sql.count("\n", 0, position) + 1
    prefix = f"line {number}: "
    return f"{prefix}{line}\n{' ' * (len(prefix) + position - start)}^"


def _show_result(user: User, outcome: QueryOutcome, result: QueryResult) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="sql_facts"):
        st.markdown(f"**{show.count(result.row_count, 'row')}**", width="content")
        st.caption(_facts(result), width="content")
    if result.truncated:
        st.warning(
            (
                f"Only the first {show.count(result.row_count, 'row')}: there are more. "
                f"Save the query to keep them all."
            ),
            icon=":material/content_cut:",
        )
    table, chart, plan = st.tabs(VIEWS, key="answer", on_change="rerun", bind="query-params")
    if table.open:
        with table:
            st.dataframe(
                result.table,
                hide_index=True,
                placeholder=digits.NULL,
                column_config=digits.formats(result.table),
                key="sql_result",
                height=440 if result.row_count > 11 else "auto",
            )
    if chart.open:
        with chart:
            compute = partial(sql_run.chart_of, user, outcome)
            charts.build(result.table, is_whole=not result.truncated, compute=compute, key="chart")
    if plan.open:
        with plan:
            _show_plan(user, outcome)


def _facts(result: QueryResult) -> str:
    """``3 columns · 12 ms · 0.4 s in the queue · 1.2 MB scanned, 7,473 rows``"""
    words = [show.count(len(result.columns), "column"), f"{result.elapsed_ms:,} ms"]
    if result.queue_ms >= 50:
        words.append(f"{result.queue_ms / 1000:.1f} s in the queue")
    if result.bytes_scanned or result.rows_scanned:
        words.append(
            f"{show.bytes_(result.bytes_scanned)} and {show.count(result.rows_scanned, 'row')} scanned"
        )
    return " · ".join(words)


def _show_plan(user: User, outcome: QueryOutcome) -> None:
    with show.guarded():
        running = sql_run.plan_of(user, outcome)
        if not running.is_over():
            sql_run.show_planning(running)
            return
        _draw_plan(running.outcome())


def _draw_plan(plan: QueryPlan) -> None:
    scanned = f"{show.bytes_(plan.bytes_scanned)} and {show.count(plan.rows_scanned, 'row')} scanned"
    st.caption(
        f"The query ran once more, to its end, without keeping its rows: {plan.elapsed_ms:,} ms, "
        f"{scanned}. Read it upwards."
    )
    if not plan.operators:
        st.info(COUNT_ONLY, icon=":material/bolt:")
        return
    plan_tree.draw(plan, key="sql_plan")
    with st.expander("As text", icon=":material/content_copy:"):
        st.code(plan.text, language=None)


def show_history(*, editor: str) -> None:
    history = sql_run.history()
    with st.popover("History", icon=":material/history:", key="sql_history", disabled=not history):
        st.caption("What you ran since you opened this page.")
        for n, one in enumerate(history):
            label = show.plain(" ".join(one.sql.split())[:60])
            st.button(
                f"{label} · {sql_run.describe(one)} · {show.ago(one.at)}",
                key=f"history_{n}",
                type="tertiary",
                width="stretch",
                on_click=_reopen,
                args=(one, editor),
            )


def _reopen(one: QueryOutcome, editor: str) -> None:
    sql_run.reopen(one)
    sql_editor.replace(editor)


def show_download() -> None:
    """What is shown, as a file; all of it comes by saving,
    because only that keeps more rows than fit on a page."""
    last = sql_run.last()
    result = last.result if last else None
    with st.popover("Download", icon=":material/download:", key="sql_download", disabled=result is None):
        if result is None:
            return
        st.caption(f"The {show.count(result.row_count, 'row')} shown here.")
        with st.container(horizontal=True):
            for label, kind, mime, make in (
                ("CSV", "csv", "text/csv", query.as_csv),
                ("Parquet", "parquet", "application/vnd.apache.parquet", query.as_parquet),
            ):
                st.download_button(
                    label,
                    data=lambda make=make: make(result),  # type: ignore[misc]
                    file_name=f"query.{kind}",
                    mime=mime,
                    key=f"sql_download_{kind}",
                    icon=":material/download:",
                    on_click="ignore",
                )
        if result.truncated:
            st.caption("There are more rows. Save the query as a dataset: its page has all of them.")


def show_save(user: User) -> None:
    """Keep the whole answer of the last query as a dataset or as the next version of one."""
    last = sql_run.last()
    answered = last is not None and last.result is not None
    with st.popover("Save", icon=":material/save:", key="sql_save", disabled=not answered):
        if last is None or last.result is None:
            return
        mine = datasets.list_datasets(user, DatasetList(limit=100, sort="-updated_at", status="ready")).items
        kinds = {"new": "New dataset", "version": "New version"}
        kind = st.segmented_control(
            "Save as",
            list(kinds),
            default="new",
            required=True,
            format_func=kinds.__getitem__,
            key="save_kind",
        )
        names = {dataset.id: dataset.name for dataset in mine}
        with st.form("save_form", border=False):
            name = st.text_input("Name", key="save_name", max_chars=200) if kind == "new" else None
            target = (
                st.selectbox(
                    "Of",
                    list(names),
                    index=_queried(last.result, list(names)),
                    format_func=names.__getitem__,
                    placeholder="Choose a dataset",
                    key="save_target",
                )
                if kind == "version"
                else None
            )
            note = st.text_input(
                "Note", key="save_note", max_chars=500, placeholder="Why this version, in a few words"
            )
            st.caption("All rows are kept, with the query and the datasets it came from.")
            if st.form_submit_button("Save", key="save_submit", type="primary"):
                if kind == "version" and target is None:
                    st.error("Choose the dataset that gets the version.", icon=":material/error:")
                    return
                _save(user, last.sql, name=name, dataset_id=target, note=note or "")


def _queried(result: QueryResult, mine: list[str]) -> int | None:
    """The dataset that the rows come from, where it is one: no other gets them by mistake."""
    queried = [dataset_id for dataset_id in result.dataset_ids if dataset_id in mine]
    return mine.index(queried[0]) if len(result.dataset_ids) == len(queried) == 1 else None


def _save(user: User, sql: str, *, name: str | None, dataset_id: str | None, note: str) -> None:
    with show.guarded():
        with st.spinner("Saving …", show_time=True):
            dataset, version = query.save(
                user, sql=sql, name=(name or "").strip() or None, dataset_id=dataset_id, note=note
            )
        show.flash(f"{dataset.name}, version {version.version}, is saved.")
        places.go("dataset", id=dataset.id)
