"""Whether this server is going down.

Streams and waits look here, so that SIGTERM ends within seconds and loses nothing.
"""

import threading

_stopping = threading.Event()


def begin() -> None:
    """The server has been told to stop. Not from a signal handler's frame: it takes a lock."""
    _stopping.set()


def is_stopping() -> bool:
    return _stopping.is_set()


def wait(seconds: float) -> bool:
    """Sleep, but not into a stop. Returns whether the server is stopping."""
    return _stopping.wait(seconds)
