"""A child process that is asked and answers in JSON lines,
as the process that asks sees it; ``line_server`` is its other end.

Every request has a number; what the child says about it goes into that request's queue, and ``{"died":
True}`` when the child is gone. A child that beats (``line_server.keep_beating``) is ended when it hangs.
"""

import json
import logging
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Container
from pathlib import Path
from typing import Any

import psutil

from core.config import ROOT, child_environment, settings
from core.processes.quiet import QuietTime

LOOK_SECONDS = 0.5  # between two looks at whether the child hangs
LARGEST_LOG = 10 * 2**20  # bytes; then the log begins anew
log = logging.getLogger(__name__)
Json = dict[str, Any]
Answers = queue.SimpleQueue[Json]


class LineProcess:
    """The child, the thread that reads its lines, a queue per request.

    ``last``: an answer with one of these keys is the last. ``hangs_after``: a child that has neither said
    anything nor computed for so many seconds is killed; None for one that does not beat.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        name: str,
        last: Container[str],
        hangs_after: float | None = None,
    ) -> None:
        self._name, self._last = name, last
        self._popen = _start(module, arguments, name)
        self._lock = threading.Lock()  # guards the queues
        self._sending = threading.Lock()  # one line at a time; a long one must not hold up what comes back
        self._lines_read = 0
        self._queues: dict[int, Answers] = {}
        self._last_id = 0
        self._is_broken = False  # its pipe is: it has ended, though the system may not have said so yet
        threading.Thread(target=self._read, name=f"{name}-reader", daemon=True).start()
        if hangs_after is not None:
            threading.Thread(
                target=self._watch, args=(hangs_after,), name=f"{name}-watch", daemon=True
            ).start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def is_alive(self) -> bool:
        return not self._is_broken and self._popen.poll() is None

    def open(self, request: Json) -> tuple[int, Answers]:
        """Send a request; returns its number and where its answers come."""
        answers: Answers = queue.SimpleQueue()
        with self._lock:
            self._last_id += 1
            request_id = self._last_id
            self._queues[request_id] = answers
        if not self.send({**request, "id": request_id}):
            answers.put({"died": True})
        return request_id, answers

    def cancel(self, request_id: int) -> None:
        self.send({"op": "cancel", "id": request_id})

    def forget(self, request_id: int) -> None:
        """Nobody listens any more. If it is still being answered, that stops."""
        with self._lock:
            unfinished = self._queues.pop(request_id, None) is not None
        if unfinished:
            self.cancel(request_id)

    def send(self, message: Json) -> bool:
        """False when the process is gone."""
        line = json.dumps(message) + "\n"
        try:
            with self._sending:
                assert self._popen.stdin
                self._popen.stdin.write(line)
                self._popen.stdin.flush()
        except (OSError, ValueError):  # a broken pipe, or closed by end()
            self._is_broken = True
            return False
        return True

    def ended_well(self) -> bool:
        return self._popen.wait(timeout=5) == 0

    def end(self) -> None:
        """Closing its stdin ends the process; one that does not notice is killed."""
        try:
            assert self._popen.stdin
            self._popen.stdin.close()
        except OSError:
            log.debug("the %s process was gone already", self._name)
        try:
            self._popen.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def _read(self) -> None:
        assert self._popen.stdout
        for line in self._popen.stdout:
            self._lines_read += 1
            answer = json.loads(line)
            if "id" not in answer:  # a beat
                continue
            with self._lock:
                is_last = any(key in self._last for key in answer)
                waiting = self._queues.pop(answer["id"], None) if is_last else self._queues.get(answer["id"])
            if waiting:
                waiting.put(answer)
        log.info("%s process %d ended with %d", self._name, self.pid, self._popen.wait())
        with self._lock:
            left = list(self._queues.values())
            self._queues.clear()
        for waiting in left:
            waiting.put({"died": True})

    def _watch(self, hangs_after: float) -> None:
        quiet = QuietTime(now=time.monotonic())
        try:
            child = psutil.Process(self.pid)
            while self._popen.poll() is None:
                cpu = child.cpu_times()
                seconds = quiet.look(
                    now=time.monotonic(), sign=self._lines_read, cpu_seconds=cpu.user + cpu.system
                )
                if seconds >= hangs_after:
                    log.error("%s process %d hangs: it is ended", self._name, self.pid)
                    self._popen.kill()
                    return
                time.sleep(LOOK_SECONDS)
        except psutil.NoSuchProcess:
            return


def _start(module: str, arguments: tuple[str, ...], name: str) -> "subprocess.Popen[str]":
    """A clean process: no inherited files, its own session so
    that Ctrl-C reaches only the parent, its errors in a log file."""
    with _log_path(name).open("ab") as log_file:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=child_environment(HF_HUB_OFFLINE="1"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )


def _log_path(name: str) -> Path:
    path = settings().data_dir / "logs" / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LARGEST_LOG:
        path.unlink()
    return path
