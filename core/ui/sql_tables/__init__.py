"""The tables beside the SQL field: searched, opened and inserted in the browser, without a round to the server."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from core.query import QueryTable

HERE = Path(__file__).parent
MAX_TABLES, MAX_COLUMNS = 500, 200


def show(tables: Sequence[QueryTable], *, key: str) -> None:
    """A click on a table or a column writes its name where the caret of the SQL field is (``core.ui.sql_editor``)."""
    listed = [
        {
            "name": table.name,
            "rows": table.num_rows,
            "columns": [[column["name"], column["type"]] for column in table.columns[:MAX_COLUMNS]],
            "more": max(0, len(table.columns) - MAX_COLUMNS),
        }
        for table in tables[:MAX_TABLES]
    ]
    _component()(key=key, data={"tables": listed, "more": max(0, len(tables) - MAX_TABLES)})


def _component() -> Any:
    html, css, js = ((HERE / f"tables.{kind}").read_text() for kind in ("html", "css", "js"))
    return st.components.v2.component("luthier_sql_tables", html=html, css=css, js=js)
