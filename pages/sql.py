"""Question datasets with SQL, look at the answer as a table, a chart or a plan, keep it as a version."""

import streamlit as st

from core import query
from core.ui import places, show
from core.ui.elements import sql_editor
from core.ui.query import sql_run, sql_view
from core.ui.sign_in import require_user

LIMITS = {100: "100 rows", 1000: "1,000 rows", 10000: "10,000 rows"}

user = require_user()
show.header("SQL", "Every dataset is a table. Nothing you run here can change one.", icon="terminal")

tables = sql_view.tables_of(user)
if not tables:
    show.empty("No tables yet", "Upload a file or add a sample: it becomes a table here.", icon="table")
    places.button("Go to datasets", "datasets", key="sql_to_datasets", icon="database", primary=True)
    st.stop()

main, side = st.columns([3.2, 1], gap="medium")
with side:
    sql_view.show_tables(tables)
with main:
    asked = places.query("sql")
    sql_run.settle()
    failed = sql_run.last_error()
    submitted = sql_editor.field(
        "sql_editor",
        text=asked or query.first_query(tables[0].name),
        wrong=failed.position if failed else None,
    )
    with st.container(horizontal=True, vertical_alignment="center", key="sql_toolbar"):
        limit = st.selectbox(
            "Show at most",
            list(LIMITS),
            index=1,
            format_func=LIMITS.__getitem__,
            key="sql_limit",
            label_visibility="collapsed",
            width=150,
            bind="query-params",
        )
        tools = st.container(horizontal=True, width="content")
    if submitted or sql_run.is_unanswered(asked):
        sql_run.begin(user, submitted or asked or "", limit=limit)
        if sql_run.last_error() != failed:
            st.rerun()  # the editor above marks the mistake, or no longer does
    with tools:  # drawn after the run, so that they know its answer
        sql_view.show_history(editor="sql_editor")
        sql_view.show_download()
        sql_view.show_save(user)
    sql_view.show_outcome(user)
