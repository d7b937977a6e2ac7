"""A database that is away for a while, for tests of who waits for it."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from core import db
from core.config import settings


class Absence:
    """It cannot be reached for the next ``left`` transactions."""

    left = 0

    def refuse(self, _connection: Any) -> None:
        if self.left:
            self.left -= 1
            raise OperationalError("BEGIN", {}, sqlite3.OperationalError("unable to open database file"))

    def after(self, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, *, times: int) -> None:
        """Away once this function of a module has returned for the first time."""
        then = getattr(module, name)

        def go_away(*given: Any, **named: Any) -> Any:
            result = then(*given, **named)
            monkeypatch.setattr(module, name, then)
            self.left = times
            return result

        monkeypatch.setattr(module, name, go_away)


@pytest.fixture
def absence(monkeypatch: pytest.MonkeyPatch) -> Iterator[Absence]:
    monkeypatch.setattr(db, "ASK_AGAIN_SECONDS", 0.05)
    made, engines = Absence(), (db.engine(), db._engine_that_writes(settings().sqlalchemy_url))
    for engine in engines:
        event.listen(engine, "begin", made.refuse)
    yield made
    for engine in engines:
        event.remove(engine, "begin", made.refuse)
