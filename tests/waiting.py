"""The one way in which a test waits for what another thread or process does: it looks until it is so.

Never a sleep that hopes.
"""

import time
from collections.abc import Callable
from typing import TypeVar

# seconds: far more than it takes, because the machine may be busy; a test that claims a time measures it
PATIENCE = 60.0
SHORTEST, LONGEST = 0.005, 0.1  # seconds between two looks
T = TypeVar("T")


def wait_until(
    look: Callable[[], T],
    holds: Callable[[T], object] = bool,
    *,
    seconds: float = PATIENCE,
    told: Callable[[], object] = lambda: None,
) -> T:
    """What ``look`` sees as soon as ``holds`` is true of it.

    Fails after ``seconds`` with the last sight and what ``told`` says.
    """
    end, pause = time.monotonic() + seconds, SHORTEST
    while not holds(seen := look()):
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {seen!r} {told() or ''}"
        time.sleep(pause)
        pause = min(LONGEST, pause * 1.3)
    return seen
