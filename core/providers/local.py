"""Answers from models on this server. This side lives in the web process and knows no torch: it starts the
inference process when somebody asks, exchanges JSON lines with it (see ``core.inference.server``), and starts
another when it has died. Only here does a model that is asked become folders and adapters.

Nothing waits for ever: a request without any message ends as Unavailable. A process that hangs, which says
nothing and computes nothing, is ended after ``HANGS_AFTER_SECONDS``. Requests that were being answered when
the process ended, in whatever way, end as Unavailable; those that only waited go on in the next one.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from core import models
from core.config import settings
from core.errors import (
    Conflict,
    ContextLengthExceeded,
    LuthierError,
    OutOfTokens,
    Unavailable,
    ValidationError,
)
from core.processes.lines import Answers, LineProcess
from core.providers.base import AskedModel, Delta, Finish, Generation, Provider, Usage
from core.weights import Weights

FIRST_SIGN_SECONDS, LOADING_SECONDS, SILENCE_SECONDS, CANCEL_SECONDS = 120.0, 600.0, 120.0, 3.0
HANGS_AFTER_SECONDS = 10.0
POLL_SECONDS = 0.1
MOST_TRIES = 3  # what waits may wait behind two requests that end their process
ENDED = "The process of the model was stopped. Send your message again: it starts anew by itself."
SILENT = "No model answered in time. The server is busy; try again in a minute."
Json = dict[str, Any]


class LocalProvider(Provider):
    """The inference process on this machine, for bases, fine-tuned models and adapters alike.

    ``locate``: from the id of a version to where its files lie.
    """

    name = "local"
    title = "This server"

    def __init__(self, locate: Callable[[str], Weights] = models.location) -> None:
        self._locate = locate
        self._lock = threading.Lock()
        self._process: LineProcess | None = None

    @property
    def pid(self) -> int | None:
        """Of the living inference process."""
        return self._process.pid if self._process and self._process.is_alive() else None

    def generate(self, request: Generation, *, stop: Callable[[], bool]) -> Iterator[Delta | Finish]:
        sent = _as_json(request, self._weights(request.model)) | {"op": "generate"}
        for _ in range(MOST_TRIES):
            process = self._running()
            request_id, answers = process.open(sent)
            try:
                yield from _Exchange(process, request_id, answers, stop)
                return
            except EndedWhileWaiting:
                if stop():
                    yield Finish("cancelled")
                    return
            finally:
                process.forget(request_id)
        raise Unavailable(ENDED)

    def require(self, model: AskedModel) -> None:
        self._weights(model)

    def warm(self, model: AskedModel) -> None:
        self._running().send({"op": "load", "weights": self._weights(model).as_json()})

    def stop(self) -> None:
        with self._lock:
            if self._process:
                self._process.end()
            self._process = None

    def _weights(self, model: AskedModel) -> Weights:
        """Raises Conflict when there are none, or an adapter's base is gone, NotFound for the version."""
        if model.version_id is None:
            raise Conflict(f"{model.name} has no weights on this server, so it cannot answer.")
        return self._locate(model.version_id)

    def _running(self) -> LineProcess:
        with self._lock:
            if self._process is None or not self._process.is_alive():
                self._process = _start()
            return self._process


class EndedWhileWaiting(Exception):
    """The process had ended before it began with the request."""


class _Exchange:
    """One request's answers as Deltas and a Finish, with deadlines."""

    def __init__(
        self, process: LineProcess, request_id: int, answers: Answers, stop: Callable[[], bool]
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
                answer = {"finish": "cancelled", "prompt_tokens": 0, "completion_tokens": 0, "left_out": 0}
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
            usage = Usage(answer["prompt_tokens"], answer["completion_tokens"])
            return Finish(answer["finish"], usage, answer["left_out"])
        if "error" in answer:
            raise _as_error(answer["error"])
        if "died" in answer:
            if not self._has_begun:
                raise EndedWhileWaiting()
            raise Unavailable(ENDED)
        if not self._cancelled:
            self._deadline = time.monotonic() + (LOADING_SECONDS if "loading" in answer else SILENCE_SECONDS)
        self._has_begun = self._has_begun or "loading" not in answer
        return Delta(answer["delta"]) if "delta" in answer else None


def _start() -> LineProcess:
    chosen = (
        "--threads",
        str(settings().inference_threads),
        "--idle-seconds",
        str(settings().inference_idle_seconds),
    )
    return LineProcess(
        "core.inference.server",
        *chosen,
        name="inference",
        last=("finish", "error"),
        hangs_after=HANGS_AFTER_SECONDS,
    )


def _as_error(error: Json) -> LuthierError:
    if error["code"] == "context_length_exceeded":
        return ContextLengthExceeded(error["message"])
    if error["code"] == "insufficient_quota":
        return OutOfTokens(error["message"])
    if error["code"] == "validation_error":
        return ValidationError.of("messages", error["message"])
    return Unavailable(error["message"])


def _as_json(request: Generation, weights: Weights) -> Json:
    return {
        "weights": weights.as_json(),
        "messages": list(request.messages),
        "parameters": request.parameters,
        "forget": request.forget,
        "user": request.user,
        "most_tokens": request.most_tokens,
    }
