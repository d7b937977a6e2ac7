"""Who writes waits for the others, in this process and in others, and loses nothing."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from core import db
from core.api.errors import as_luthier_error
from core.errors import Unavailable
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
