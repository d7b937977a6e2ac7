"""One query in one process: lock, gate, run, answer, end.

The process is locked (``lock.py``) before DuckDB starts a thread or sees the text, the text passes the gate (``gate.py``) before
it runs, and DuckDB's own settings are locked as a third wall. The caller ends the process at the deadline; nothing here has to be
trusted to stop in time. Tables are views over the caller's Parquet files, named as the text names them. A result goes back as an
Arrow stream, or, to be saved, stays as a Parquet file in the private folder.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute  # casts need it, and a locked child can import nothing any more

from core.sql_sandbox import gate, lock
from core.sql_sandbox.explain import Failure, explain, is_explained
from core.sql_sandbox.wire import Wire

RESULT_FILE = "result.parquet"
MIB = 2**20
# no true form in Arrow or Parquet: given as text
AS_TEXT = frozenset({"BIT", "BIGNUM", "VARIANT", "INTERVAL", "TIME WITH TIME ZONE", "GEOMETRY"})
HUGE = re.compile(r"\bU?HUGEINT\b")
Parameters = list[Any] | dict[str, Any] | None


@dataclass(frozen=True)
class Job:
    """What the caller asks. ``tables``: name -> Parquet file. ``rows`` None: save to the folder instead of answering."""

    sql: str
    tables: dict[str, str]
    parameters: Parameters
    rows: int | None
    folder: str
    seconds: float
    memory_mb: int
    threads: int
    file_bytes: int
    result_bytes: int


class RunError(Exception):
    """DuckDB failed in the text as it was wrapped: ``before`` bytes stand before the user's."""

    def __init__(self, error: duckdb.Error, before: int | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.before = before


class UnknownTables(Exception):
    """The text names tables that the caller did not give."""

    def __init__(self, references: list[gate.Reference]) -> None:
        super().__init__("unknown tables")
        self.references = references


def prepare() -> "duckdb.DuckDBPyConnection | None":
    """What may be done before the job is known: open DuckDB, which takes longer than all the rest, and rehearse.

    None where that started a thread, which a later lock would not bind; then DuckDB is opened after the lock.
    """
    connection = connect()
    gate.check(connection, "SELECT 1")
    _stream(connection.sql("SELECT 1").project("*").limit(1).to_arrow_table())
    if lock.count_threads() == 1:
        return connection
    connection.close()
    return None


def serve(wire: Wire, connection: "duckdb.DuckDBPyConnection | None") -> None:
    """Say who we are, take one job, answer it."""
    wire.send({"pid": os.getpid()})
    head, _ = wire.receive()
    job = Job(**head)
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
    except (duckdb.Error, pa.ArrowException, MemoryError, ValueError, TypeError, RuntimeError, OSError) as error:
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


def admit(connection: "duckdb.DuckDBPyConnection", job: Job) -> dict[str, str]:
    """Pass the gate. Returns the used tables, name as given -> name as known. Raises gate.Refused or UnknownTables."""
    references = gate.check(connection, job.sql)
    known = {gate.fold(name): name for name in job.tables}
    unknown = [r for r in references if len(r.parts) > 1 or gate.fold(r.name) not in known]
    if unknown:
        raise UnknownTables(unknown)
    return {gate.fold(r.name): known[gate.fold(r.name)] for r in references}


def answer(connection: "duckdb.DuckDBPyConnection", job: Job, used: Mapping[str, str]) -> tuple[dict[str, Any], bytes | memoryview]:
    """Run the admitted text. The head of the answer, and an Arrow stream unless the result is saved."""
    _make_tables(connection, {name: job.tables[name] for name in used.values()})
    result = str(Path(job.folder) / RESULT_FILE)
    _lock_settings(connection, [job.tables[name] for name in used.values()] + ([result] if job.rows is None else []))
    relation = _plain(_bind(connection, job.sql, job.parameters))
    head: dict[str, Any] = {"used": sorted(used.values()), "columns": _columns(relation), "truncated": False}
    try:
        if job.rows is None:
            _save(relation, result)
            return head, b""
        table = _narrow(relation.limit(job.rows + 1).to_arrow_table())
    except duckdb.Error as error:
        raise RunError(error, _bytes_before(relation, job.sql)) from error
    kept = _fitting(table.slice(0, job.rows), job.result_bytes)
    head["truncated"] = kept.num_rows < table.num_rows
    return head, _stream(kept)


def _lock(job: Job) -> None:
    lock.lock(
        read=[Path(path) for path in job.tables.values()],
        write=Path(job.folder),
        memory_mb=job.memory_mb,
        cpu_seconds=int(job.seconds * job.threads) + 5,
        file_bytes=job.file_bytes,
    )


def _end_for_memory(wire: Wire) -> None:
    """Called by the memory watch while the query runs: answer and go, whatever the query's thread is doing."""
    try:
        wire.send({"failure": {"kind": "memory", "message": "out of memory"}})
    finally:
        os._exit(1)


def _placed(error: RunError, unsaid: set[str]) -> Failure:
    failure = explain(error.error, unsaid=unsaid)
    known = failure.position is not None and error.before is not None and failure.position >= error.before
    return replace(failure, position=failure.position - error.before if known else None)  # type: ignore[operator]


def _bytes_before(relation: "duckdb.DuckDBPyRelation", sql: str) -> int | None:
    """DuckDB runs a relation as ``SELECT … FROM (text)`` and counts from there; None where the text cannot be found in it."""
    wrapped, text = relation.sql_query(), sql.strip()
    at = wrapped.find(text)
    return len(wrapped[:at].encode()) - len(sql[: sql.find(text)].encode()) if at >= 0 else None


def _set_limits(connection: "duckdb.DuckDBPyConnection", job: Job) -> None:
    for statement in (
        f"SET memory_limit = '{job.memory_mb}MiB'",
        f"SET temp_directory = {_text(str(Path(job.folder) / 'spill'))}",
        f"SET max_temp_directory_size = '{job.file_bytes}B'",
        f"SET threads = {job.threads}",
    ):
        connection.execute(statement).fetchall()


def _make_tables(connection: "duckdb.DuckDBPyConnection", tables: Mapping[str, str]) -> None:
    for name, path in tables.items():
        source = f"read_parquet({_text(path)}, hive_partitioning = false)"
        connection.execute(f"CREATE VIEW {_identifier(name)} AS SELECT * FROM {source}").fetchall()


def _lock_settings(connection: "duckdb.DuckDBPyConnection", paths: list[str]) -> None:
    allowed = ", ".join(map(_text, paths))
    for statement in (
        "SET TimeZone = 'UTC'",
        f"SET allowed_paths = [{allowed}]",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ):
        connection.execute(statement).fetchall()


def _bind(connection: "duckdb.DuckDBPyConnection", sql: str, parameters: Parameters) -> "duckdb.DuckDBPyRelation":
    try:
        relation = connection.sql(sql, params=parameters) if parameters else connection.sql(sql)
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        if not is_explained(error):  # relations say no position; the same text executed does, and fails as early
            connection.execute(sql, parameters or None).fetchall()
        raise
    if relation is None:
        raise gate.Refused("The query has no result.")
    return relation


def _plain(relation: "duckdb.DuckDBPyRelation") -> "duckdb.DuckDBPyRelation":
    """The same rows under unique column names, and types without a true form elsewhere as text."""
    unique = relation.project("*")
    changed = [
        f"CAST({_identifier(name)} AS VARCHAR) AS {_identifier(name)}"
        for name, kind in zip(unique.columns, unique.types, strict=True)
        if str(kind) in AS_TEXT or str(kind).startswith("UNION(")
    ]
    return unique.project(f"* REPLACE ({', '.join(changed)})") if changed else unique


def _columns(relation: "duckdb.DuckDBPyRelation") -> list[dict[str, str]]:
    return [{"name": name, "type": str(kind).strip('"')} for name, kind in zip(relation.columns, relation.types, strict=True)]


def _save(relation: "duckdb.DuckDBPyRelation", path: str) -> None:
    """Write Parquet. HUGEINT, the type of every integer sum, would become DOUBLE there: BIGINT if it fits, else DECIMAL."""
    try:
        _write(relation, path, huge="BIGINT")
    except duckdb.ConversionException:
        _write(relation, path, huge="DECIMAL(38,0)")


def _write(relation: "duckdb.DuckDBPyRelation", path: str, *, huge: str) -> None:
    casts = [
        f"CAST({_identifier(name)} AS {HUGE.sub(huge, str(kind))}) AS {_identifier(name)}"
        for name, kind in zip(relation.columns, relation.types, strict=True)
        if HUGE.search(str(kind))
    ]
    narrowed = relation.project(f"* REPLACE ({', '.join(casts)})") if casts else relation
    narrowed.write_parquet(path, compression="zstd")


def _narrow(table: pa.Table) -> pa.Table:
    """HUGEINT arrives as decimal(38, 0), which is a digit too short: as 64-bit integers where they fit, else a digit longer."""
    for index, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type) and field.type.precision == 38 and field.type.scale == 0:
            try:
                narrowed = table.column(index).cast(pa.int64())
            except pa.ArrowInvalid:
                narrowed = table.column(index).cast(pa.decimal256(39, 0))
            table = table.set_column(index, field.name, narrowed)
    return table


def _fitting(table: pa.Table, limit: int) -> pa.Table:
    """The first rows that fit into ``limit`` bytes."""
    while table.nbytes > limit and table.num_rows:
        if table.num_rows == 1:
            raise gate.Refused(f"One row of this result is larger than {limit // MIB} MiB. Select fewer or shorter columns.")
        table = table.slice(0, table.num_rows // 2)
    return table


def _stream(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
