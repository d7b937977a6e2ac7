"""A DuckDB for one heavy piece of work over versions: bounded memory,
spilling to a folder of its own, a deadline, few at once.

``values`` of ours become SQL here, never a user's text. Whose versions they are was settled before.
"""

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from core import storage
from core.cells import json_safe
from core.config import settings
from core.datasets import rows
from core.errors import DiskFull, QueryTimeout, RateLimited, Unavailable, is_full_disk
from core.readers.base import literal, quoted
from core.security import new_token

AT_ONCE = 2
WAIT_SECONDS = 60.0
MEMORY_MB = 512
_places = threading.BoundedSemaphore(AT_ONCE)


class Scratch:
    """A connection, and a folder that is gone afterwards."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path, threads: int) -> None:
        self.connection, self.folder = connection, folder
        self._threads = threads
        self._late = threading.Event()

    def stop(self) -> None:
        """The deadline is over: also when it is so between two statements,
        where there is nothing to interrupt."""
        self._late.set()
        self.connection.interrupt()

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement.

        Where several threads have not enough memory to spill side by side, one tries once more.
        """
        try:
            return self._run_once(sql, values)
        except duckdb.OutOfMemoryException as error:
            if self._threads == 1 or has_no_room_to_spill(error):
                raise
            self.use_one_thread()
            return self._run_once(sql, values)

    def one(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...]:
        return self.run(sql, values)[0]

    def use_one_thread(self) -> None:
        """From here on: needs the least memory, and keeps rows in the order of the file."""
        self.connection.execute("SET threads = 1")
        self._threads = 1

    def _run_once(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        if self._late.is_set():
            raise duckdb.InterruptException("the deadline is over")
        return self.connection.execute(sql, list(values)).fetchall()


@contextmanager
def scratch(seconds: float, *, of: Sequence[str], threads: int = 2) -> Iterator[Scratch]:
    """``of``: the ids of the versions that are read.

    Raises RateLimited when no place becomes free, QueryTimeout after ``seconds``, DiskFull, Unavailable (out
    of memory), and NotFound or Conflict where one of the versions goes while it is read.
    """
    storage.require_space()
    if not _places.acquire(timeout=WAIT_SECONDS):
        raise RateLimited(
            "Other heavy work on datasets is going on. Wait for it to finish, then try again.", retry_after=30
        )
    folder = storage.staging_dir() / f"work-{new_token()}"
    try:
        folder.mkdir(mode=0o700)
        with _connect(folder, threads) as connection:
            work = Scratch(connection, folder, threads)
            with _deadline(work, seconds), _translated(seconds, of):
                yield work
    finally:
        _places.release()
        shutil.rmtree(folder, ignore_errors=True)


def parquet(version_id: str) -> str:
    """A version as a table with the row's number from 0 as ``file_row_number``."""
    return f"read_parquet({literal(str(storage.parquet_path(version_id)))}, file_row_number=true)"


def rows_at(
    work: Scratch, version_id: str, names: Sequence[str], lines: Sequence[int]
) -> dict[int, dict[str, Any]]:
    """The rows at these places (from 0), as JSON can hold them."""
    if not lines or not names:
        return {line: {} for line in lines}
    wanted = ", ".join(str(int(line)) for line in lines)
    columns = ", ".join(f"{quoted(name)} AS c{i}" for i, name in enumerate(names))
    table: Any = work.connection.sql(
        f"SELECT file_row_number, {columns} FROM {parquet(version_id)} WHERE file_row_number IN ({wanted})"
    ).to_arrow_table()
    return {
        row["file_row_number"]: {name: json_safe(row[f"c{i}"]) for i, name in enumerate(names)}
        for row in table.to_pylist(maps_as_pydicts="lossy")
    }


def has_no_room_to_spill(error: duckdb.OutOfMemoryException) -> bool:
    """DuckDB calls it memory when what it spills does not fit on the disk either."""
    return "disk" in str(error).lower() or "max_temp_directory_size" in str(error)


@contextmanager
def _connect(folder: Path, threads: int) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        for setting in (
            f"memory_limit = '{MEMORY_MB}MB'",
            f"threads = {threads}",
            f"temp_directory = {literal(str(folder / 'spill'))}",
            f"max_temp_directory_size = '{settings().max_expanded_mb}MB'",
            "autoinstall_known_extensions = false",
            "autoload_known_extensions = false",
            "TimeZone = 'UTC'",
        ):
            connection.execute(f"SET {setting}")
        yield connection


@contextmanager
def _deadline(work: Scratch, seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, work.stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _translated(seconds: float, version_ids: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except duckdb.InterruptException as error:
        raise QueryTimeout(
            f"This took longer than {seconds:g} seconds and was stopped. Try it on fewer rows."
        ) from error
    except duckdb.OutOfMemoryException as error:
        if has_no_room_to_spill(error):
            raise DiskFull from error
        raise Unavailable(
            "The server has not enough memory for this. Try it on fewer rows or columns."
        ) from error
    except duckdb.IOException as error:
        if is_full_disk(error):
            raise DiskFull from error
        rows.require_all_readable(version_ids)
        raise
