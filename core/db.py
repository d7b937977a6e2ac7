"""The two ways into the metadata database: ``reading()`` and ``writing()``; and ``find_row()`` for what every
request asks.

SQLite runs in WAL; a write transaction begins with BEGIN IMMEDIATE, so two writers wait for each other
instead of failing (measured: 442 of 600 plain BEGINs failed, none of the IMMEDIATE ones). Nothing slow
happens inside ``writing()``: no network, no training, no yield to a page. A ``writing()`` inside another one
would wait for itself, so it raises at once. Threads of one process take turns before they ask SQLite, which
would let those that wait sleep for longer and longer, up to a tenth of a second at a time.

A database may be away for a while: it restarts, its network is down, its file is on a share. ``is_away``
tells that from a fault of ours, and ``when_there`` waits where work of hours would be lost otherwise. What is
wrong with its address or its schema is said at the start, by ``require_usable`` and ``migrate``.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import CursorResult, Engine, Row, Select, UpdateBase, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as WaitedTooLong
from sqlalchemy.orm import Session

from core.config import ROOT, settings
from core.errors import CannotStart, DatabaseAway, is_full_disk

BUSY_SECONDS = 30
CONNECT_SECONDS = 10  # how long a server of PostgreSQL may take to answer at all
ASK_AGAIN_SECONDS = 1.0
SAY_AGAIN_SECONDS = 60.0
# What SQLite says when its file cannot be used for now; a missing table is also an OperationalError
SQLITE_AWAY = ("unable to open", "is locked", "disk i/o error", "readonly database")
T = TypeVar("T")
log = logging.getLogger(__name__)
_held = threading.local()
_turn_to_write = threading.Lock()


@contextmanager
def reading() -> Iterator[Session]:
    """A session for reading. Rows stay usable after it; nothing is written."""
    with Session(engine(), expire_on_commit=False, autoflush=False) as session:
        yield session  # closing rolls back; an explicit rollback would expire the rows


def find_row(statement: Select[*tuple[Any, ...]], **values: Any) -> Row[*tuple[Any, ...]] | None:
    """The only row that a statement of plain columns finds for these parameters, or None.

    For a statement that was built once: a session would cost as much as asking it (0.15 ms).
    """
    with engine().connect() as connection:
        return connection.execute(statement, values).one_or_none()


@contextmanager
def writing() -> Iterator[Session]:
    """A session that commits at the end, or rolls back on any error. Raises an SQLAlchemyError when others
    write for longer than BUSY_SECONDS."""
    if getattr(_held, "writing", False):
        raise RuntimeError("writing() inside writing(): pass the session on instead")
    writer = _engine_that_writes(settings().sqlalchemy_url)
    takes_turns = writer.dialect.name == "sqlite"
    if takes_turns and not _turn_to_write.acquire(timeout=BUSY_SECONDS):
        raise WaitedTooLong("database is locked")  # as SQLite says it
    _held.writing = True
    try:
        with Session(writer, expire_on_commit=False) as session, session.begin():
            yield session
    finally:
        _held.writing = False
        if takes_turns:
            _turn_to_write.release()


def num_changed(session: Session, statement: UpdateBase) -> int:
    """Run an UPDATE or a DELETE and say how many rows it changed: what a guarded change is known by."""
    result = session.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount


def is_away(error: BaseException) -> bool:
    """Whether the database could not be asked at all, for now: no fault of the statement."""
    if isinstance(error, WaitedTooLong):
        return True
    if not isinstance(error, DBAPIError) or is_full_disk(error):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return any(sign in str(error.orig).lower() for sign in SQLITE_AWAY)
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def when_there(work: Callable[[], T], *, seconds: float) -> T:
    """Do it; while the database is away, again and again for so long. Raises what it raises then.

    ``work`` is whole or not at all: one transaction.
    """
    deadline, said_at = time.monotonic() + seconds, float("-inf")
    while True:
        try:
            return work()
        except DBAPIError as error:
            if not is_away(error) or time.monotonic() >= deadline:
                raise
        except WaitedTooLong:
            if time.monotonic() >= deadline:
                raise
        if time.monotonic() - said_at >= SAY_AGAIN_SECONDS:
            said_at = time.monotonic()
            log.warning("the database cannot be reached: waiting for it")
        time.sleep(min(ASK_AGAIN_SECONDS, max(0.0, deadline - time.monotonic())))


def require_there() -> None:
    """Raises DatabaseAway unless the database answers about one of our tables."""
    try:
        with engine().connect() as connection:
            connection.execute(text("SELECT 1 FROM alembic_version")).first()
    except (DBAPIError, WaitedTooLong) as error:
        raise DatabaseAway from error
    file = sqlite_file(settings().sqlalchemy_url)
    if file is not None and not file.is_file():  # open connections would go on without it
        raise DatabaseAway


def require_usable() -> None:
    """Raises CannotStart for an address that names no database, and where its driver is not installed."""
    address = settings().sqlalchemy_url
    try:
        make_url(address).get_dialect().import_dbapi()
    except (ArgumentError, NoSuchModuleError):
        old = address.partition("://")[0] == "postgres"
        raise CannotStart(
            f"LUTHIER_DATABASE_URL {'begins with postgres://' if old else 'is no address of a database'}. "
            "Write postgresql+psycopg://USER:PASSWORD@HOST/NAME, or leave it empty for SQLite."
        ) from None
    except ImportError as error:
        raise CannotStart(
            f"The driver {error.name} that LUTHIER_DATABASE_URL asks for is not installed. "
            "Write postgresql+psycopg://USER:PASSWORD@HOST/NAME and install its driver: "
            ".venv/bin/pip install 'psycopg[binary]'"
        ) from None


def name() -> str:
    """For people: the file of SQLite, else the address without its password."""
    file = sqlite_file(settings().sqlalchemy_url)
    return str(file) if file else make_url(settings().sqlalchemy_url).render_as_string(hide_password=True)


def sqlite_file(address: str) -> Path | None:
    """Where the file of an SQLite is; None for other databases, and for one in memory."""
    url = make_url(address)
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return None if "uri" in url.query else Path(url.database).absolute()


def engine() -> Engine:
    return _engine(settings().sqlalchemy_url)


def make_file() -> None:
    """An empty file where SQLite's is missing: only for a migration, nothing else begins anew."""
    file = sqlite_file(settings().sqlalchemy_url)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def migrate() -> None:
    """Bring the database to the newest schema. Safe to call from several processes, one after the other.

    Raises CannotStart for one that a newer version of Luthier has made.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    make_file()
    config = Config(ROOT / "alembic.ini")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with engine().connect() as connection:
        made_by = set(MigrationContext.configure(connection).get_current_heads())
    if newer := made_by - known:
        raise CannotStart(
            f"The database {name()} was made by a newer version of Luthier: it has the schema "
            f"{', '.join(sorted(newer))}, and this version knows {max(known)}. Start the newer version, "
            "or put back a backup of database and folder from before the update. Nothing was changed."
        )
    command.upgrade(config, "head")


@lru_cache
def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        patience = {"connect_timeout": CONNECT_SECONDS} if url.startswith("postgresql") else {}
        return create_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=patience)
    file = sqlite_file(url)
    how: dict[str, Any] = {"check_same_thread": False, "timeout": BUSY_SECONDS}
    connecting: dict[str, Any] = {"connect_args": how}
    if file is not None:  # SQLite would make a missing file, and go on with an empty database
        address = f"file:{quote(str(file))}?mode=rw"
        connecting = {"creator": lambda: sqlite3.connect(address, uri=True, **how)}
    new_engine = create_engine(
        url,
        **connecting,
        pool_size=20,
        max_overflow=40,
        hide_parameters=True,
    )
    event.listen(new_engine, "connect", _configure_sqlite)
    event.listen(new_engine, "begin", _begin_sqlite)
    return new_engine


@lru_cache
def _engine_that_writes(url: str) -> Engine:
    """The same connections; their transactions begin as a writer's."""
    return _engine(url).execution_options(luthier_write=True)


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin by itself: we do, below
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_SECONDS * 1000}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Any) -> None:
    write = connection.get_execution_options().get("luthier_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
