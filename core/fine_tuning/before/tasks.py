"""Work that goes on in the background while somebody asks for it, and results that are kept.

For previews and measurements.

A task is shared by all who ask for the same thing, and ends by itself when nobody has asked for
``ABANDONED_SECONDS``.
"""

import hashlib
import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.config import settings
from core.errors import LuthierError
from core.fine_tuning.before.process import PreviewStopped
from core.security import new_token

ABANDONED_SECONDS = 20.0
KEPT_IN_MEMORY = 200
Json = dict[str, Any]


@dataclass(frozen=True)
class TaskProgress:
    """``done`` of ``of`` rows; ``told``: what is going on, in words."""

    done: int
    of: int
    told: str = ""


class BackgroundTask:
    """One thing that is being computed. It ends by itself when nobody asks for it any more."""

    def __init__(self, of: int) -> None:
        self._progress = TaskProgress(0, of)
        self._error: LuthierError | None = None
        self._cancelled = False
        self._asked_at = time.monotonic()
        self._ended = threading.Event()

    def note(self, answer: Json) -> None:
        progress = self._progress
        done, told = answer.get("done", progress.done), answer.get("told", progress.told)
        self._progress = replace(progress, done=done, told=told)

    def report(self) -> TaskProgress:
        """Raises what the work failed with."""
        self._asked_at = time.monotonic()
        if self._error:
            raise self._error
        return self._progress

    @property
    def has_failed(self) -> bool:
        return self._error is not None

    def cancel(self) -> None:
        self._cancelled = True

    def wait(self, seconds: float) -> None:
        """Until it has ended, or so long."""
        self._ended.wait(seconds)

    def end(self) -> None:
        self._ended.set()

    def fail(self, error: LuthierError) -> None:
        self._error = error

    def is_over(self) -> bool:
        return self._cancelled or time.monotonic() - self._asked_at > ABANDONED_SECONDS


class Tasks:
    """By key, so that all who ask for the same thing share the work.

    A failure is told once to whoever asks next.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: dict[str, BackgroundTask] = {}

    def running(self, key: str) -> BackgroundTask | None:
        with self._lock:
            task = self._tasks.get(key)
            if task is not None and task.has_failed:
                del self._tasks[key]
            return task

    def begin(self, key: str, work: Callable[[BackgroundTask], None], *, of: int = 0) -> BackgroundTask:
        with self._lock:
            if key in self._tasks:
                return self._tasks[key]
            self._tasks = {
                key: one for key, one in self._tasks.items() if not (one.has_failed and one.is_over())
            }
            task = self._tasks[key] = BackgroundTask(of)
        threading.Thread(target=self._run, args=(key, task, work), name="preview", daemon=True).start()
        return task

    def cancel(self, key: str) -> None:
        with self._lock:
            if task := self._tasks.pop(key, None):
                task.cancel()

    def cancel_all(self) -> None:
        with self._lock:
            for task in self._tasks.values():
                task.cancel()
            self._tasks.clear()

    def __len__(self) -> int:
        return len(self._tasks)

    def _run(self, key: str, task: BackgroundTask, work: Callable[[BackgroundTask], None]) -> None:
        try:
            work(task)
        except PreviewStopped:
            pass
        except LuthierError as error:
            task.fail(error)
            return
        finally:
            task.end()
        with self._lock:
            if self._tasks.get(key) is task:
                del self._tasks[key]


class Kept:
    """Results by key, in memory and as files ``previews/<of what>/<hash>.json``.

    A file that cannot be read counts as missing.
    """

    def __init__(self, *, in_files: bool = True) -> None:
        self._in_files = in_files
        self._lock = threading.Lock()
        self._found: OrderedDict[Path, Json] = OrderedDict()

    def get(self, key: str) -> Json | None:
        path = _path(key)
        with self._lock:
            if path in self._found:
                self._found.move_to_end(path)
                return self._found[path]
        if not self._in_files:
            return None
        try:
            value: Json = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        self._remember(path, value)
        return value

    def put(self, key: str, found: Json) -> None:
        path = _path(key)
        self._remember(path, found)
        if not self._in_files:
            return
        draft = path.with_suffix(f".{new_token()[:8]}.tmp")
        with suppress(OSError):  # a full disk costs the file, not the answer
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
            os.replace(draft, path)

    def _remember(self, path: Path, found: Json) -> None:
        with self._lock:
            self._found[path] = found
            while len(self._found) > KEPT_IN_MEMORY:
                self._found.popitem(last=False)


def fingerprint(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:32]


def _path(key: str) -> Path:
    return settings().data_dir / "previews" / f"{key}.json"


tasks, kept, kept_rows = Tasks(), Kept(), Kept(in_files=False)
