"""Loops that go round for ever, and what they log when a round fails.

A database that is away and a full disk fail every round until somebody mends them: each is one line a minute.
So is what nobody foresaw, with its traceback.
"""

import logging
import time
from collections.abc import Callable

from core.db import is_away
from core.errors import DatabaseAway, DiskFull, LuthierError, is_full_disk

SAY_AGAIN_SECONDS = 60.0


class Rounds:
    """What one loop has said. ``doing`` is what could not be done, for people."""

    def __init__(
        self, log: logging.Logger, doing: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log, self._doing, self._clock = log, doing, clock
        self._said_at: dict[str, float] = {}

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


def reason_of(error: Exception) -> LuthierError | None:
    """Why, where the fault is not ours: the database is away, or the disk is full."""
    if isinstance(error, DiskFull | DatabaseAway):
        return error
    if is_full_disk(error):
        return DiskFull()
    return DatabaseAway() if is_away(error) else None
