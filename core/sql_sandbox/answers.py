"""Running an admitted text and giving its result the form that the caller asked for.

``table``: an Arrow stream in the answer itself; ``arrow``: an Arrow stream in a file of the private folder,
batch by batch, so that a long result is never in memory as a whole; ``parquet``: a file to keep; ``plan``:
the operators of ``EXPLAIN ANALYZE``. Tables are views over the caller's Parquet files. DuckDB's profile,
which costs nothing measurable (measured: 0.3 ms), says what was scanned.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa
import pyarrow.compute  # casts need it, and a locked child can import nothing any more

from core import sql_types
from core.sql_sandbox import gate, plans
from core.sql_sandbox.explain import is_explained

Form = Literal["table", "arrow", "parquet", "plan"]
FILES = {"arrow": "result.arrow", "parquet": "result.parquet"}
MIB = 2**20
BATCH_ROWS = 65_536
EXPLAIN = "EXPLAIN (ANALYZE, FORMAT JSON) "
# no true form in Arrow or Parquet: given as text
AS_TEXT = frozenset({"BIT", "BIGNUM", "VARIANT", "INTERVAL", "TIME WITH TIME ZONE", "GEOMETRY"})
Parameters = list[Any] | dict[str, Any] | None


@dataclass(frozen=True)
class SandboxJob:
    """What the caller asks.

    ``tables``: name -> Parquet file; ``rows`` and ``result_bytes`` cut a table, ``rows`` an Arrow file.
    """

    sql: str
    tables: dict[str, str]
    parameters: Parameters
    rows: int
    folder: str
    seconds: float
    memory_mb: int
    threads: int
    file_bytes: int
    result_bytes: int
    form: Form = "table"


class RunError(Exception):
    """DuckDB failed in the text as it was wrapped: ``before`` bytes stand before the user's."""

    def __init__(self, error: duckdb.Error, before: int | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.before = before


def answer(
    connection: "duckdb.DuckDBPyConnection", job: SandboxJob, used: Mapping[str, str]
) -> tuple[dict[str, Any], bytes | memoryview]:
    """Run the admitted text.

    The head of the answer, and an Arrow stream where ``table`` is asked. Raises RunError.
    """
    tables = {name: job.tables[name] for name in used.values()}
    _make_tables(connection, tables)
    file = str(Path(job.folder) / FILES.get(job.form, ""))
    _lock_settings(connection, [*tables.values(), *([file] if job.form == "parquet" else [])])
    relation = _plain(_bind(connection, job.sql, job.parameters))
    head: dict[str, Any] = {"used": sorted(used.values()), "columns": _columns(relation), "truncated": False}
    names = {path: name for name, path in tables.items()}
    try:
        if job.form == "plan":
            [[_, profile]] = connection.execute(EXPLAIN + job.sql, job.parameters or None).fetchall()
            return head | {"plan": plans.tree(profile, names), "scanned": plans.scanned(profile, names)}, b""
        block = _run(relation, job, file, head)
    except duckdb.Error as error:
        before = len(EXPLAIN) if job.form == "plan" else _bytes_before(relation, job.sql)
        raise RunError(error, before) from error
    head["scanned"] = plans.scanned(connection.get_profiling_information("json"), names)
    return head, block


def rehearse(connection: "duckdb.DuckDBPyConnection") -> None:
    """Do once, before the lock, whatever imports or opens something the first time."""
    relation = connection.sql("SELECT 1").project("*").limit(1)
    _stream(relation.to_arrow_table())
    list(relation.to_arrow_reader(1))


def _run(
    relation: "duckdb.DuckDBPyRelation", job: SandboxJob, file: str, head: dict[str, Any]
) -> bytes | memoryview:
    if job.form == "parquet":
        _save(relation, file)
        return b""
    if job.form == "arrow":
        head["rows"], head["truncated"] = _write_stream(relation, file, job.rows)
        return b""
    table = _narrow(relation.limit(job.rows + 1).to_arrow_table())
    kept = _fitting(table.slice(0, job.rows), job.result_bytes)
    head["truncated"] = kept.num_rows < table.num_rows
    return _stream(kept)


def _write_stream(relation: "duckdb.DuckDBPyRelation", file: str, rows: int) -> tuple[int, bool]:
    """Write at most ``rows`` rows; how many it were, and whether there are more."""
    try:
        return _write_batches(relation, file, rows, huge=pa.int64())
    except pa.ArrowInvalid:  # an integer beyond 64 bits: the one reason for which a cast can fail
        return _write_batches(relation, file, rows, huge=pa.decimal256(39, 0))


def _write_batches(
    relation: "duckdb.DuckDBPyRelation", file: str, rows: int, *, huge: pa.DataType
) -> tuple[int, bool]:
    reader = relation.limit(rows + 1).to_arrow_reader(BATCH_ROWS)
    schema = pa.schema([field.with_type(huge) if _is_huge(field.type) else field for field in reader.schema])
    written = num_read = 0
    # closed, so that a second try is possible
    with reader, open(file, "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for batch in reader:
            num_read += batch.num_rows
            kept = batch.slice(0, rows - written)
            written += kept.num_rows
            writer.write_batch(_with_schema(kept, schema))
    return written, num_read > written


def _with_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns: Iterator[Any] = (
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    )
    return pa.RecordBatch.from_arrays(list(columns), schema=schema)


def _is_huge(kind: pa.DataType) -> bool:
    """HUGEINT arrives as decimal(38, 0), which is a digit too short."""
    return bool(pa.types.is_decimal(kind) and kind.precision == 38 and kind.scale == 0)


def _bytes_before(relation: "duckdb.DuckDBPyRelation", sql: str) -> int | None:
    """DuckDB runs a relation as ``SELECT … FROM (text)`` and counts
    from there; None where the text cannot be found in it."""
    wrapped, text = relation.sql_query(), sql.strip()
    at = wrapped.find(text)
    return len(wrapped[:at].encode()) - len(sql[: sql.find(text)].encode()) if at >= 0 else None


def _make_tables(connection: "duckdb.DuckDBPyConnection", tables: Mapping[str, str]) -> None:
    for name, path in tables.items():
        source = f"read_parquet({text_literal(path)}, hive_partitioning = false)"
        connection.execute(f"CREATE VIEW {_identifier(name)} AS SELECT * FROM {source}").fetchall()


def _lock_settings(connection: "duckdb.DuckDBPyConnection", paths: list[str]) -> None:
    allowed = ", ".join(map(text_literal, paths))
    for statement in (
        "SET enable_profiling = 'no_output'",
        "SET TimeZone = 'UTC'",
        f"SET allowed_paths = [{allowed}]",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ):
        connection.execute(statement).fetchall()


def _bind(
    connection: "duckdb.DuckDBPyConnection", sql: str, parameters: Parameters
) -> "duckdb.DuckDBPyRelation":
    try:
        relation = connection.sql(sql, params=parameters) if parameters else connection.sql(sql)
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        # relations say no position; the same text executed does, and fails as early
        if not is_explained(error):
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
        if str(kind) in AS_TEXT or sql_types.kind(str(kind)) == "UNION"
    ]
    return unique.project(f"* REPLACE ({', '.join(changed)})") if changed else unique


def _columns(relation: "duckdb.DuckDBPyRelation") -> list[dict[str, str]]:
    return [
        {"name": name, "type": re.sub(r'^"(\w+)"', r"\1", str(kind))}
        for name, kind in zip(relation.columns, relation.types, strict=True)
    ]


def _save(relation: "duckdb.DuckDBPyRelation", path: str) -> None:
    """Write Parquet.

    HUGEINT, the type of every integer sum, would become DOUBLE there: BIGINT if it fits, else DECIMAL.
    """
    try:
        _write(relation, path, huge="BIGINT")
    except duckdb.ConversionException:
        _write(relation, path, huge="DECIMAL(38,0)")


def _write(relation: "duckdb.DuckDBPyRelation", path: str, *, huge: str) -> None:
    wanted = [
        sql_types.with_leaves(kind, lambda plain: huge if plain in sql_types.HUGE else plain)
        for kind in relation.types
    ]
    casts = [
        f"CAST({_identifier(name)} AS {stored}) AS {_identifier(name)}"
        for name, kind, stored in zip(relation.columns, relation.types, wanted, strict=True)
        if stored != str(kind)
    ]
    narrowed = relation.project(f"* REPLACE ({', '.join(casts)})") if casts else relation
    narrowed.write_parquet(path, compression="zstd")


def _narrow(table: pa.Table) -> pa.Table:
    """HUGEINT as 64-bit integers where they fit, else a digit longer than it arrives."""
    for index, field in enumerate(table.schema):
        if _is_huge(field.type):
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
            raise gate.Refused(
                f"One row of this result is larger than {limit // MIB} MiB. Select fewer or shorter columns."
            )
        table = table.slice(0, table.num_rows // 2)
    return table


def _stream(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())


def text_literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
