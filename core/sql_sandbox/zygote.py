"""The process that has everything imported and forks one child per query, so that a query does not wait for imports.

``python -m core.sql_sandbox.zygote`` is started by ``client.py`` as a clean program: no inherited files but standard input, which
is one end of a socket pair. Each message on it brings one more socket, over which the forked child talks with the caller. When the
pair closes, because the caller ended in whatever way, the zygote ends its children and itself. It never opens DuckDB: a process
with threads must not fork.

``--once`` serves one query over standard input and output, where there is no fork (Windows).
"""

import os
import select
import signal
import socket
import sys
from contextlib import suppress
from typing import BinaryIO, cast

from core.sql_sandbox import child, lock
from core.sql_sandbox.wire import Wire

REAP_SECONDS = 1.0
DEPTH = 15_000  # the parsed tree nests deeper than Python's default allows


def main() -> None:
    sys.setrecursionlimit(DEPTH)
    if "--once" in sys.argv[1:]:
        serve_once()
    else:
        serve_forever(socket.socket(fileno=os.dup(0)))


def serve_once() -> None:
    answers = os.dup(1)
    _silence(1, 2)
    child.serve(Wire(sys.stdin.buffer, cast(BinaryIO, os.fdopen(answers, "wb"))))


def serve_forever(control: socket.socket) -> None:
    children: set[int] = set()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the server's business; its end closes the pair
    try:
        while True:
            ready, _, _ = select.select([control], [], [], REAP_SECONDS)
            _reap(children)
            if not ready:
                continue
            message, handles, _, _ = socket.recv_fds(control, 1, 1)
            if not message:
                return
            for handle in handles:
                with suppress(OSError):  # no room for one more process: the caller sees the line close
                    children.add(_fork(handle, control))
                os.close(handle)
    except ConnectionError:
        return
    finally:
        for pid in children:
            _kill(pid)


def _fork(handle: int, control: socket.socket) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:  # from here on we are the child; it must never return into the zygote's loop
        lock.die_with_parent()
        control.close()
        _silence(0, 1, 2)
        os.setsid()
        stream = socket.socket(fileno=handle).makefile("rwb")
        child.serve(Wire(cast(BinaryIO, stream), cast(BinaryIO, stream)))
    finally:
        os._exit(0)


def _silence(*handles: int) -> None:
    """What DuckDB or the C library print while they die is of use to nobody."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for handle in handles:
        os.dup2(nowhere, handle)
    os.close(nowhere)


def _reap(children: set[int]) -> None:
    for pid in tuple(children):
        if os.waitpid(pid, os.WNOHANG)[0]:
            children.discard(pid)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
