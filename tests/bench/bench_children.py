"""What a small upload costs with all its reports.

    python -m tests.bench.bench_children [OTHER_CHECKOUT] [FILES]

A real server takes FILES (40) tables of ten rows, one after the other; each is waited for until its profile
and quality are there. Told are medians: seconds until the upload is answered, seconds until all reports are
ready, CPU-seconds of the whole process tree (children that ended count with the process that started them),
and the memory of the idle tree (sum of PSS, a minute after the start and one upload).

With the checkout of another commit as first argument its server does the same in turn, three rounds each, and
the last line has the ratios. Aims: answered within 0.3 s, ready within 1 s, 0.4 CPU-seconds a file, at most
60 MiB more idle memory than commit 304d555.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from core.config import ROOT
from tests.browser.rest import Rest
from tests.browser.server import Server

ROUNDS, IDLE_SECONDS = 3, 60.0
Figures = dict[str, float]


def main() -> None:
    sides = {"here": ROOT}
    if len(sys.argv) > 1 and not sys.argv[1].isdecimal():
        sides["other"] = Path(sys.argv[1]).resolve()
    count = int(sys.argv[-1]) if sys.argv[-1].isdecimal() else 40
    found: dict[str, list[Figures]] = {side: [] for side in sides}
    for number in range(ROUNDS if len(sides) > 1 else 1):
        for side, checkout in sides.items():
            found[side].append(measure(checkout, count, idle_seconds=IDLE_SECONDS if number == 0 else 0.0))
            print(side, {name: round(value, 3) for name, value in found[side][-1].items()}, flush=True)
    middle = {
        side: {name: statistics.median(f[name] for f in figures if name in f) for name in figures[0]}
        for side, figures in found.items()
    }
    for side, figures in middle.items():
        print(f"{side:6}", "  ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    if len(sides) > 1:
        print("ratio ", "  ".join(f"{n} {middle['here'][n] / v:.2f}" for n, v in middle["other"].items()))


def measure(checkout: Path, count: int, *, idle_seconds: float) -> Figures:
    """The figures of one server; memory only where there is time for it."""
    with serving(checkout) as server, tempfile.TemporaryDirectory() as folder:
        rest = Rest(server.url, "ada@example.com")
        file = Path(folder) / "ten.csv"
        upload(rest, file, "warm-up")
        figures: Figures = {}
        if idle_seconds:
            time.sleep(idle_seconds)
            figures["idle MiB"] = sum(pss_of(process) for process in tree(server)) / 2**20
        began = cpu_seconds(server)
        timed = [upload(rest, file, f"table {n}") for n in range(count)]
        figures["CPU-s"] = (cpu_seconds(server) - began) / count
        figures["answered s"] = statistics.median(answered for answered, _ in timed)
        figures["ready s"] = statistics.median(ready for _, ready in timed)
        return figures


def upload(rest: Rest, file: Path, name: str) -> tuple[float, float]:
    """(seconds until it is answered, seconds until profile and quality are ready)

    Each table is another: of bytes that are there already nothing would be made.
    """
    file.write_text("n,word\n" + "".join(f"{n},{name} {n}\n" for n in range(10)))
    began = time.monotonic()
    dataset = rest.upload(file, name=name)
    answered = time.monotonic() - began
    path = f"/datasets/{dataset['id']}"
    while not all(rest.get(f"{path}/{report}")["status"] == "ready" for report in ("profile", "quality")):
        time.sleep(0.05)
    return answered, time.monotonic() - began


@contextmanager
def serving(checkout: Path) -> Iterator[Server]:
    """A server of any checkout, with data of its own."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data")
        server.data_dir.mkdir()
        server.start(cwd=checkout)
        try:
            yield server
        finally:
            server.kill_everything()


def tree(server: Server) -> list[psutil.Process]:
    assert server.process
    root = psutil.Process(server.process.pid)
    return [root, *root.children(recursive=True)]


def pss_of(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.memory_full_info().pss)
    return 0


def cpu_seconds(server: Server) -> float:
    """Of all processes that are there, and of their children that have ended."""
    total = 0.0
    for process in tree(server):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


if __name__ == "__main__":
    assert os.name == "posix", "CPU times of children that ended are told on POSIX systems only"
    main()
