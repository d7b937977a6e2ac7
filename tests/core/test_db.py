"""Who writes waits for the others, in this process and in others, and loses nothing."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)

from core import db
from core.api.errors import as_luthier_error
from core.errors import DatabaseAway, Unavailable
from core.tables import ServerSettingRow


def count_up() -> None:
    with db.writing() as session:
        row = session.get(ServerSettingRow, "counted")
        if row is None:
            session.add(ServerSettingRow(key="counted", value={"times": 1}))
        else:
            row.value = {"times": row.value["times"] + 1}


def counted() -> int:
    with db.reading() as session:
        row = session.get(ServerSettingRow, "counted")
        return row.value["times"] if row else 0


def test_writers_of_one_process_wait_for_each_other() -> None:
    with ThreadPoolExecutor(16) as threads:
        for done in [threads.submit(count_up) for _ in range(160)]:
            done.result()
    assert counted() == 160


def test_a_writer_waits_for_another_process(data_dir: Path) -> None:
    other = sqlite3.connect(data_dir / "luthier.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    waiting = threading.Thread(target=count_up)
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    other.execute("COMMIT")
    waiting.join(10)
    other.close()
    assert counted() == 1


def test_writing_inside_writing_raises_at_once_and_writing_goes_on() -> None:
    with pytest.raises(RuntimeError, match="writing\\(\\) inside writing"), db.writing():
        count_up()
    count_up()
    assert counted() == 1


def test_an_error_takes_everything_back_and_the_next_may_write() -> None:
    def fail_half_way() -> None:
        with db.writing() as session:
            session.add(ServerSettingRow(key="half", value={}))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    count_up()
    with db.reading() as session:
        assert session.get(ServerSettingRow, "half") is None


def test_who_waits_too_long_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "BUSY_SECONDS", 0.01)
    with db.writing(), ThreadPoolExecutor(1) as threads:
        with pytest.raises(SQLAlchemyError) as caught:
            threads.submit(count_up).result()
    assert isinstance(as_luthier_error(caught.value), Unavailable)
    count_up()
    assert counted() == 1


def away(reason: str = "unable to open database file") -> OperationalError:
    return OperationalError("BEGIN", {}, sqlite3.OperationalError(reason))


class Interrupted(DBAPIError):
    """As a driver of PostgreSQL tells of a connection that broke."""


@pytest.mark.parametrize(
    ("error", "is_away"),
    [
        (away(), True),
        (away("database is locked"), True),
        (away("disk I/O error"), True),
        (away("no such table: users"), False),
        (away("database or disk is full"), False),
        (OperationalError("SELECT", {}, ConnectionRefusedError("connection refused")), True),
        (InterfaceError("SELECT", {}, OSError("connection already closed")), True),
        (Interrupted("SELECT", {}, OSError(), connection_invalidated=True), True),
        (ProgrammingError("SELECT", {}, ValueError("syntax error")), False),
        (IntegrityError("INSERT", {}, sqlite3.IntegrityError("UNIQUE")), False),
        (ValueError("database is locked"), False),
    ],
    ids=str,
)
def test_a_database_that_is_away_is_told_from_a_fault_of_ours(error: Exception, is_away: bool) -> None:
    assert db.is_away(error) is is_away
    assert isinstance(as_luthier_error(error), DatabaseAway) is is_away


def test_work_waits_for_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "ASK_AGAIN_SECONDS", 0.001)
    answers: list[Exception | str] = [away(), away("database is locked"), "done"]

    def work() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert db.when_there(work, seconds=60) == "done"
    answers += [away(), "never"]
    with pytest.raises(OperationalError):
        db.when_there(work, seconds=0)
    answers[:] = [away("no such table"), "never"]
    with pytest.raises(OperationalError, match="no such table"):
        db.when_there(work, seconds=60)


def test_a_database_that_is_gone_is_not_made_anew(data_dir: Path) -> None:
    count_up()
    db.engine().dispose()
    (data_dir / "luthier.db").rename(data_dir / "elsewhere.db")
    for look in (counted, count_up):
        with pytest.raises(OperationalError) as caught:
            look()
        assert db.is_away(caught.value)
    with pytest.raises(DatabaseAway):
        db.require_there()
    assert not (data_dir / "luthier.db").exists()
    (data_dir / "elsewhere.db").rename(data_dir / "luthier.db")
    db.require_there()
    assert counted() == 1


def test_a_database_whose_file_goes_under_open_connections_is_away(data_dir: Path) -> None:
    with db.reading():
        db.require_there()
        (data_dir / "luthier.db").rename(data_dir / "elsewhere.db")
        with pytest.raises(DatabaseAway):
            db.require_there()
