"""A program that tries, in processes locked like the sandbox's children, what they must not do.

It reads one request per line, as JSON: ``code``, ``folder``, ``read``, ``said`` (the file that takes what was
printed), and answers a line when it was tried. Each request has a process of its own, forked from this one,
which has imported everything and has one thread.
"""

import ctypes  # noqa: F401 - the codes use these
import json
import os
import pathlib
import signal  # noqa: F401
import socket  # noqa: F401
import subprocess  # noqa: F401
import sys
import threading  # noqa: F401
from typing import Any

import duckdb  # noqa: F401

from core.sql_sandbox import lock


def try_locked(request: dict[str, Any]) -> None:
    """In the child: ends it."""
    folder, read = pathlib.Path(request["folder"]), [pathlib.Path(path) for path in request["read"]]
    said = os.open(request["said"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    names = {**globals(), "folder": folder, "read": read, "parent": os.getppid()}
    lock.lock(read=read, write=folder, memory_mb=256, cpu_seconds=20, file_bytes=2**20)
    try:
        exec(request["code"], names)
        print("DONE")
    except BaseException as error:  # whatever refuses it
        print("REFUSED", type(error).__name__)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()
        if not child:
            try_locked(json.loads(line))
        os.waitpid(child, 0)
        print("tried", flush=True)
