"""Loops that go round for ever, and what they log when a round fails or does not end.

A database that is away and a full disk fail every round until somebody mends them: each is one line a minute.
So is what nobody foresaw, with its traceback. A round that waits for something that never comes raises
nothing: ``report_hanging``, called now and then from another thread, logs where it stands.
"""

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.db import is_away
from core.errors import DatabaseAway, DiskFull, LuthierError, is_full_disk

SAY_AGAIN_SECONDS = 60.0
HANGING_SECONDS = 120.0  # a round that takes longer is reported, once
_begun: dict["Rounds", tuple[int, float]] = {}  # the thread whose round is going on, and since when


class Rounds:
    """What one loop has said. ``doing`` is what could not be done, for people."""

    def __init__(
        self, log: logging.Logger, doing: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log, self._doing, self._clock = log, doing, clock
        self._said_at: dict[str, float] = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Around one round: ``report_hanging`` knows of it."""
        _begun[self] = threading.get_ident(), self._clock()
        try:
            yield
        finally:
            if _begun.pop(self, None) is None:
                self._log.warning("%s for minutes; it goes on now.", self._doing)

    def failed(self, error: Exception) -> None:
        """Call it where a round was given up; the next one may succeed."""
        known = reason_of(error)
        what = known.message if known else f"{type(error).__name__}: {error}"
        if self._clock() - self._said_at.get(what, float("-inf")) < SAY_AGAIN_SECONDS:
            return
        self._said_at = {what: self._clock()} if len(self._said_at) > 100 else self._said_at
        self._said_at[what] = self._clock()
        if known:
            self._log.warning("%s for now; trying again. %s", self._doing, known.message)
        else:
            self._log.error("%s; trying again", self._doing, exc_info=error)

    def log_hanging(self, thread: int, seconds: float) -> None:
        """Where the thread of a round stands that has taken so long."""
        frame = sys._current_frames().get(thread)
        stack = "".join(traceback.format_stack(frame)) if frame else ""
        self._log.error("%s: one round has taken %.0f s so far, at\n%s", self._doing, seconds, stack)


def report_hanging() -> None:
    """Log each round that has taken longer than ``HANGING_SECONDS``, once, with its thread's stack."""
    for rounds, (thread, since) in list(_begun.items()):
        seconds = rounds._clock() - since
        if seconds > HANGING_SECONDS and _begun.pop(rounds, None) is not None:
            rounds.log_hanging(thread, seconds)


def reason_of(error: Exception) -> LuthierError | None:
    """Why, where the fault is not ours: the database is away, or the disk is full."""
    if isinstance(error, DiskFull | DatabaseAway):
        return error
    if is_full_disk(error):
        return DiskFull()
    return DatabaseAway() if is_away(error) else None
