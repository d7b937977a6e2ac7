"""A real server in its own process, for the tests that need what a person would have started."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from core import db
from core.config import ROOT, settings
from tests.waiting import wait_until

START_SECONDS = 300  # a busy machine imports for minutes
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


@dataclass
class Server:
    """``python -m core.launch`` (what ./start.sh runs) on a free port with an own data folder."""

    data_dir: Path
    env: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.data_dir.parent / "server.log"

    def start(self, *, cwd: Path = ROOT) -> float:
        """Start the server of this checkout and wait until it answers; returns the seconds it took."""
        self.port = self.port or _free_port()
        settings = {
            "LUTHIER_DATA_DIR": str(self.data_dir),
            "LUTHIER_PORT": str(self.port),
            "LUTHIER_HOST": "127.0.0.1",
        }
        began = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "core.launch"],
                cwd=cwd,
                env={**os.environ, **settings, **self.env},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )
        wait_until(
            lambda: self.process.poll() is not None or self.is_healthy(),
            seconds=START_SECONDS,
            told=lambda: f"the server did not start:\n{self.log.read_text()[-3000:]}",
        )
        assert self.process.poll() is None, f"the server ended:\n{self.log.read_text()[-3000:]}"
        return time.monotonic() - began

    def is_healthy(self) -> bool:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer,
        ):
            return bool(answer.status == 200)
        return False

    @contextlib.contextmanager
    def database(self) -> Iterator[None]:
        """The services in this process work on the server's data folder."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LUTHIER_DATA_DIR", str(self.data_dir))
            settings.cache_clear()
            try:
                yield
            finally:
                db.engine().dispose()
        settings.cache_clear()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> float:
        """Signal the server alone, not its children; returns the seconds until it was gone."""
        if self.process is None or self.process.poll() is not None:
            return 0.0
        began = time.monotonic()
        self.process.send_signal(how)
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{how.name} did not end the server within 15 s") from None
        return time.monotonic() - began

    def kill_everything(self) -> None:
        """The server and every process it started."""
        is_there = self.process is not None and self.process.poll() is None
        started = (
            psutil.Process(self.process.pid).children(recursive=True) if self.process and is_there else []
        )
        self.stop(signal.SIGKILL)
        for process in started:
            with contextlib.suppress(psutil.Error):  # it ended by itself
                process.kill()


@contextlib.contextmanager
def serving(folder: Path, **env: str) -> Iterator[Server]:
    """A started server with its data in ``folder`` and these settings; nothing of it is left at the end."""
    made = Server(folder / "data", env=env)
    made.data_dir.mkdir()
    made.start()
    yield made
    made.kill_everything()


def _end_with_parent() -> None:
    """Linux ends this process when the pytest worker that started it is gone, which an interrupted xdist ends
    without its fixtures' ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
