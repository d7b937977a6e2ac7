"""What the sandbox costs: the same queries in this process and through the whole sandbox, in one run.

    python -m tests.bench.bench_sandbox [rows]

Prints for each query the median of both and the difference (aim: at most 30 ms), the difference of the best of both, which a
busy machine spoils less, and the wait of 20 callers at once.
"""

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from core import sql_sandbox

REPEATS = 15
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
            f"COPY (SELECT range AS a, range % 97 AS b, hash(range) AS h, 'row ' || range AS s FROM range({rows})) TO '{table}'"
        ).fetchall()
        print(f"{rows:,} rows, {table.stat().st_size / 2**20:.0f} MiB Parquet, medians of {REPEATS}\n{sql_sandbox.protection()}\n")
        _compare(table, folder)
        _crowd(table, folder)
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
            bare.append(_milliseconds(lambda sql=sql: connection.sql(sql).limit(1000).to_arrow_table()))  # type: ignore[misc]
            boxed.append(_milliseconds(lambda sql=sql: _sandboxed(sql, table, folder)))  # type: ignore[misc]
        inside, outside = statistics.median(bare), statistics.median(boxed)
        print(f"{name:<12}{inside:>9.1f} ms{outside:>9.1f} ms{outside - inside:>9.1f} ms{min(boxed) - min(bare):>9.1f} ms")


def _crowd(table: Path, folder: Path, *, callers: int = 20) -> None:
    waits: list[float] = []

    def work() -> None:
        waits.append(_milliseconds(lambda: _sandboxed(QUERIES["aggregate"], table, folder)))

    threads = [threading.Thread(target=work) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    waits.sort()
    print(f"\n{callers} callers at once: p50 {waits[callers // 2]:.0f} ms, p95 {waits[int(callers * 0.95) - 1]:.0f} ms")


def _sandboxed(sql: str, table: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as own:
        sql_sandbox.run(sql, tables={"t": table}, folder=Path(own), limits=sql_sandbox.Limits())


def _milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main()
