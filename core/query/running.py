"""A query in the background: whoever started it looks in now and then, and can stop it.

Nothing of it outlives this process.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from core.errors import LuthierError, QueryStopped
from core.query.turn import QueryProgress

T = TypeVar("T")


@dataclass
class Running(Generic[T]):
    """``work`` under way in a thread of its own.

    Exactly one of ``result`` and ``error`` is set once :meth:`is_over`.
    """

    work: Callable[[QueryProgress], T]
    progress: QueryProgress = field(default_factory=QueryProgress)
    result: T | None = None
    error: LuthierError | None = None
    _over: threading.Event = field(default_factory=threading.Event)

    def start(self) -> "Running[T]":
        threading.Thread(target=self._run, name="query", daemon=True).start()
        return self

    def stop(self) -> None:
        """End it as soon as possible; it then fails with QueryStopped."""
        self.progress.stop.set()

    def is_over(self) -> bool:
        return self._over.is_set()

    def wait(self, seconds: float) -> bool:
        """Until it is over, at most so long. Returns whether it is."""
        return self._over.wait(seconds)

    def outcome(self) -> T:
        """What it ended with, once it has. Raises what it failed with."""
        self._over.wait()
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result

    def _run(self) -> None:
        try:
            self.result = self.work(self.progress)
        except LuthierError as error:
            self.error = error
        except Exception:  # outermost loop of this thread: whoever waits must be told
            self.error = QueryStopped() if self.progress.stop.is_set() else LuthierError()
            raise
        finally:
            self._over.set()
