"""Prints what a page of rows costs beside bare DuckDB on the same Parquet, and what it costs in the browser.

.venv/bin/python tests/bench/bench_rows.py [--rows 10000000] [--no-browser]

Bare DuckDB is one open connection with the same number of threads that selects all columns and hands the rows
to Python; each pair is run in turns, the median counts. The first line is the one with an aim: at most 1.3
times bare DuckDB.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROWS, PAGE, TURNS = 10_000_000, 50, 7
TABLE = """
SELECT range AS id, 'user ' || (hash(range) % 100000) AS name, (hash(range * 7) % 1000000) / 100.0 AS amount,
    ['red', 'green', 'blue', 'black'][1 + (hash(range * 3) % 4)::INT] AS colour,
    TIMESTAMP '2020-01-01' + to_seconds((hash(range * 5) % 100000000)::BIGINT) AS bought_at,
    DATE '2020-01-01' + ((hash(range * 11) % 2000)::INT) AS day, hash(range) % 2 = 0 AS paid,
    md5(range::VARCHAR) || ' some longer text about things ' || md5((range * 3)::VARCHAR) AS note,
    CASE WHEN range % 10 = 0 THEN NULL ELSE (hash(range * 13) % 1000)::INT END AS score,
    {'a': range % 7, 'b': 'x' || (range % 5)} AS nested
FROM range(ROWS)
"""


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rows", type=int, default=ROWS)
    asked.add_argument("--no-browser", action="store_true")
    options = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LUTHIER_DATA_DIR"] = str(Path(folder) / "data")
        parquet = Path(folder) / "rows.parquet"
        print(f"{options.rows:,} rows: ", end="", flush=True)
        columns = generate(parquet, options.rows)
        print(f"{parquet.stat().st_size / 2**20:,.0f} MiB of Parquet\n")
        compare(parquet, columns, options.rows)
        if not options.no_browser:
            measure_browser(parquet, Path(folder))


def generate(parquet: Path, rows: int) -> list[dict[str, str]]:
    import duckdb

    table = TABLE.replace("ROWS", str(rows))
    with duckdb.connect(config={"memory_limit": "2GB"}) as connection:
        connection.execute(f"COPY ({table}) TO '{parquet}' (FORMAT parquet, COMPRESSION zstd)")
        return [
            {"name": row[0], "type": row[1]}
            for row in connection.execute(f"DESCRIBE FROM '{parquet}'").fetchall()
        ]


def compare(parquet: Path, columns: list[dict[str, str]], rows: int) -> None:
    import duckdb

    from core.datasets import Filter, pages

    bare = duckdb.connect(config={"threads": pages.THREADS})
    everything = f"SELECT * FROM read_parquet('{parquet}')"
    low = {"amount": Filter(min=100, max=110)}

    def ours(**how: Any) -> Callable[[], Any]:
        return lambda: pages.page(parquet, columns, num_rows=rows, limit=PAGE, **how)

    def theirs(rest: str) -> Callable[[], Any]:
        return lambda: bare.sql(f"{everything} {rest} LIMIT {PAGE}").to_arrow_table().to_pylist()

    print(f"{'a page of 50 rows':34}{'ours':>10}{'bare DuckDB':>14}{'ratio':>8}")
    show("first", ours(), theirs(""))
    show(
        "in the middle (bare: OFFSET)", ours(offset=rows // 2), lambda: theirs_at(bare, everything, rows // 2)
    )
    show("sorted by a number", ours(order_by="-amount"), theirs("ORDER BY amount DESC"), turns=3)
    show("sorted by a text, page 3", ours(order_by="name", offset=100), theirs("ORDER BY name"), turns=3)
    show(
        "filtered (bare: without a count)",
        ours(where=low),
        theirs("WHERE amount BETWEEN 100 AND 110"),
        turns=3,
    )
    pages.forget_counts()
    began = time.perf_counter()
    ours(search="zebra abc")()
    print(f"{'searched in all text, first time':34}{(time.perf_counter() - began) * 1000:>7.0f} ms")
    show("searched again", ours(search="zebra abc"), None, turns=3)
    show(
        "a connection of its own",
        lambda: duckdb.connect().sql(f"{everything} LIMIT {PAGE}").to_arrow_table().to_pylist(),
        None,
    )
    print()


def theirs_at(bare: Any, everything: str, offset: int) -> Any:
    return bare.sql(f"{everything} LIMIT {PAGE} OFFSET {offset}").to_arrow_table().to_pylist()


def show(name: str, ours: Callable[[], Any], theirs: Callable[[], Any] | None, *, turns: int = TURNS) -> None:
    """One line: both in turns, after a first time that does not count."""
    spent: dict[str, list[float]] = {"ours": [], "theirs": []}
    for turn in range(turns + 1):
        for side, act in (("ours", ours), ("theirs", theirs)):
            if act is not None:
                began = time.perf_counter()
                act()
                spent[side] += [time.perf_counter() - began] if turn else []
    mine = statistics.median(spent["ours"])
    line = f"{name:34}{mine * 1000:>7.0f} ms"
    if theirs is not None:
        bare = statistics.median(spent["theirs"])
        line += f"{bare * 1000:>11.0f} ms{mine / bare:>7.2f}x"
    print(line, flush=True)


def measure_browser(parquet: Path, folder: Path) -> None:
    """From the click to the rows that it leads to, as a reader sees it."""
    with visit(parquet, folder) as (page, dataset_id, url):
        grid = page.locator(".st-key-rows_grid")
        began = time.perf_counter()
        page.goto(f"{url}/dataset?id={dataset_id}")
        grid.locator("tbody tr").nth(PAGE - 1).wait_for(timeout=120_000)
        print(f"{'the page opens':34}{(time.perf_counter() - began) * 1000:>7.0f} ms")
        turns = []
        for number in range(2, 8):
            began = time.perf_counter()
            page.locator(".st-key-rows_page").get_by_role("button", name="Next page").click()
            grid.locator(f'tbody tr[data-line="{(number - 1) * PAGE + 1}"]').wait_for(timeout=60_000)
            turns.append(time.perf_counter() - began)
        print(f"{'the next page of rows':34}{statistics.median(turns) * 1000:>7.0f} ms")
        began = time.perf_counter()
        grid.get_by_role("button", name="amount", exact=True).click()
        grid.locator('thead th[aria-sort="ascending"]').wait_for(timeout=120_000)
        print(f"{'sorted by a click':34}{(time.perf_counter() - began) * 1000:>7.0f} ms")


@contextmanager
def visit(parquet: Path, folder: Path) -> Iterator[tuple[Any, str, str]]:
    """A server with the table as a dataset, and a signed-in browser."""
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import CHROMIUM_FLAGS, DESKTOP, App, Server, sign_in
    from tests.browser.rest import Rest
    from tests.waiting import wait_until

    server = Server(folder / "served" / "data")
    server.data_dir.mkdir(parents=True)
    server.start()
    try:
        rest = Rest(server.url, "ada@example.com")
        dataset = rest.upload(parquet)
        wait_until(
            lambda: rest.get(f"/datasets/{dataset['id']}")["status"],
            lambda status: status == "ready",
            seconds=600,
        )
        with sync_playwright() as playwright:
            path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
            browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
            page = browser.new_context(viewport=DESKTOP).new_page()
            sign_in(App(page, server), "ada@example.com")
            yield page, dataset["id"], server.url
            browser.close()
    finally:
        server.kill_everything()


if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
