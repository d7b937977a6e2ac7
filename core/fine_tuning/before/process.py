"""The child process that previews (see ``core.training.preview_server``),
as this side sees it: started, asked, ended.

This side lives in the web process and knows no torch. ``shared`` is the one process for rows and totals; a
probe gets a process of its own, because it measures the memory of the whole process, and may die of it.
"""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from core import stopping
from core.errors import Conflict, LuthierError, Unavailable, class_of
from core.processes.lines import LineProcess

IDLE_SECONDS = 300
SILENCE_SECONDS = 120.0  # loading a tokenizer or a model on a busy machine
POLL_SECONDS = 0.2
ENDED = "The process of the preview was stopped. Try again: it starts anew by itself."
KILLED = (
    "The measuring process was ended by the system: these settings most likely need more memory than there "
    "is."
)
SILENT = "The preview did not answer in time. The server is busy; try again in a minute."
Json = dict[str, Any]


class PreviewStopped(Exception):
    """Nobody waits for the answer any more."""


class Died(Unavailable):
    """The process ended before it had answered."""


class PreviewProcess(LineProcess):
    """The child; ``ask`` waits for the result."""

    def __init__(self) -> None:
        super().__init__(
            "core.training.preview_server",
            "--idle-seconds",
            str(IDLE_SECONDS),
            name="preview",
            last=("result", "error"),
        )

    def ask(
        self,
        request: Json,
        *,
        on_progress: Callable[[Json], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
        died: str = ENDED,
    ) -> Json:
        """The result.

        Raises Stopped, the error that the child names, Unavailable when it dies or keeps silent.
        """
        request_id, answers = self.open(request)
        deadline = time.monotonic() + SILENCE_SECONDS
        try:
            while True:
                if stop() or stopping.is_stopping():
                    raise PreviewStopped
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
                    result: Json = answer["result"]
                    return result
                on_progress(answer)
        finally:
            self.forget(request_id)


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


def _as_error(error: Json) -> LuthierError:
    """What training code names by codes of its own is a Conflict: these rows and settings do not fit."""
    return (class_of(error["code"]) or Conflict)(error["message"])
