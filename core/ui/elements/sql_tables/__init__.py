"""The tables beside the SQL field: searched, opened
and inserted in the browser, without asking the server."""

from collections.abc import Sequence
from pathlib import Path

from core.query import QueryTable
from core.ui.elements import component

HERE = Path(__file__).parent
MAX_TABLES, MAX_COLUMNS = 500, 200


def show(tables: Sequence[QueryTable], *, key: str) -> None:
    """A click on a table or a column writes its name where the caret
    of the SQL field is (``core.ui.elements.sql_editor``)."""
    listed = [
        {
            "name": table.name,
            "rows": table.num_rows,
            "columns": [[column["name"], column["type"]] for column in table.columns[:MAX_COLUMNS]],
            "more": max(0, len(table.columns) - MAX_COLUMNS),
        }
        for table in tables[:MAX_TABLES]
    ]
    component.declare("sql_tables", HERE, stem="tables")(
        key=key, data={"tables": listed, "more": max(0, len(tables) - MAX_TABLES)}
    )
