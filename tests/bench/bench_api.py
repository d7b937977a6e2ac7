"""Requests per second and CPU per request of ``/api/chats``, beside the plain design it is measured against.

    python -m tests.bench.bench_api [--plain FILE] [--other CHECKOUT] [--rounds N]

Each round starts every server afresh with an empty database and gives it the same load: eight clients ask 600
times for one chat, 400 times for the list of it, and begin 300 chats. Told are the medians of three rounds in
turn: requests a second, and CPU-milliseconds of the server's processes per request, which a busy machine
spoils less; then ratios to the plain design (requests a second: above 1 is better; CPU: below 1). All servers
run in this interpreter's environment, so that Python, packages and HTTP parser are the same.

The plain design is ``plain_api.py`` beside this file, or FILE: a module with an ``app`` that prints a token
first. It needs aiosqlite (``pip install aiosqlite``), which Luthier does not. With CHECKOUT another commit of
Luthier runs in the same rounds. Aim: at least 1.2 times the plain design's requests a second on all three.
"""

import argparse
import asyncio
import importlib.util
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from core.config import ROOT
from tests.browser.rest import Rest
from tests.browser.server import Server

CLIENTS = 8
COUNTS = {"get": 600, "list": 400, "post": 300}
START_SECONDS = 120


@dataclass(frozen=True)
class Target:
    """A running server: its address, who asks, and what begins a chat."""

    url: str
    token: str
    new_chat: dict[str, Any]
    pid: int


@dataclass(frozen=True)
class Figures:
    per_second: float
    cpu_ms: float
    failed: (
        int  # of the requests; a busy machine lets the plain design's writers wait too long for each other
    )


def main() -> None:
    asked = _read_arguments()
    _require_aiosqlite()
    sides: dict[str, Callable[[], Any]] = {
        "plain": lambda: serving_plain(asked.plain),
        "luthier": lambda: serving_luthier(ROOT),
    }
    if asked.other:
        sides["other"] = lambda: serving_luthier(asked.other)
    print(f"Python {sys.version.split()[0]}, HTTP parser {_http_parser()}, plain design {asked.plain.name}")
    rounds: dict[str, list[dict[str, Figures]]] = {side: [] for side in sides}
    for number in range(asked.rounds):
        for side, serving in sides.items():
            with serving() as target:
                rounds[side].append(asyncio.run(measure(target)))
            print(f"round {number + 1}  {side:8}{_line(rounds[side][-1])}", flush=True)
    middle = {side: _medians(found) for side, found in rounds.items()}
    for side, found in middle.items():
        print(f"median   {side:8}{_line(found)}")
    for side in list(sides)[1:]:
        print(f"ratio    {side:8}{_ratios(middle[side], middle['plain'])}")


async def measure(target: Target) -> dict[str, Figures]:
    """The three kinds of requests, one after the other."""
    headers = {"Authorization": f"Bearer {target.token}"}
    # servers close what has been idle for 5 s
    limits = httpx.Limits(max_connections=2 * CLIENTS, keepalive_expiry=2)
    async with httpx.AsyncClient(base_url=target.url, headers=headers, limits=limits, timeout=60) as client:

        async def post() -> httpx.Response:
            return await client.post("/api/chats", json=target.new_chat)

        chat_id = (await post()).raise_for_status().json()["id"]
        asks = {
            "get": lambda: client.get(f"/api/chats/{chat_id}"),
            "list": lambda: client.get("/api/chats?limit=20"),
            "post": post,
        }
        return {kind: await _ask(asks[kind], count, target.pid) for kind, count in COUNTS.items()}


@contextmanager
def serving_luthier(checkout: Path) -> Iterator[Target]:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data")
        server.data_dir.mkdir()
        server.start(cwd=checkout)
        try:
            assert server.process
            rest = Rest(server.url, "ada@example.com")
            token = rest.http.headers["Authorization"].removeprefix("Bearer ")
            yield Target(server.url, token, {"model_id": rest.starter()["id"]}, server.process.pid)
        finally:
            server.kill_everything()


@contextmanager
def serving_plain(file: Path) -> Iterator[Target]:
    port = _free_port()
    command = [sys.executable, "-m", "uvicorn", f"{file.stem}:app", "--app-dir", str(file.parent)]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w") as log:
        env = {**os.environ, "TMPDIR": folder, "PYTHONUNBUFFERED": "1"}  # the token is read from the log
        process = subprocess.Popen([*command, "--port", str(port)], env=env, stdout=log, stderr=log)
        try:
            _wait_for(port, process)
            token = (Path(folder) / "log").read_text().split()[0]
            yield Target(f"http://127.0.0.1:{port}", token, {}, process.pid)
        finally:
            process.kill()
            process.wait()


async def _ask(ask: Callable[[], Awaitable[httpx.Response]], count: int, pid: int) -> Figures:
    numbers = iter(range(count))

    async def ask_on() -> int:
        return sum([(await ask()).is_error for _ in numbers])

    began, used = time.perf_counter(), _cpu_seconds(pid)
    failed = sum(await asyncio.gather(*(ask_on() for _ in range(CLIENTS))))
    seconds, cpu = time.perf_counter() - began, _cpu_seconds(pid) - used
    return Figures(count / seconds, 1000 * cpu / count, failed)


def _cpu_seconds(pid: int) -> float:
    root = psutil.Process(pid)
    times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
    return sum(time.user + time.system for time in times)


def _medians(rounds: list[dict[str, Figures]]) -> dict[str, Figures]:
    return {
        kind: Figures(
            statistics.median(figures[kind].per_second for figures in rounds),
            statistics.median(figures[kind].cpu_ms for figures in rounds),
            sum(figures[kind].failed for figures in rounds),
        )
        for kind in COUNTS
    }


def _line(found: dict[str, Figures]) -> str:
    return "".join(
        f"  {kind:4}{f.per_second:6.0f}/s {f.cpu_ms:5.2f} CPU-ms" + f" {f.failed} failed" * (f.failed > 0)
        for kind, f in found.items()
    )


def _ratios(found: dict[str, Figures], plain: dict[str, Figures]) -> str:
    return "".join(
        f"  {kind:4}{f.per_second / plain[kind].per_second:6.2f}x   {f.cpu_ms / plain[kind].cpu_ms:4.2f}x CPU"
        for kind, f in found.items()
    )


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < START_SECONDS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit("the plain design did not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _http_parser() -> str:
    return "httptools" if importlib.util.find_spec("httptools") else "h11"


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--plain", type=Path, default=Path(__file__).with_name("plain_api.py"))
    parser.add_argument("--other", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    asked.plain = asked.plain.resolve()
    asked.other = asked.other and asked.other.resolve()
    return asked


def _require_aiosqlite() -> None:
    if importlib.util.find_spec("aiosqlite") is None:
        raise SystemExit("The plain design needs aiosqlite: pip install aiosqlite, into this environment.")


if __name__ == "__main__":
    main()
