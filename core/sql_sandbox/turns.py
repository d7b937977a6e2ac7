"""Whose query runs next: at most so many at once, and nobody waits because somebody else asked often.

A free place goes to the waiting user with the fewest running queries, then to whoever came first. One user
never holds every place, so a newcomer does not wait for the slowest of another's queries. A wait is bounded.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from core.sql_sandbox.stops import Stop

MAX_WAITING_EACH = 20
Ticket = tuple[int, str]  # number in the order of coming, user


class TooBusy(Exception):
    """No place became free in time, or this user waits with too many queries already."""


@dataclass
class Turns:
    """Running and waiting queries of everybody.

    ``places`` comes with each call, so that a changed setting counts at once.
    """

    running: Counter[str] = field(default_factory=Counter)
    waiting: list[Ticket] = field(default_factory=list)
    _number: int = 0
    _order: dict[Ticket, int] | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def take(
        self,
        user_id: str,
        *,
        places: int,
        seconds: float,
        stop: Stop | None = None,
        tell: Callable[[int], None] = lambda _: None,
    ) -> Iterator[None]:
        """Hold a place.

        Raises TooBusy when none is free within ``seconds``, Stopped when ``stop`` is set meanwhile.

        ``tell`` is called with how many queries will begin until this one does: 1 is next, 0 runs.
        """
        stop = stop or Stop()
        with stop.when_set(self._look_again):
            self._enter(user_id, places=places, seconds=seconds, stop=stop, tell=tell)
        tell(0)
        try:
            yield
        finally:
            with self._changed:
                self.running[user_id] -= 1
                self._tell_all()

    def _enter(
        self, user_id: str, *, places: int, seconds: float, stop: Stop, tell: Callable[[int], None]
    ) -> None:
        deadline = time.monotonic() + seconds
        with self._changed:
            if sum(1 for _, user in self.waiting if user == user_id) >= MAX_WAITING_EACH:
                raise TooBusy
            self._number += 1
            ticket = (self._number, user_id)
            self.waiting.append(ticket)
            self._tell_all()
            try:
                while self._next(self.running, self.waiting, places) != ticket:
                    stop.check()
                    left = deadline - time.monotonic()
                    if left <= 0:
                        raise TooBusy
                    tell(self._place(ticket))
                    self._changed.wait(left)
                stop.check()
                self.running[user_id] += 1
            finally:
                self.waiting.remove(ticket)
                self._tell_all()

    def _look_again(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _tell_all(self) -> None:
        self._order = None
        self._changed.notify_all()

    def _place(self, ticket: Ticket) -> int:
        if self._order is None:
            self._order = self._play()
        return self._order[ticket]

    def _play(self) -> dict[Ticket, int]:
        """Who goes when: played through as if a place became free
        for everybody who waits, one after the other."""
        running, waiting = Counter(self.running), list(self.waiting)
        order: dict[Ticket, int] = {}
        while waiting:
            ready = self._next(running, waiting, running.total() + 2) or waiting[0]
            waiting.remove(ready)
            running[ready[1]] += 1
            order[ready] = len(order) + 1
        return order

    @staticmethod
    def _next(running: Counter[str], waiting: list[Ticket], places: int) -> Ticket | None:
        """The ticket that may go now."""
        if running.total() >= places:
            return None
        most_each = max(1, places - 1)
        able = [ticket for ticket in waiting if running[ticket[1]] < most_each]
        return min(able, key=lambda ticket: (running[ticket[1]], ticket[0]), default=None)
