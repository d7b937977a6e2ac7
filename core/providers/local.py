"""Answers from models on this server. This side lives in the web process and knows no torch: it starts the inference process when
somebody asks, speaks JSON lines with it (see ``local_server``), and starts another when it has died.

Nothing waits for ever: a request without a sign of life ends as Unavailable. Requests that were being answered when the process
died end so too; one that reached a process which was just closing down for idleness is sent again.
"""

import json
import logging
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.config import ROOT, child_environment, settings
from core.errors import ContextLengthExceeded, LuthierError, Unavailable, ValidationError
from core.providers.base import Delta, Finish, Generation, Usage
from core.weights import Weights

log = logging.getLogger(__name__)
FIRST_SIGN_SECONDS, LOADING_SECONDS, SILENCE_SECONDS, CANCEL_SECONDS = 120.0, 600.0, 120.0, 3.0
POLL_SECONDS = 0.1
LARGEST_LOG = 10 * 2**20  # bytes; then the log begins anew
ENDED = "The model process ended unexpectedly. Send your message again: it starts anew by itself."
SILENT = "No model answered in time. The server is busy; try again in a minute."
Json = dict[str, Any]


class LocalProvider:
    """The inference process on this machine, for bases, fine-tuned models and adapters alike."""

    name = "local"
    title = "This server"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: InferenceProcess | None = None

    @property
    def pid(self) -> int | None:
        """Of the living inference process."""
        return self._process.pid if self._process and self._process.is_alive() else None

    def generate(self, request: Generation, *, stop: Callable[[], bool]) -> Iterator[Delta | Finish]:
        for last_try in (False, True):
            process = self._running()
            request_id, answers = process.ask(_as_json(request))
            try:
                yield from _Exchange(process, request_id, answers, stop)
                return
            except ClosedWhileIdle as error:
                if last_try:
                    raise Unavailable(ENDED) from error
            finally:
                process.forget(request_id)

    def warm(self, weights: Weights) -> None:
        self._running().send({"op": "load", "weights": _weights_as_json(weights)})

    def stop(self) -> None:
        with self._lock:
            if self._process:
                self._process.end()
            self._process = None

    def _running(self) -> "InferenceProcess":
        with self._lock:
            if self._process is None or not self._process.is_alive():
                self._process = InferenceProcess()
            return self._process


class ClosedWhileIdle(Exception):
    """The process had ended in good order before it took the request."""


class InferenceProcess:
    """The child, the thread that reads its lines, and a queue per request."""

    def __init__(self) -> None:
        self._popen = _start()
        self._lock = threading.Lock()
        self._queues: dict[int, queue.SimpleQueue[Json]] = {}
        self._last_id = 0
        threading.Thread(target=self._read, name="inference-reader", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def ask(self, request: Json) -> tuple[int, "queue.SimpleQueue[Json]"]:
        answers: queue.SimpleQueue[Json] = queue.SimpleQueue()
        with self._lock:
            self._last_id += 1
            request_id = self._last_id
            self._queues[request_id] = answers
        if not self.send({**request, "op": "generate", "id": request_id}):
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
            with self._lock:
                assert self._popen.stdin
                self._popen.stdin.write(line)
                self._popen.stdin.flush()
        except (OSError, ValueError):  # a broken pipe, or closed by end()
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
            log.debug("the inference process was gone already")
        try:
            self._popen.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def _read(self) -> None:
        assert self._popen.stdout
        for line in self._popen.stdout:
            answer = json.loads(line)
            with self._lock:
                is_last = "finish" in answer or "error" in answer
                waiting = self._queues.pop(answer["id"], None) if is_last else self._queues.get(answer["id"])
            if waiting:
                waiting.put(answer)
        log.info("inference process %d ended with %d", self.pid, self._popen.wait())
        with self._lock:
            waiting_queues = list(self._queues.values())
            self._queues.clear()
        for waiting in waiting_queues:
            waiting.put({"died": True})


class _Exchange:
    """One request's answers as Deltas and a Finish, with deadlines."""

    def __init__(
        self, process: InferenceProcess, request_id: int, answers: "queue.SimpleQueue[Json]", stop: Callable[[], bool]
    ) -> None:
        self._process, self._id, self._answers, self._stop = process, request_id, answers, stop
        self._deadline = time.monotonic() + FIRST_SIGN_SECONDS
        self._has_begun = False
        self._cancelled = False

    def __iter__(self) -> Iterator[Delta | Finish]:
        while True:
            self._look_at_stop()
            try:
                answer = self._answers.get(timeout=POLL_SECONDS)
            except queue.Empty:
                if time.monotonic() < self._deadline:
                    continue
                if not self._cancelled:
                    raise Unavailable(SILENT) from None
                answer = {"finish": "cancelled", "prompt_tokens": 0, "completion_tokens": 0}
            event = self._translate(answer)
            if event:
                yield event
            if isinstance(event, Finish):
                return

    def _look_at_stop(self) -> None:
        if not self._cancelled and self._stop():
            self._cancelled = True
            self._deadline = time.monotonic() + CANCEL_SECONDS
            self._process.cancel(self._id)

    def _translate(self, answer: Json) -> Delta | Finish | None:
        if "finish" in answer:
            return Finish(answer["finish"], Usage(answer["prompt_tokens"], answer["completion_tokens"]))
        if "error" in answer:
            raise _as_error(answer["error"])
        if "died" in answer:
            raise self._death()
        if not self._cancelled:
            self._deadline = time.monotonic() + (LOADING_SECONDS if "loading" in answer else SILENCE_SECONDS)
        self._has_begun = True
        return Delta(answer["delta"]) if "delta" in answer else None

    def _death(self) -> Exception:
        if not self._has_begun and self._process.ended_well():
            return ClosedWhileIdle()
        return Unavailable(ENDED)


def _start() -> "subprocess.Popen[str]":
    """A clean process: no inherited files, its own session so that Ctrl-C reaches only the parent, its errors in a log file."""
    chosen = ["--threads", str(settings().inference_threads), "--idle-seconds", str(settings().inference_idle_seconds)]
    with _log_path().open("ab") as log_file:
        return subprocess.Popen(
            [sys.executable, "-m", "core.providers.local_server", *chosen],
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
    path = settings().data_dir / "logs" / "inference.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LARGEST_LOG:
        path.unlink()
    return path


def _as_error(error: Json) -> LuthierError:
    if error["code"] == "context_length_exceeded":
        return ContextLengthExceeded(error["message"])
    if error["code"] == "validation_error":
        return ValidationError.of("messages", error["message"])
    return Unavailable(error["message"])


def _as_json(request: Generation) -> Json:
    return {
        "weights": _weights_as_json(request.weights),
        "messages": list(request.messages),
        "parameters": request.parameters,
        "forget": request.forget,
    }


def _weights_as_json(weights: Weights) -> Json:
    return {
        "version_id": weights.version_id,
        "folder": str(weights.folder),
        "base": str(weights.base),
        "adapter": str(weights.adapter) if weights.adapter else None,
        "chat_template_sha256": weights.chat_template_sha256,
    }
