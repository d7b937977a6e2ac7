"""What the sandbox costs: the same queries in this process and through the whole sandbox, in one run.

    python -m tests.bench.bench_sandbox [rows]

Prints for each query the median of both and the difference (aim: at most 30 ms), the difference of the best
of both, which a busy machine spoils less, the form a million rows come in, and 20 users who ask at once
through ``core.query`` with its fair queue: p50 and p95 of each user, and whether one who asks twenty things
at once keeps the others waiting.
"""

import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa

from core import sql_sandbox
from core.sql_sandbox.rows import json_rows

REPEATS = 15
USERS, QUESTIONS, AT_ONCE = 20, 5, 20
QUERIES = {
    "constant": "SELECT 1",
    "count": "SELECT count(*) FROM t",
    "aggregate": "SELECT b, sum(a), avg(a) FROM t GROUP BY b ORDER BY b LIMIT 100",
    "first page": "SELECT * FROM t LIMIT 100",
    "top 100": "SELECT * FROM t ORDER BY h DESC LIMIT 100",
}


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = folder / "t.parquet"
        duckdb.connect().execute(
            f"COPY (SELECT range AS a, range % 97 AS b, hash(range) AS h, 'row ' || range AS s "
            f"FROM range({rows})) TO '{table}'"
        ).fetchall()
        print(
            f"{rows:,} rows, {table.stat().st_size / 2**20:.0f} MiB Parquet, medians of {REPEATS}\n"
            f"{sql_sandbox.protection()}\n"
        )
        _compare(table, folder)
        _carry(table, folder, rows=min(rows, 1_000_000))
        _crowd(table, folder / "data")
    sql_sandbox.shut_down()


def _compare(table: Path, folder: Path) -> None:
    connection = duckdb.connect()
    connection.execute(f"CREATE VIEW t AS SELECT * FROM read_parquet('{table}')").fetchall()
    first = _milliseconds(lambda: _sandboxed("SELECT 1", table, folder))
    print(f"first query, with the start of the sandbox: {first:.0f} ms\n")
    print(f"{'query':<12}{'in process':>12}{'sandboxed':>12}{'overhead':>12}{'best':>12}")
    for name, sql in QUERIES.items():
        bare, boxed = [], []
        for _ in range(REPEATS):  # in turns, so that a busy machine is unfair to both
            bare.append(_milliseconds(partial(_in_process, connection, sql)))
            boxed.append(_milliseconds(partial(_sandboxed, sql, table, folder)))
        inside, outside = statistics.median(bare), statistics.median(boxed)
        print(
            f"{name:<12}{inside:>9.1f} ms{outside:>9.1f} ms{outside - inside:>9.1f} "
            f"ms{min(boxed) - min(bare):>9.1f} ms"
        )


def _in_process(connection: duckdb.DuckDBPyConnection, sql: str) -> object:
    return connection.sql(sql).limit(1000).to_arrow_table()


def _carry(table: Path, folder: Path, *, rows: int) -> None:
    """The way of ``/api/query``: an Arrow stream that pyarrow loads, against JSON in pages of 10,000 rows."""

    def arrow() -> int:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            limits = sql_sandbox.Limits(rows=rows)
            answer = sql_sandbox.run(
                "SELECT * FROM t", tables={"t": table}, folder=Path(own), limits=limits, form="arrow"
            )
            assert answer.file is not None
            return int(pa.ipc.open_stream(answer.file.read_bytes()).read_all().num_rows)

    def as_json() -> object:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            limits = sql_sandbox.Limits(rows=10_000)
            answer = sql_sandbox.run("SELECT * FROM t", tables={"t": table}, folder=Path(own), limits=limits)
            assert answer.table is not None
            return json.loads(json.dumps(json_rows(answer.table)))

    whole, page = min(_milliseconds(arrow) for _ in range(3)), min(_milliseconds(as_json) for _ in range(3))
    print(
        f"\n"
        f"{rows:,} rows as an Arrow stream, loaded: {whole:.0f} ms; 10,000 as JSON: {page:.0f} ms, "
        f"so {rows // 10_000} pages {page * rows / 10_000:,.0f} ms"
    )


def _crowd(table: Path, data: Path) -> None:
    """Everybody asks in the same moment; one of them asks twenty times at once."""
    os.environ["LUTHIER_DATA_DIR"] = str(data)
    data.mkdir()
    from core import db, query, storage
    from core.config import settings
    from core.people import users as accounts
    from tests.hostile.sql_data import add_table

    settings.cache_clear()
    db.migrate()
    storage.staging_dir()
    admin = accounts.register(
        accounts.Registration(email="a@example.com", password="correct horse", name="A"), address="10.0.0.1"
    )
    accounts.set_registration_mode(admin, "open")
    people = [
        accounts.register(
            accounts.Registration(email=f"u{n}@example.com", password="correct horse", name="U"),
            address=f"10.1.0.{n}",
        )
        for n in range(USERS)
    ]
    for person in people:
        add_table(person, "t", f"SELECT * FROM '{table}' LIMIT 200000")
    waits: dict[str, list[float]] = {person.id: [] for person in people}
    together = threading.Barrier(USERS)

    def ask(person: accounts.User) -> None:
        waits[person.id].append(
            _milliseconds(lambda: query.run(person, query.NewQuery(sql=QUERIES["aggregate"])))
        )

    def ask_in_turn(person: accounts.User) -> None:
        together.wait()
        for _ in range(QUESTIONS):
            ask(person)

    def ask_at_once(person: accounts.User) -> None:
        many = [threading.Thread(target=ask, args=(person,)) for _ in range(AT_ONCE)]
        together.wait()
        _run_all(many)

    threads = [threading.Thread(target=ask_in_turn, args=(person,)) for person in people[1:]]
    began = time.perf_counter()
    _run_all([*threads, threading.Thread(target=ask_at_once, args=(people[0],))])
    _report(waits, people[0].id, time.perf_counter() - began)


def _run_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _report(waits: dict[str, list[float]], greedy: str, seconds: float) -> None:
    every = sorted(wait for user, found in waits.items() if user != greedy for wait in found)
    slowest = max(statistics.median(found) for user, found in waits.items() if user != greedy)
    fastest = min(statistics.median(found) for user, found in waits.items() if user != greedy)
    print(
        f"\n"
        f"{USERS} users at once, {len(every) + len(waits[greedy])} queries in {seconds:.1f} s: "
        f"p50 {every[len(every) // 2]:.0f} ms, p95 {every[int(len(every) * 0.95) - 1]:.0f} ms, "
        f"longest {every[-1]:.0f} ms"
    )
    print(
        f"medians per user: {fastest:.0f} to {slowest:.0f} ms; the one with {len(waits[greedy])} at once: "
        f"{statistics.median(waits[greedy]):.0f} ms; nobody was turned away"
    )


def _sandboxed(sql: str, table: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as own:
        sql_sandbox.run(sql, tables={"t": table}, folder=Path(own), limits=sql_sandbox.Limits())


def _milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main()
