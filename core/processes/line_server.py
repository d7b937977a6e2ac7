"""The other end of ``core.processes.lines``:
a child that reads requests as JSON lines on stdin and answers on stdout.

Whatever libraries print goes to stderr, which is a log file. The process ends with its parent, or when stdin
closes: nothing is worth finishing then.
"""

import json
import logging
import os
import queue
import sys
import threading
import time
from typing import Any, NoReturn, TextIO

BEAT_SECONDS = 1.0
Json = dict[str, Any]


class Lines:
    """Requests that have arrived, and the way back."""

    def __init__(self, out: TextIO) -> None:
        self.inbox: queue.SimpleQueue[Json] = queue.SimpleQueue()
        self._out = out
        self._sending = threading.Lock()

    def send(self, message: Json) -> None:
        """From any thread."""
        line = json.dumps(message) + "\n"
        with self._sending:
            self._out.write(line)
            self._out.flush()

    def read(self, source: TextIO) -> None:
        """In its own thread."""
        for line in source:
            self.inbox.put(json.loads(line))
        os._exit(0)


def connect() -> Lines:
    """Take stdin and stdout over, and watch the parent. Once per process."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # stdout is for our lines; from now on anybody else's prints go to stderr
    lines = Lines(out)
    threading.Thread(target=lines.read, args=(sys.stdin,), daemon=True).start()
    if os.name != "nt":
        threading.Thread(target=_watch_parent, args=(os.getppid(),), daemon=True).start()
    return lines


def keep_beating(lines: Lines) -> None:
    """Say every second that this process lives, from a thread of its own: also while the others are busy."""

    def beat() -> None:
        while True:
            lines.send({"beat": True})
            time.sleep(BEAT_SECONDS)

    threading.Thread(target=beat, name="beat", daemon=True).start()


def leave() -> NoReturn:
    """End without waiting for the thread that reads."""
    os._exit(0)


def _watch_parent(parent: int) -> None:
    """A second way to notice that the parent died, should another child of its hold the pipe open."""
    while os.getppid() == parent:
        time.sleep(2)
    os._exit(0)
