"""kill -9 in the middle of a query: of its child, the zygote, the server.

A clean error, the next query works, nothing is left.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from core import query, sql_sandbox, storage
from core.config import ROOT, settings
from core.errors import QueryStopped, SqlError
from core.ingest import queue as conversions
from core.people.users import User
from core.query import NewQuery, QueryProgress, Running
from core.query.turn import turns
from core.sql_sandbox import client
from tests.hostile.sql_data import add_table
from tests.waiting import wait_until

ENDLESS = "SELECT count(*) FROM range(100000000000) a WHERE hash(a.range) % 7 = 1"
SPILLING = "SELECT count(*) FROM (SELECT uuid() AS u FROM range(100000000) ORDER BY u)"


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LUTHIER_QUERY_SECONDS", "60")
    monkeypatch.setenv("LUTHIER_QUERY_MEMORY_MB", "128")
    settings.cache_clear()
    yield
    sql_sandbox.shut_down()


def test_a_killed_child_is_one_failed_query(ada: User) -> None:
    running = _begin(ada, SPILLING)
    for child in _children_of_zygote():
        child.kill()
    with pytest.raises(SqlError, match="was stopped, most likely because it ran out of memory"):
        running.outcome()
    _require_a_working_sandbox(ada)


def test_a_killed_zygote_takes_its_queries_along_and_they_are_asked_again(ada: User) -> None:
    running = _begin(ada, ENDLESS)
    first = _zygote()
    _kill(first)
    wait_until(lambda: client._zygote is not None and client._zygote.process.pid != first.pid and _busy())
    assert not running.is_over(), "nothing is wrong with the query, so it runs again"
    running.stop()
    with pytest.raises(QueryStopped):
        running.outcome()
    _require_a_working_sandbox(ada)


# the end of a child and of the zygote are two events, heard in either order
@pytest.mark.parametrize("round_", [0, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 2))])
def test_a_zygote_killed_twice_fails_the_query_in_words(ada: User, round_: int) -> None:
    running = _begin(ada, ENDLESS)
    first = _zygote()
    _kill(first)
    wait_until(lambda: client._zygote is not None and client._zygote.process.pid != first.pid and _busy())
    _kill(_zygote())
    assert running.wait(30)
    assert running.error is not None
    assert "cannot be run right now" in running.error.message
    _require_a_working_sandbox(ada)


def test_a_stopped_query_leaves_no_process_and_no_file(ada: User) -> None:
    running = _begin(ada, SPILLING)
    busy = _busy()
    running.stop()
    with pytest.raises(QueryStopped):
        running.outcome()
    _, alive = psutil.wait_procs(busy, timeout=10)
    assert not alive
    _require_a_working_sandbox(ada)


def test_a_killed_server_leaves_no_process_and_the_next_start_no_file(ada: User) -> None:
    add_table(ada, "t", "SELECT range AS a FROM range(7)")
    script = (
        "import sys\n"
        "from core import query\n"
        "from core.people import users\n"
        "from core.query import NewQuery, Running\n"
        f"user = users.User(**{{**{_fields(ada)!r}, 'created_at': None}})\n"
        "print(query.run(user, NewQuery(sql='SELECT sum(a) FROM t')).rows, flush=True)\n"
        "from core.sql_sandbox import client\n"
        "print(client._zygote.process.pid, flush=True)\n"
        f"query.run(user, NewQuery(sql={SPILLING!r}))\n"
    )
    server = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline() == "[[21]]\n"
    zygote = psutil.Process(int(server.stdout.readline()))
    wait_until(
        lambda: any(path.is_dir() for path in storage.staging_dir().iterdir()) and len(zygote.children()) > 1
    )
    family = [zygote, *zygote.children()]
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    server.stdout.close()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    assert list(storage.staging_dir().iterdir()) != []
    conversions.recover()
    assert list(storage.staging_dir().iterdir()) == []
    assert query.run(ada, NewQuery(sql="SELECT sum(a) FROM t")).rows == [[21]]


def _begin(user: User, sql: str) -> "Running[query.QueryResult]":
    """Start it and wait until its child is at work."""
    query.run(user, NewQuery(sql="SELECT 1"))

    def work(progress: QueryProgress) -> query.QueryResult:
        return query.run(user, NewQuery(sql=sql), progress=progress)

    running = Running(work).start()
    wait_until(lambda: running.progress.place == 0 and bool(_busy()))
    return running


def _busy() -> list[psutil.Process]:
    """Children that have used the processor for their query; the spare one has not."""
    found = []
    for child in _children_of_zygote():
        try:
            if child.cpu_times().user > 0.15:
                found.append(child)
        except psutil.Error:
            continue
    return found


def _zygote() -> psutil.Process:
    assert client._zygote is not None
    return psutil.Process(client._zygote.process.pid)


def _children_of_zygote() -> list[psutil.Process]:
    try:
        return _zygote().children()
    except psutil.Error:
        return []


def _kill(process: psutil.Process) -> None:
    family = [process, *process.children()]
    process.kill()
    psutil.wait_procs(family[1:], timeout=10)


def _require_a_working_sandbox(user: User) -> None:
    assert query.run(user, NewQuery(sql="SELECT 6 * 7")).rows == [[42]]
    wait_until(lambda: list(storage.staging_dir().iterdir()) == [])
    assert turns.running.total() == 0
    wait_until(lambda: not _busy())


def _fields(user: User) -> dict[str, object]:
    return {name: value for name, value in vars(user).items() if name != "created_at"}
