"""Work on versions that are large: exact, in little memory,
stopped at a deadline, and nothing left behind."""

import threading
from typing import Any

import pyarrow.parquet
import pytest

from core import datasets, storage
from core.datasets import Edits, NewSplit, Version, scratch
from core.datasets.diffs import computing, diff_versions
from core.errors import QueryTimeout, RateLimited, Unavailable
from core.people.users import User
from tests.core.datasets.version_of_sql import make

ROWS = 1_000_000
LARGE = f"""SELECT i AS id, 'user ' || (i % 50000) AS name, 'some longer text with the number ' || i AS txt,
    i / 7 AS x, CASE WHEN i % 10 = 0 THEN NULL ELSE i % 97 END AS n FROM range({ROWS}) t(i)"""
CHANGED = f"""SELECT id, name, txt, CASE WHEN id % 1000 = 0 THEN x + 1 ELSE x END AS x, n
    FROM ({LARGE}) WHERE id % 997 <> 0
    UNION ALL SELECT {ROWS} + i, 'new', 'x', 0, 1 FROM range(500) t(i)"""
ROWS_REMOVED = sum(i % 997 == 0 for i in range(ROWS))
ROWS_CHANGED = sum(i % 1000 == 0 and i % 997 != 0 for i in range(ROWS))


@pytest.fixture
def large(ada: User) -> tuple[Version, Version]:
    old = make(ada, LARGE)
    return old, make(ada, CHANGED, dataset_id=old.dataset_id)


def test_large_versions_are_compared_exactly_in_little_memory(
    ada: User, large: tuple[Version, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "MEMORY_MB", 128)  # so that it has to spill
    found = diff_versions(ada, large[0].id, large[1].id, key=["id"])
    assert (found.added, found.removed, found.changed) == (500, ROWS_REMOVED, ROWS_CHANGED)
    assert found.changed_columns == {"x": ROWS_CHANGED}
    bags = diff_versions(ada, large[0].id, large[1].id)
    assert (bags.added, bags.removed, bags.unchanged) == (
        500 + ROWS_CHANGED,
        ROWS_REMOVED + ROWS_CHANGED,
        ROWS - ROWS_REMOVED - ROWS_CHANGED,
    )
    assert not list(storage.staging_dir().iterdir())


def test_memory_that_is_too_little_for_two_threads_is_enough_for_one(
    ada: User, large: tuple[Version, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads of DuckDB cannot always spill side by side; at this limit they never can."""
    monkeypatch.setattr(scratch, "MEMORY_MB", 72)
    found = diff_versions(ada, large[0].id, large[1].id)
    assert (found.added, found.removed) == (500 + ROWS_CHANGED, ROWS_REMOVED + ROWS_CHANGED)
    with pytest.raises(Unavailable), scratch.scratch(60, of=[]) as work:
        # one thread has not enough either
        work.run(f"SELECT list(i ORDER BY hash(i)) FROM range({10 * ROWS}) t(i)")


def test_a_deadline_stops_a_comparison_and_leaves_nothing(
    ada: User, large: tuple[Version, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computing, "SECONDS", 0.02)
    with pytest.raises(QueryTimeout):
        diff_versions(ada, large[0].id, large[1].id)
    assert not list(storage.staging_dir().iterdir())
    monkeypatch.setattr(computing, "SECONDS", 300)
    assert diff_versions(ada, large[0].id, large[1].id).added


def test_only_so_many_work_at_once_and_the_next_is_told(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "WAIT_SECONDS", 0.05)
    inside, leave = threading.Barrier(scratch.AT_ONCE + 1), threading.Event()

    def work() -> None:
        with scratch.scratch(60, of=[]):
            inside.wait(30)
            leave.wait(30)

    threads = [threading.Thread(target=work) for _ in range(scratch.AT_ONCE)]
    for thread in threads:
        thread.start()
    inside.wait(30)
    with pytest.raises(RateLimited), scratch.scratch(60, of=[]):
        pass
    leave.set()
    for thread in threads:
        thread.join()
    with scratch.scratch(60, of=[]) as free:
        assert free.one("SELECT 42") == (42,)


def test_large_parts_keep_order_and_lose_no_row(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make(ada, LARGE)
    written: list[Any] = []

    def keep(_user: User, parts: Any, **_: Any) -> Any:
        tables = [pyarrow.parquet.read_table(part.parquet, columns=["id"]) for part in parts]
        written.extend(table["id"].to_numpy() for table in tables)
        return [(datasets.get(ada, source.dataset_id), source)] * len(tables)

    # converting them is another test's business
    monkeypatch.setattr(datasets.results, "keep", keep)
    datasets.split(ada, source.id, NewSplit())
    assert sum(map(len, written)) == ROWS
    assert all((part[1:] > part[:-1]).all() for part in written)
    assert abs(len(written[0]) - 0.8 * ROWS) < 5_000
    datasets.edit(ada, source.id, Edits(deleted=[1, ROWS], added=[{"id": -1}]))
    assert written[3].tolist() == [*range(1, ROWS - 1), -1]
