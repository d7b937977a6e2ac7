"""SQL over a user's datasets: run it, follow it, stop it, explain it, save its result as a version.

Every query of every user takes this one way, a chat's too. Names resolve among the caller's own and shared
datasets only (``names``); the text runs in ``core.sql_sandbox`` under the server's limits. Each run is
recorded as usage, whether it answered or not. Positions in errors count characters from 0.

- ``queries``: run, plan, save; ``running``: one in the background, with a Stop
- ``names``: which tables a query may mean
- ``turn``: whose turn it is, limits, private folder, the sandbox; ``words``: what a failure is called
- ``charting``: the numbers of a chart over all rows
- ``values``: what goes in and comes out; ``files``: an answer to take away
"""

from core.query.charting import ChartData, WantedChart, chart
from core.query.files import as_csv, as_parquet
from core.query.queries import arrow, describe, first_query, plan, run, run_on, save, table_name, tables
from core.query.running import Running
from core.query.turn import QueryProgress
from core.query.values import (
    MAX_ARROW_ROWS,
    MAX_ROWS,
    ArrowResult,
    NewArrowQuery,
    NewQuery,
    Operator,
    QueryPlan,
    QueryResult,
    QueryTable,
    SavedQuery,
)
from core.sql_sandbox import Stop

__all__ = [
    "MAX_ARROW_ROWS",
    "MAX_ROWS",
    "ArrowResult",
    "ChartData",
    "NewArrowQuery",
    "NewQuery",
    "Operator",
    "QueryPlan",
    "QueryProgress",
    "QueryResult",
    "QueryTable",
    "Running",
    "SavedQuery",
    "Stop",
    "WantedChart",
    "arrow",
    "as_csv",
    "as_parquet",
    "chart",
    "describe",
    "first_query",
    "plan",
    "run",
    "run_on",
    "save",
    "table_name",
    "tables",
]
