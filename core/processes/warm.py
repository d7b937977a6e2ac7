"""The warm parent: a process that has everything imported and forks the children of ``children``.

``python -m core.processes.warm MODULE…`` is started by that module with one end of a socket pair as standard
input. Each message on it asks for one child and brings two descriptors, its input and its output; the answer
is the child's number and start. When a child ends, its status is told. When the pair closes, because the
server ended in whatever way, the warm parent ends and leaves its children to finish.

A process that forks has one thread: nothing here, and nothing that the modules do when they are imported,
may open DuckDB, a session of the database, a pool or a log file, or import torch. It holds no setting and no
secret: those come with each request and are known in the child only.
"""

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Iterable
from typing import Any

import psutil

from core.config import replace_environment
from core.processes.children import LARGEST_MESSAGE


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the server's business; its end closes the pair
    line = socket.socket(fileno=os.dup(0))
    for name in sys.argv[1:]:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page that it looks at
    serve(line)
    os._exit(0)  # at once: nothing is open here


def serve(line: socket.socket) -> None:
    """Until the line closes."""
    children: dict[int, int] = {}  # process handle -> number
    while True:
        waited: list[Any] = [line, *children]
        ready, _, _ = select.select(waited, [], [])
        for handle in [handle for handle in children if handle in ready]:
            pid = children.pop(handle)
            os.close(handle)
            _, status = os.waitpid(pid, 0)
            _tell(line, {"ended": pid, "code": os.waitstatus_to_exitcode(status)})
        if line not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(line, LARGEST_MESSAGE, 2)
        if not message:
            return
        request = json.loads(message)
        try:
            pid = _fork(request, line, descriptors, children)
            children[os.pidfd_open(pid)] = pid
            answer: dict[str, Any] = {"pid": pid, "started": psutil.Process(pid).create_time()}
        except OSError as error:  # no room for one more process
            answer = {"error": str(error)}
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        _tell(line, {"number": request["number"], **answer})


def _tell(line: socket.socket, said: dict[str, Any]) -> None:
    """A server that is gone receives nothing; the next look at the line ends this process."""
    try:
        line.send(json.dumps(said).encode())
    except OSError:
        return


def _fork(
    request: dict[str, Any], line: socket.socket, descriptors: list[int], handles: Iterable[int]
) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:  # from here on we are the child; it must never return into the parent's loop
        line.close()
        for handle in handles:
            os.close(handle)
        _become_program(request, descriptors)
        code = _call(request["main"], request["arguments"])
    except BaseException:  # whatever it is, it belongs into the child's log
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _become_program(request: dict[str, Any], descriptors: list[int]) -> None:
    """A session, an input, an output, an environment and settings of its own."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    read, write = descriptors
    for source, target in ((read, 0), (write, 1), (write, 2)):
        os.dup2(source, target)
    for descriptor in descriptors:
        os.close(descriptor)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  the old one has read ahead
    replace_environment(request["environment"])


def _call(main: str, arguments: list[str]) -> int:
    module, _, function = main.partition(":")
    try:
        code = getattr(importlib.import_module(module), function)(*arguments)
    except SystemExit as end:
        code = end.code
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()
