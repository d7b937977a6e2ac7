"""What an upload costs beside bare DuckDB and pandas:
``python -m tests.bench.bench_ingest [MEGABYTES]`` (1024 by default).

In one run, on one generated CSV, each in a process of its own, with its wall time, CPU time and peak memory:

- ``bare``: DuckDB ``COPY (SELECT * FROM read_csv(...)) TO ... (FORMAT parquet, COMPRESSION zstd)``, nothing
  checked, with the converter's memory limit and threads;
- ``luthier``: the converter until the version is ready: UTF-8, types over the whole file under guard,
  training report (the SHA-256 was made while the bytes came in);
- ``with content hash``: the same and the content hash, which the converter of a large file adds when the
  version is ready already;
- ``pandas``: ``read_csv().to_parquet()``.

Aim: luthier at most 1.15 times bare. Ratios count, absolute times depend on the machine.
"""

import datetime as dt
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda".split()
BLOCK = 20_000
KINDS = {
    "bare": "bare DuckDB COPY",
    "luthier": "luthier, until ready",
    "hashed": "luthier, with content hash",
    "pandas": "pandas",
}
ROUNDS = 3  # in turn; the best of each counts, for the others were disturbed
AIM = 1.15


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    with tempfile.TemporaryDirectory(prefix="luthier-bench-") as folder:
        source = Path(folder) / "data.csv"
        rows = generate(source, megabytes)
        print(f"{source.stat().st_size / 2**20:,.0f} MiB, {rows:,} rows, 10 columns, {os.cpu_count()} cores")
        rounds = [{kind: measure(kind, source, Path(folder)) for kind in KINDS} for _ in range(ROUNDS)]
    found = {
        kind: [min(values) for values in zip(*(one[kind] for one in rounds), strict=True)] for kind in KINDS
    }
    for kind, (wall, cpu, peak) in found.items():
        print(
            f"{KINDS[kind]:28} {wall:7.2f} s  {wall / found['bare'][0]:5.2f}x   {cpu:7.2f} CPU-s   peak "
            f"{peak:6,.0f} MiB"
        )
    ratios = [found["luthier"][i] / found["bare"][i] for i in range(2)]
    print(f"luthier / bare: {ratios[0]:.2f} of its wall time, {ratios[1]:.2f} of its CPU time (aim {AIM})")


def generate(target: Path, megabytes: int) -> int:
    """Orders: whole and broken numbers, times, dates, texts with gaps, codes with leading zeros."""
    random.seed(1)
    rows, written, start = 0, 0, dt.datetime(2020, 1, 1)
    with target.open("w", encoding="utf-8") as out:
        out.write("id,ordered_at,day,customer,city,zip,quantity,price,paid,comment\n")
        while written < megabytes * 2**20:
            for _ in range(BLOCK):
                at = start + dt.timedelta(seconds=rows * 7)
                comment = " ".join(random.choices(WORDS, k=6)) if rows % 5 else ""
                written += out.write(
                    f"{rows},{at},{at:%Y-%m-%d},customer {random.randrange(10**6)},{random.choice(WORDS)},"
                    f"{random.randrange(10**5):05d},{random.randrange(100)},{random.random() * 1000:.2f},"
                    f"{'true' if rows % 3 else 'false'},{comment}\n"
                )
                rows += 1
    return rows


def measure(kind: str, source: Path, folder: Path) -> tuple[float, float, float]:
    """Seconds, CPU seconds and peak MiB of one way, in a process of its own; the imports are not counted."""
    environment = os.environ | {"LUTHIER_DATA_DIR": str(folder / "data")}
    command = [sys.executable, "-m", "tests.bench.bench_ingest", "--child", kind, str(source), str(folder)]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    wall, cpu, peak = json.loads(output.splitlines()[-1])
    return wall, cpu, peak


def child(kind: str, source: Path, folder: Path) -> None:
    import resource

    ways = {"bare": run_bare, "luthier": run_luthier, "hashed": run_hashed, "pandas": run_pandas}
    wall, cpu = ways[kind](source, folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
    print(json.dumps([wall, cpu, peak]))


def run_bare(source: Path, folder: Path) -> tuple[float, float]:
    """With the settings of the converter: threads, memory limit, compression."""
    import duckdb

    from core.readers.opening import configure

    with duckdb.connect() as connection:
        configure(connection, folder / "bare")
        begin = time.perf_counter(), time.process_time()
        connection.execute(
            f"COPY (SELECT * FROM read_csv('{source}')) "
            f"TO '{folder / 'bare.parquet'}' (FORMAT parquet, COMPRESSION zstd)"
        )
        return time.perf_counter() - begin[0], time.process_time() - begin[1]


def run_luthier(source: Path, folder: Path, *, hashed: bool = False) -> tuple[float, float]:
    import duckdb

    from core.ingest import converter
    from core.readers import IngestOptions, WorkProgress, reader_for

    reader_for(".csv")
    draft, sha256 = Path(tempfile.mkdtemp(dir=folder)), "0" * 64  # made while the file was received
    with duckdb.connect() as connection:
        begin = time.perf_counter(), time.process_time()
        made = converter.convert(
            source,
            "data.csv",
            draft,
            options=IngestOptions(),
            sha256=sha256,
            connection=connection,
            progress=WorkProgress(),
        )
        if hashed:
            converter.content_hash(connection, draft / "data.parquet", made.columns)
        return time.perf_counter() - begin[0], time.process_time() - begin[1]


def run_hashed(source: Path, folder: Path) -> tuple[float, float]:
    return run_luthier(source, folder, hashed=True)


def run_pandas(source: Path, folder: Path) -> tuple[float, float]:
    import pandas as pd

    begin = time.perf_counter(), time.process_time()
    pd.read_csv(source).to_parquet(folder / "pandas.parquet", compression="zstd")
    return time.perf_counter() - begin[0], time.process_time() - begin[1]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
