"""Prints the server's start time and idle memory, beside a bare Streamlit app started in the same run.

.venv/bin/python tests/bench/bench_start.py
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
IDLE_SECONDS = 5
BARE = "import streamlit as st\nst.title('bare')\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        data = Path(folder) / "data"
        bare_start, bare_mib = measure(
            [sys.executable, "-m", "streamlit", "run", str(bare)], "/_stcore/health", {}
        )
        first_start, _ = measure(
            [sys.executable, "-m", "core.launch"], "/healthz", {"LUTHIER_DATA_DIR": str(data)}
        )
        start, mib = measure(
            [sys.executable, "-m", "core.launch"], "/healthz", {"LUTHIER_DATA_DIR": str(data)}
        )
    print(f"{'':24}{'start':>10}{'idle memory':>16}")
    print(f"{'bare streamlit':24}{bare_start:>8.1f} s{bare_mib:>12.0f} MiB")
    print(f"{'luthier, first start':24}{first_start:>8.1f} s")
    print(f"{'luthier':24}{start:>8.1f} s{mib:>12.0f} MiB")
    print(f"{'ratio':24}{start / bare_start:>9.2f}x{mib / bare_mib:>14.2f}x")


def measure(command: list[str], health: str, env: dict[str, str]) -> tuple[float, float]:
    """Seconds until the server answers, and MiB of resident memory
    of it and its children after an idle while."""
    port = _free_port()
    flags = [] if "core.launch" in command else ["--server.port", str(port), "--server.headless", "true"]
    began = time.monotonic()
    process = subprocess.Popen(
        [*command, *flags],
        cwd=ROOT if "core.launch" in command else tempfile.gettempdir(),
        env={**os.environ, **env, "LUTHIER_PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _answers(f"http://127.0.0.1:{port}{health}"):
            if process.poll() is not None or time.monotonic() - began > 120:
                raise SystemExit(f"{' '.join(command)} did not start")
            time.sleep(0.05)
        seconds = time.monotonic() - began
        time.sleep(IDLE_SECONDS)
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        return seconds, sum(p.memory_info().rss for p in family) / 2**20
    finally:
        process.terminate()
        process.wait(timeout=20)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
