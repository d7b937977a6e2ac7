"""A queue of work for child processes, tended by one thread of the server:
it looks often while there is work, seldom while not.

What a look does is the queue's own business (``tick``). Without a running server (a script, a test) work only
waits.
"""

import logging
import threading
from abc import ABC, abstractmethod

BUSY_SECONDS = 0.5
IDLE_SECONDS = 30.0
log = logging.getLogger(__name__)


class TendedQueue(ABC):
    """``name`` is the thread's."""

    name: str

    def __init__(self) -> None:
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @abstractmethod
    def tick(self) -> bool:
        """Look once. True while something runs or waits."""

    def run(self) -> None:
        """Begin to look, in a thread."""
        self.shut_down()
        self._stop.clear()
        self._thread = threading.Thread(target=self._loop, daemon=True, name=self.name)
        self._thread.start()

    def shut_down(self) -> None:
        """Stop looking. Processes that run go on; the next server finds them."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None

    def wake(self) -> None:
        self._wake.set()

    def _loop(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            try:
                busy = self.tick()
            except Exception:  # outermost loop
                log.exception("%s could not be looked after; trying again", self.name)
                busy = False
            self._wake.wait(BUSY_SECONDS if busy else IDLE_SECONDS)
