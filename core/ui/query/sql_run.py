"""Running a query from the SQL page without blocking the page: start, progress, stop, and the outcome.

The query runs in the background; a fragment looks at it a few times a second. Quick answers come at once,
because the page waits for them a moment. The last outcome and the history stay in the session, so that
drawing a chart does not run a query again; the address holds the query from the moment it starts.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

import streamlit as st

from core import query
from core.clock import now
from core.errors import LuthierError, QueryStopped, SqlError
from core.fields import parse
from core.people.users import User
from core.query import (
    ChartData,
    NewQuery,
    QueryPlan,
    QueryProgress,
    QueryResult,
    Running,
    WantedChart,
)
from core.ui import dialogs, show

T = TypeVar("T")
RUNNING, OUTCOME, HISTORY = "_sql_running", "_sql_outcome", "_sql_history"
PLAN, CHART = "_sql_plan", "_sql_chart"
MAX_HISTORY, MAX_IN_ADDRESS = 30, 6000
PATIENCE = 0.8  # seconds in which most queries answer; the page waits so long before it draws the Stop button
LOOK_SECONDS = 0.4


@dataclass(frozen=True)
class QueryOutcome:
    """A query that was run: its answer or its error.

    ``elapsed_ms`` is known for those that were stopped, too.
    """

    sql: str
    limit: int
    result: QueryResult | None = None
    error: LuthierError | None = None
    elapsed_ms: int = 0
    at: datetime = field(default_factory=now)


@dataclass(frozen=True)
class TextWork(Generic[T]):
    """Something that runs for a text."""

    sql: str
    limit: int
    running: Running[T]


@dataclass(frozen=True)
class ChartWork:
    """The numbers of a chart that are made, or were."""

    sql: str
    wanted: WantedChart
    running: Running[ChartData]


def begin(user: User, sql: str, *, limit: int) -> None:
    """Run it; what ran before is stopped. The address then holds the query."""
    forget()
    st.session_state.pop(OUTCOME, None)
    _remember_in_address(sql)
    try:
        new = parse(NewQuery, sql=sql, limit=limit)
    except LuthierError as err:
        _keep(QueryOutcome(sql, limit, error=err))
        return
    running = Running(lambda progress: query.run(user, new, progress=progress)).start()
    st.session_state[RUNNING] = TextWork(sql, limit, running)
    with st.spinner("Running …"):
        running.wait(PATIENCE)
    settle()


def forget() -> None:
    """Stop what runs, its plan and its chart."""
    for key in (RUNNING, PLAN, CHART):
        work: TextWork[Any] | ChartWork | None = st.session_state.pop(key, None)
        if work is not None:
            work.running.stop()


def settle() -> bool:
    """Keep the outcome of a query that is over. Returns whether none runs."""
    work: TextWork[QueryResult] | None = st.session_state.get(RUNNING)
    if work is None:
        return True
    if not work.running.is_over():
        return False
    del st.session_state[RUNNING]
    running = work.running
    _keep(
        QueryOutcome(
            work.sql,
            work.limit,
            result=running.result,
            error=running.error,
            elapsed_ms=running.progress.elapsed_ms,
        )
    )
    return True


def is_unanswered(sql: str | None) -> bool:
    """Whether the address asks something that has not been run yet: a link opens with its answer."""
    known: QueryOutcome | TextWork[QueryResult] | None = st.session_state.get(RUNNING) or last()
    return bool(sql) and (known is None or known.sql != sql)


def last() -> QueryOutcome | None:
    outcome: QueryOutcome | None = st.session_state.get(OUTCOME)
    return outcome


def last_error() -> SqlError | None:
    outcome = last()
    return outcome.error if outcome and isinstance(outcome.error, SqlError) else None


def history() -> list[QueryOutcome]:
    return list(st.session_state.get(HISTORY, []))


def reopen(one: QueryOutcome) -> None:
    """Show an outcome of the history again."""
    forget()
    st.session_state[OUTCOME] = one
    _remember_in_address(one.sql)


def show_running() -> None:
    """The query that runs: how long, how many before it, and Stop."""
    work: TextWork[QueryResult] = st.session_state[RUNNING]
    st.fragment(_look, run_every=LOOK_SECONDS)(work.running, key="sql_running")


def plan_of(user: User, outcome: QueryOutcome) -> Running[QueryPlan]:
    """The plan of an answered query, which is run once more for it; asked for again, it is the same."""
    work: TextWork[QueryPlan] | None = st.session_state.get(PLAN)
    if work is None or (work.sql, work.limit) != (outcome.sql, outcome.limit):
        new = parse(NewQuery, sql=outcome.sql, limit=outcome.limit)
        running = Running(lambda progress: query.plan(user, new, progress=progress)).start()
        work = TextWork(outcome.sql, outcome.limit, running)
        st.session_state[PLAN] = work
        with st.spinner("Running …"):
            work.running.wait(PATIENCE)
    return work.running


def chart_of(user: User, outcome: QueryOutcome, wanted: WantedChart) -> ChartData | None:
    """The numbers of a chart over all rows of an answered query; None while they are made, which is shown.

    Raises what the query raises.
    """
    work: ChartWork | None = st.session_state.get(CHART)
    if work is None or (work.sql, work.wanted) != (outcome.sql, wanted):
        if work is not None:
            work.running.stop()
        running = Running(lambda progress: query.chart(user, outcome.sql, wanted, progress=progress)).start()
        work = st.session_state[CHART] = ChartWork(outcome.sql, wanted, running)
        with st.spinner("Computing over all rows …"):
            running.wait(PATIENCE)
    if work.running.is_over():
        return work.running.outcome()
    st.fragment(_look, run_every=LOOK_SECONDS)(work.running, key="chart_running")
    return None


def show_planning(running: Running[QueryPlan]) -> None:
    st.fragment(_look, run_every=LOOK_SECONDS)(running, key="plan_running")


def _look(running: Running[Any], *, key: str) -> None:
    """Drawn again and again until it is over; then the whole page is."""
    if running.is_over():
        dialogs.renew()
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=key):
        stopping = running.progress.stop.is_set()
        st.markdown(
            f":material/hourglass_top: {'Stopping …' if stopping else _words(running.progress)}",
            width="stretch",
        )
        st.button(
            "Stop", key=f"{key}_stop", icon=":material/stop_circle:", on_click=running.stop, disabled=stopping
        )


def _words(progress: QueryProgress) -> str:
    if progress.place:
        before = (
            "Next in line"
            if progress.place == 1
            else f"{show.count(progress.place - 1, 'query').replace('querys', 'queries')} first"
        )
        return f"**Waiting for a free place** · {before} · {progress.queue_ms / 1000:.1f} s"
    return f"**Running** · {progress.elapsed_ms / 1000:.1f} s"


def _keep(outcome: QueryOutcome) -> None:
    st.session_state[OUTCOME] = outcome
    others = [one for one in history() if one.sql != outcome.sql]
    st.session_state[HISTORY] = [outcome, *others][:MAX_HISTORY]


def _remember_in_address(sql: str) -> None:
    if len(sql) <= MAX_IN_ADDRESS:
        st.query_params["sql"] = sql
    else:
        st.query_params.pop("sql", None)


def describe(outcome: QueryOutcome) -> str:
    """How it ended, in a word or two."""
    if outcome.result is not None:
        return show.count(outcome.result.row_count, "row")
    return "stopped" if isinstance(outcome.error, QueryStopped) else "failed"
