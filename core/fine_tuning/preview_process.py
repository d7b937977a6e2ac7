"""The child process that previews (see ``core.training.preview_server``), as this side sees it: started, asked, ended.

This side lives in the web process and knows no torch. ``shared`` is the one process for rows and totals; a probe gets a process of
its own, because it measures the memory of the whole process, and may die of it.
"""

import json
import logging
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core import stopping
from core.config import ROOT, child_environment, settings
from core.errors import BadRequest, Conflict, LuthierError, NotFound, Unavailable

log = logging.getLogger(__name__)
IDLE_SECONDS = 300
SILENCE_SECONDS = 120.0  # loading a tokenizer or a model on a busy machine
POLL_SECONDS = 0.2
LARGEST_LOG = 10 * 2**20  # bytes; then the log begins anew
ENDED = "The preview process ended unexpectedly. Try again: it starts anew by itself."
KILLED = "The measuring process was ended by the system: these settings most likely need more memory than there is."
SILENT = "The preview did not answer in time. The server is busy; try again in a minute."
Json = dict[str, Any]
Queue = queue.SimpleQueue[Json]


class Stopped(Exception):
    """Nobody waits for the answer any more."""


class Died(Unavailable):
    """The process ended before it had answered."""


class PreviewProcess:
    """The child, the thread that reads its lines, and a queue per request."""

    def __init__(self) -> None:
        self._popen = _start()
        self._lock = threading.Lock()
        self._queues: dict[int, Queue] = {}
        self._last_id = 0
        threading.Thread(target=self._read, name="preview-reader", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def ask(
        self,
        request: Json,
        *,
        on_progress: Callable[[Json], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
        died: str = ENDED,
    ) -> Json:
        """The result. Raises Stopped, the error that the child names, Unavailable when it dies or keeps silent."""
        answers: Queue = queue.SimpleQueue()
        request_id = self._send_request(request, answers)
        deadline = time.monotonic() + SILENCE_SECONDS
        try:
            while True:
                if stop() or stopping.is_stopping():
                    raise Stopped
                try:
                    answer = answers.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    if time.monotonic() > deadline:
                        raise Unavailable(SILENT) from None
                    continue
                deadline = time.monotonic() + SILENCE_SECONDS
                if "died" in answer:
                    raise Died(died)
                if "error" in answer:
                    raise _as_error(answer["error"])
                if "result" in answer:
                    found: Json = answer["result"]
                    return found
                on_progress(answer)
        finally:
            self._forget(request_id)

    def end(self) -> None:
        """Closing its stdin ends the process; one that does not notice is killed."""
        try:
            assert self._popen.stdin
            self._popen.stdin.close()
        except OSError:
            log.debug("the preview process was gone already")
        try:
            self._popen.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def _send_request(self, request: Json, answers: Queue) -> int:
        with self._lock:
            self._last_id += 1
            request_id = self._last_id
            self._queues[request_id] = answers
        if not self._send({**request, "id": request_id}):
            answers.put({"died": True})
        return request_id

    def _forget(self, request_id: int) -> None:
        with self._lock:
            unfinished = self._queues.pop(request_id, None) is not None
        if unfinished:
            self._send({"op": "cancel", "id": request_id})

    def _send(self, message: Json) -> bool:
        """False when the process is gone."""
        try:
            with self._lock:
                assert self._popen.stdin
                self._popen.stdin.write(json.dumps(message) + "\n")
                self._popen.stdin.flush()
        except (OSError, ValueError):  # a broken pipe, or closed by end()
            return False
        return True

    def _read(self) -> None:
        assert self._popen.stdout
        for line in self._popen.stdout:
            answer = json.loads(line)
            with self._lock:
                is_last = "result" in answer or "error" in answer
                waiting = self._queues.pop(answer["id"], None) if is_last else self._queues.get(answer["id"])
            if waiting:
                waiting.put(answer)
        log.info("preview process %d ended with %d", self.pid, self._popen.wait())
        with self._lock:
            left = list(self._queues.values())
            self._queues.clear()
        for waiting in left:
            waiting.put({"died": True})


class Shared:
    """One process for everybody, started when somebody asks, and anew when it has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: PreviewProcess | None = None

    @property
    def pid(self) -> int | None:
        """Of the living process."""
        return self._process.pid if self._process and self._process.is_alive() else None

    def ask(self, request: Json, **more: Any) -> Json:
        """As ``PreviewProcess.ask``; once more when the process ended, as an idle one does at any time."""
        try:
            return self.get().ask(request, **more)
        except Died:
            return self.get().ask(request, **more)

    def get(self) -> PreviewProcess:
        with self._lock:
            if self._process is None or not self._process.is_alive():
                self._process = PreviewProcess()
            return self._process

    def stop(self) -> None:
        with self._lock:
            if self._process:
                self._process.end()
            self._process = None


shared = Shared()


def _start() -> "subprocess.Popen[str]":
    """A clean process: no inherited files, its own session so that Ctrl-C reaches only the parent, its errors in a log file."""
    with _log_path().open("ab") as log_file:
        return subprocess.Popen(
            [sys.executable, "-m", "core.training.preview_server", "--idle-seconds", str(IDLE_SECONDS)],
            cwd=ROOT,
            env=child_environment(HF_HUB_OFFLINE="1"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )


def _log_path() -> Path:
    path = settings().data_dir / "logs" / "preview.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LARGEST_LOG:
        path.unlink()
    return path


def _as_error(error: Json) -> LuthierError:
    kinds: dict[str, type[LuthierError]] = {"not_found": NotFound, "unavailable": Unavailable, "bad_request": BadRequest}
    return kinds.get(error["code"], Conflict)(error["message"])
