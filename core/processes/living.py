"""Processes that outlive whoever started them: is one still there?

A pid alone may be somebody else's by now.
"""

import psutil

SAME_START_SECONDS = 1.0  # the operating system rounds a process's start time


def find(pid: int | None, started: float | None) -> psutil.Process | None:
    """The living process with this pid that began at ``started`` (seconds since 1970)."""
    if pid is None or started is None:
        return None
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < SAME_START_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def is_alive(pid: int | None, started: float | None) -> bool:
    return find(pid, started) is not None
