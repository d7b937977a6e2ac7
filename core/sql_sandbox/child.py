"""One query in one process: lock, gate, run, answer, end.

The process is locked (``lock.py``) before DuckDB starts a thread or sees the text, the text passes the gate
(``gate.py``) before it runs, and DuckDB's own settings are locked as a third barrier. The caller ends the
process at the deadline; nothing here has to be trusted to stop in time. What is done with the admitted text
is ``answers.py``'s.
"""

import os
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa

from core.sql_sandbox import gate, lock
from core.sql_sandbox.answers import RunError, SandboxJob, answer, rehearse, text_literal
from core.sql_sandbox.explain import Failure, explain
from core.sql_sandbox.wire import Wire


class UnknownTables(Exception):
    """The text names tables that the caller did not give."""

    def __init__(self, references: list[gate.TableReference]) -> None:
        super().__init__("unknown tables")
        self.references = references


def prepare() -> "duckdb.DuckDBPyConnection | None":
    """What may be done before the job is known: open DuckDB,
    which takes longer than all the rest, and rehearse.

    None where that started a thread, which a later lock would not bind; then DuckDB is opened after the lock.
    """
    connection = connect()
    gate.check(connection, "SELECT 1")
    rehearse(connection)
    if lock.count_threads() == 1:
        return connection
    connection.close()
    return None


def serve(wire: Wire, connection: "duckdb.DuckDBPyConnection | None") -> None:
    """Say who we are, take one job, answer it."""
    wire.send({"pid": os.getpid()})
    head, _ = wire.receive()
    job = SandboxJob(**head)
    _lock(job)
    lock.watch_memory(job.memory_mb + job.memory_mb // 4 + 64, lambda: _end_for_memory(wire))
    unsaid = {job.folder, *(str(Path(path).parent.parent) for path in job.tables.values())}
    try:
        connection = connection or connect()
        _set_limits(connection, job)
        job = replace(job, sql=gate.without_end(connection, job.sql[: gate.MAX_CHARACTERS + 1]))
        used = admit(connection, job)
        wire.send(*answer(connection, job, used))
    except gate.Refused as refusal:
        wire.send({"failure": {"kind": "sql", "message": refusal.message, "position": refusal.position}})
    except UnknownTables as unknown:
        named = [{"parts": r.parts, "position": r.position} for r in unknown.references]
        wire.send({"failure": {"kind": "unknown_tables", "message": "", "tables": named}})
    except RunError as error:
        wire.send({"failure": vars(_placed(error, unsaid))})
    except (
        duckdb.Error,
        pa.ArrowException,
        MemoryError,
        ValueError,
        TypeError,
        RuntimeError,
        OSError,
    ) as error:
        wire.send({"failure": vars(explain(error, unsaid=unsaid))})


def connect() -> "duckdb.DuckDBPyConnection":
    """A DuckDB of one thread that knows no extension, no network and no home."""
    return duckdb.connect(
        config={
            "threads": "1",
            "async_threads": "0",
            "autoload_known_extensions": "false",
            "autoinstall_known_extensions": "false",
            "allow_community_extensions": "false",
            "allow_persistent_secrets": "false",
            "python_enable_replacements": "false",
            "errors_as_json": "true",
        }
    )


def admit(connection: "duckdb.DuckDBPyConnection", job: SandboxJob) -> dict[str, str]:
    """Pass the gate.

    Returns the used tables, name as given -> name as known. Raises gate.Refused or UnknownTables.
    """
    references = gate.check(connection, job.sql)
    known = {gate.fold(name): name for name in job.tables}
    unknown = [r for r in references if len(r.parts) > 1 or gate.fold(r.name) not in known]
    if unknown:
        raise UnknownTables(unknown)
    return {gate.fold(r.name): known[gate.fold(r.name)] for r in references}


def _lock(job: SandboxJob) -> None:
    lock.lock(
        read=[Path(path) for path in job.tables.values()],
        write=Path(job.folder),
        memory_mb=job.memory_mb,
        cpu_seconds=int(job.seconds * job.threads) + 5,
        file_bytes=job.file_bytes,
    )


def _end_for_memory(wire: Wire) -> None:
    """Called by the memory watch while the query runs:
    answer and go, whatever the query's thread is doing."""
    try:
        wire.send({"failure": {"kind": "memory", "message": "out of memory"}})
    finally:
        os._exit(1)


def _placed(error: RunError, unsaid: set[str]) -> Failure:
    failure = explain(error.error, unsaid=unsaid)
    if failure.position is None or error.before is None or failure.position < error.before:
        return replace(failure, position=None)
    return replace(failure, position=failure.position - error.before)


def _set_limits(connection: "duckdb.DuckDBPyConnection", job: SandboxJob) -> None:
    for statement in (
        f"SET memory_limit = '{job.memory_mb}MiB'",
        f"SET temp_directory = {text_literal(str(Path(job.folder) / 'spill'))}",
        f"SET max_temp_directory_size = '{job.file_bytes}B'",
        f"SET threads = {job.threads}",
    ):
        connection.execute(statement).fetchall()
