"""The process that has everything imported and forks a child per query:
a query waits neither for imports nor for DuckDB.

``python -m core.sql_sandbox.zygote`` is started by ``client.py`` as a clean program: no inherited files but
standard input, which is one end of a socket pair. Each message on it brings one more socket, which goes on to
a child that was forked ahead and has DuckDB open; over it that child talks with the caller, answers one query
and ends. When the pair closes, because the caller ended in whatever way, the zygote ends its children and
itself. It never opens DuckDB: a process with threads must not fork.

``--once`` serves one query over standard input and output, where there is no fork (Windows).
"""

import os
import select
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
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
    child.serve(Wire(sys.stdin.buffer, cast(BinaryIO, os.fdopen(answers, "wb"))), None)


def serve_forever(control: socket.socket) -> None:
    children: set[int] = set()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the server's business; its end closes the pair
    spare = _fork_spare(control)
    try:
        while True:
            ready, _, _ = select.select([control], [], [], REAP_SECONDS)
            for pid in tuple(children):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    children.discard(pid)
            if not ready:
                continue
            message, handles, _, _ = socket.recv_fds(control, 1, 1)
            if not message:
                return
            for handle in handles:
                with suppress(OSError):  # no room for one more process: the caller sees the line close
                    spare = _hand_over(handle, spare or _forked(control), control)
                    children.add(spare.pid)
                os.close(handle)
            spare = _fork_spare(control)
    except ConnectionError:
        return
    finally:
        for pid in [*children, *([spare.pid] if spare else [])]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@dataclass
class _Spare:
    """A child that has opened DuckDB and waits on ``line`` for the socket of its caller."""

    pid: int
    line: socket.socket


def _hand_over(handle: int, spare: _Spare, control: socket.socket) -> _Spare:
    """Give the waiting child its caller.

    Returns the child that took it: a new one where the first had died.
    """
    try:
        socket.send_fds(spare.line, [b"q"], [handle])
    except OSError:
        spare.line.close()
        spare = _forked(control)
        socket.send_fds(spare.line, [b"q"], [handle])
    spare.line.close()
    return spare


def _fork_spare(control: socket.socket) -> _Spare | None:
    try:
        return _forked(control)
    except OSError:
        return None  # no room now; the next query tries again


def _forked(control: socket.socket) -> _Spare:
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid:
        theirs.close()
        return _Spare(pid, ours)
    try:  # from here on we are the child; it must never return into the zygote's loop
        lock.die_with_parent()
        control.close()
        ours.close()
        _silence(0, 1, 2)
        os.setsid()
        _serve_caller(theirs)
    finally:
        os._exit(0)


def _serve_caller(line: socket.socket) -> None:
    connection = child.prepare()
    _, handles, _, _ = socket.recv_fds(line, 1, 1)
    line.close()
    for handle in handles:
        stream = socket.socket(fileno=handle).makefile("rwb")
        child.serve(Wire(cast(BinaryIO, stream), cast(BinaryIO, stream)), connection)


def _silence(*handles: int) -> None:
    """What DuckDB or the C library print while they die is of use to nobody."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for handle in handles:
        os.dup2(nowhere, handle)
    os.close(nowhere)


if __name__ == "__main__":
    main()
