"""Bombs on the real path: each ends in time, this process does not grow,
and a normal query beside them still answers."""

import gc
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from core import query, sql_sandbox, storage
from core.config import settings
from core.errors import LuthierError, QueryTimeout, RateLimited, SqlError, Unavailable
from core.people.users import User
from core.query import NewQuery, QueryProgress
from core.sql_sandbox import Limits, QueryFailed, lock
from tests.hostile.bombs import BOMBS
from tests.hostile.sql_data import add_table, users

DEADLINE, GRACE = 1.0, 1.0
AT_ONCE = 3


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    values = {"SECONDS": DEADLINE, "MEMORY_MB": 128, "CONCURRENCY": AT_ONCE + 1}
    for name, value in values.items():
        monkeypatch.setenv(f"LUTHIER_QUERY_{name}", str(value))
    settings.cache_clear()
    yield
    sql_sandbox.shut_down()


def test_there_are_enough_bombs() -> None:
    assert len(set(BOMBS.values())) >= 40


@pytest.mark.alone
def test_every_bomb_ends_in_time_while_others_get_answers(ada: User) -> None:
    bomber, neighbour = users(ada, 2)
    for user in (bomber, neighbour):
        add_table(user, "t", "SELECT range AS a, range % 3 AS b, 'x' || range AS s FROM range(700)")
    query.run(neighbour, NewQuery(sql="SELECT sum(a) FROM t"))
    gc.collect()
    before, peak = _memory(), 0
    answers: list[float] = []
    over = threading.Event()

    def ask_on() -> None:
        nonlocal peak
        while not over.is_set():
            began = time.monotonic()
            assert query.run(neighbour, NewQuery(sql="SELECT sum(a) FROM t")).rows == [[244650]]
            answers.append(time.monotonic() - began)
            peak = max(peak, _memory())
            over.wait(0.2)

    with ThreadPoolExecutor(AT_ONCE + 1) as pool:
        asking = pool.submit(ask_on)
        try:
            took = dict(zip(BOMBS, pool.map(lambda sql: _explode(bomber, sql), BOMBS.values()), strict=True))
        finally:
            over.set()
        asking.result()
    late = {
        name: _explode(bomber, BOMBS[name]) for name, seconds in took.items() if seconds > DEADLINE + GRACE
    }
    assert {name: seconds for name, seconds in late.items() if seconds > DEADLINE + GRACE} == {}, (
        "alone, on a quiet machine"
    )
    assert len(late) <= 3, f"late in company: {late}"
    assert len(answers) >= 10
    assert peak - before < 96 * 2**20
    assert list(storage.staging_dir().iterdir()) == []


@pytest.mark.parametrize("name", ["list of strings", "string_agg", "json groups", "sorted lists"])
def test_memory_and_time_are_named(ada: User, name: str) -> None:
    with pytest.raises((SqlError, QueryTimeout)) as failed:
        query.run(ada, NewQuery(sql=BOMBS[name]))
    assert any(word in failed.value.message for word in ("out of memory", "took longer than 1 second"))


@pytest.mark.skipif(not lock.landlock_version(), reason="/proc is Linux's")
def test_children_stay_below_their_memory(tmp_path: Path) -> None:
    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.01):
            for process in psutil.Process().children(recursive=True):
                try:
                    peak = max(peak, process.memory_info().rss)
                except psutil.Error:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for name in ("list of strings", "lambda", "repeat", "flatten", "range"):
            with pytest.raises(QueryFailed):
                sql_sandbox.run(
                    BOMBS[name], tables={}, folder=tmp_path, limits=Limits(seconds=2.0, memory_mb=256)
                )
    finally:
        over.set()
        watcher.join()
    assert peak < (2 * 256 + 300) * 2**20


def _explode(user: User, sql: str) -> float:
    """How long the query was at work; a machine that is fast and large enough may answer some."""
    progress = QueryProgress()
    try:
        query.run(user, NewQuery(sql=sql), progress=progress)
    except (RateLimited, Unavailable):
        raise
    except LuthierError:
        pass
    return progress.elapsed_ms / 1000


def _memory() -> int:
    return psutil.Process().memory_info().rss
