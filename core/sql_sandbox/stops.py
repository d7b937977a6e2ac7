"""Stopping a query from outside: an event that also wakes whoever waits for something else."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopped(Exception):
    """Somebody stopped the query."""


class Stop(threading.Event):
    """``set()`` stops the query, once and for good, from any thread;
    what is registered by :meth:`when_set` is called there."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[Callable[[], object]] = []
        self._changing = threading.Lock()

    def set(self) -> None:
        super().set()
        with self._changing:
            calls = list(self._calls)
        for call in calls:
            call()

    @contextmanager
    def when_set(self, call: Callable[[], object]) -> Iterator[None]:
        """Call ``call`` when it is set inside this block, and at once if it was before.

        It may be called twice.
        """
        with self._changing:
            self._calls.append(call)
        try:
            if self.is_set():
                call()
            yield
        finally:
            with self._changing:
                self._calls.remove(call)

    def check(self) -> None:
        """Raises Stopped."""
        if self.is_set():
            raise Stopped
