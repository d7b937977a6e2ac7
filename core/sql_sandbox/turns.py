"""Whose query runs next: at most so many at once, and nobody waits because somebody else asked often.

A free place goes to the waiting user with the fewest running queries, then to whoever came first. One user never holds every
place, so a newcomer does not wait for the slowest of another's queries. A wait is bounded.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

MAX_WAITING_EACH = 20


class TooBusy(Exception):
    """No place became free in time, or this user waits with too many queries already."""


@dataclass
class Turns:
    """Running and waiting queries of everybody. ``places`` comes with each call, so that a changed setting counts at once."""

    running: Counter[str] = field(default_factory=Counter)
    waiting: list[tuple[int, str]] = field(default_factory=list)
    _number: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def take(self, user_id: str, *, places: int, seconds: float) -> Iterator[None]:
        """Hold a place. Raises TooBusy when none is free within ``seconds``."""
        self._enter(user_id, places=places, seconds=seconds)
        try:
            yield
        finally:
            with self._changed:
                self.running[user_id] -= 1
                self._changed.notify_all()

    def _enter(self, user_id: str, *, places: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._changed:
            if sum(1 for _, user in self.waiting if user == user_id) >= MAX_WAITING_EACH:
                raise TooBusy
            self._number += 1
            ticket = (self._number, user_id)
            self.waiting.append(ticket)
            try:
                while self._next(places) != ticket:
                    left = deadline - time.monotonic()
                    if left <= 0:
                        raise TooBusy
                    self._changed.wait(left)
                self.running[user_id] += 1
            finally:
                self.waiting.remove(ticket)
                self._changed.notify_all()

    def _next(self, places: int) -> tuple[int, str] | None:
        """The ticket that may go now."""
        if self.running.total() >= places:
            return None
        most_each = max(1, places - 1)
        able = [ticket for ticket in self.waiting if self.running[ticket[1]] < most_each]
        return min(able, key=lambda ticket: (self.running[ticket[1]], ticket[0]), default=None)
