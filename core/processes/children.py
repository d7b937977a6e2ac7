"""Child processes for the work of one row: a conversion, a report, an export, an evaluation.

A child is a program of its own with its own session and log, so that it outlives the server that started it;
it claims its row and settles it by itself. Where a server keeps a warm parent (``keep_warm``), a child is
forked from that: the imports, most of a second, are done already. Elsewhere, and wherever that fails, a fresh
Python is started, which does the same.

The warm parent (``warm``) is started when it is first needed, again when it died, and ends with this process
in whatever way that ends, because the socket pair between the two closes. Its children then go on by
themselves.
"""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from core.config import ONE_THREAD, ROOT, child_environment
from core.processes import living

CAN_FORK = sys.platform == "linux" and hasattr(os, "pidfd_open")
START_SECONDS = 60.0  # importing everything on a busy machine
POLL_SECONDS = 0.2
LOST = -1  # the exit status of a child whose parent died before it: nobody heard it
LARGEST_MESSAGE = 2**17  # bytes: a request, or what the warm parent says
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Program:
    """What a child runs: ``python -m module``, which calls ``main`` (``package.module:function``).

    A fork calls that function itself, with the arguments as texts.
    """

    module: str
    main: str


class Child(Protocol):
    """A process. ``wait`` and ``poll`` give its exit status, negative for the signal that ended it."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def kill(self) -> None: ...


def start(
    program: Program,
    *arguments: str,
    output: Path,
    environment: Mapping[str, str],
    stdin: str = "",
    then: Callable[[], object] | None = None,
) -> Child:
    """Begin, without waiting. What the child prints goes behind what ``output`` holds; it reads ``stdin``.

    ``environment`` is all that it has, settings included. ``then`` is called when it has ended. Raises
    OSError.
    """
    with ExitStack() as opened:
        written = opened.enter_context(output.open("ab"))
        read = _pipe_of(stdin, opened)
        forked = _fork(program, arguments, environment, read, written.fileno(), then)
        return forked or _start_fresh(program, arguments, environment, read, written.fileno(), then)


def keep_warm(*modules: str) -> None:
    """At the start of a server: from now on children are forked, by a process with ``modules`` imported.

    Programs that only use the services, and tests, start fresh processes.
    """
    global _modules
    if CAN_FORK:
        _modules = modules
        threading.Thread(target=_warm_parent, name="warm-parent", daemon=True).start()


def shut_down() -> None:
    """Keep no warm parent any more. Children that run go on."""
    global _parent, _modules
    with _starting:
        parent, _parent, _modules = _parent, None, ()
    if parent is not None:
        parent.close()


def _pipe_of(text: str, opened: ExitStack) -> int:
    """A descriptor to read ``text`` from: it is in no file, no command line and no message."""
    read, write = os.pipe()
    opened.callback(os.close, read)
    with os.fdopen(write, "w") as file:
        file.write(text)  # a few hundred bytes: a pipe holds them without a reader
    return read


class _FreshChild:
    """A process with a Python of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", then: Callable[[], object] | None) -> None:
        self._process = process
        self.pid = process.pid
        if then is not None:
            threading.Thread(target=self._tell, args=(then,), name=f"child-{self.pid}", daemon=True).start()

    def poll(self) -> int | None:
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int:
        return self._process.wait(timeout)

    def kill(self) -> None:
        self._process.kill()

    def _tell(self, then: Callable[[], object]) -> None:
        self._process.wait()
        then()


def _start_fresh(
    program: Program,
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    stdin: int,
    output: int,
    then: Callable[[], object] | None,
) -> Child:
    process = subprocess.Popen(
        [sys.executable, "-m", program.module, *arguments],
        cwd=ROOT,
        env=dict(environment),
        stdin=stdin,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    return _FreshChild(process, then)


class _ForkedChild:
    """A fork of the warm parent, which says how it ended; when that is gone, the process table does."""

    def __init__(self, parent: "_WarmParent", pid: int, started: float) -> None:
        self.pid, self._started, self._parent = pid, started, parent
        self._ended = threading.Event()
        self._code: int | None = None

    def end(self, code: int) -> None:
        self._code = code
        self._ended.set()

    def poll(self) -> int | None:
        if not self._ended.is_set() and self._parent.is_gone and not self.is_alive():
            self.end(LOST)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            look = POLL_SECONDS if self._parent.is_gone else 1.0
            self._ended.wait(look if left is None else min(look, left))
        return code

    def kill(self) -> None:
        if (process := living.find(self.pid, self._started)) is not None:
            process.kill()

    def is_alive(self) -> bool:
        return living.is_alive(self.pid, self._started)


class _WarmParent:
    """The process that forks, the line to it, and the thread that reads which of its children ended."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        self.is_gone = False
        self._sending, self._last = threading.Lock(), 0
        self._answers: dict[int, tuple[threading.Event, dict[str, Any]]] = {}
        self._children: dict[int, tuple[_ForkedChild, Callable[[], object] | None]] = {}
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "core.processes.warm", *modules],
                cwd=ROOT,
                env=child_environment(**ONE_THREAD),
                stdin=theirs.fileno(),
                start_new_session=True,
            )
        threading.Thread(target=self._listen, name="warm-parent-listener", daemon=True).start()

    def fork(
        self, request: dict[str, Any], descriptors: list[int], then: Callable[[], object] | None
    ) -> _ForkedChild | None:
        """None when it is gone, does not answer in time, or cannot fork."""
        event, answer = threading.Event(), dict[str, Any]()
        with self._sending:
            self._last += 1
            number = self._last
            self._answers[number] = (event, answer)
            answer["then"] = then
            try:
                sent = json.dumps({**request, "number": number}).encode()
                socket.send_fds(self._line, [sent], descriptors)
            except OSError:
                self.is_gone = True
                del self._answers[number]
                return None
        if not event.wait(START_SECONDS):
            self.process.kill()  # it hangs; what it may still fork finds its row claimed
        self._answers.pop(number, None)
        return answer.get("child")

    def close(self) -> None:
        """It ends by itself when the line is closed, and leaves its children to finish."""
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        self.process.kill()
        self.process.wait()

    def _listen(self) -> None:
        with suppress(OSError):
            while message := self._line.recv(LARGEST_MESSAGE):
                self._hear(json.loads(message))
        self.is_gone = True
        self._line.close()
        for event, _ in list(self._answers.values()):
            event.set()
        for child, then in list(self._children.values()):
            threading.Thread(target=_outlive, args=(child, then), daemon=True).start()

    def _hear(self, said: dict[str, Any]) -> None:
        if "ended" in said:
            child, then = self._children.pop(said["ended"], (None, None))
            if child is not None:
                child.end(said["code"])
            if then is not None:
                then()
            return
        event, answer = self._answers.get(said["number"], (None, None))
        if "error" in said:
            log.error("no child could be forked: %s", said["error"])
        else:
            child = _ForkedChild(self, said["pid"], said["started"])
            self._children[child.pid] = (child, answer["then"] if answer else None)
            if answer is not None:
                answer["child"] = child
        if event is not None:
            event.set()


def _outlive(child: _ForkedChild, then: Callable[[], object] | None) -> None:
    """Follow a child whose parent is gone."""
    child.wait()
    if then is not None:
        then()


_modules: tuple[str, ...] = ()
_parent: _WarmParent | None = None
_starting = threading.Lock()


def _warm_parent() -> _WarmParent | None:
    """The one that lives; a new one where it died. None where none is kept, or none can be started."""
    global _parent
    with _starting:
        if not _modules:
            return None
        if _parent is None or _parent.is_gone or _parent.process.poll() is not None:
            try:
                _parent = _WarmParent(_modules)
            except OSError as error:
                log.error("the warm parent could not be started: %s", error)
                return None
        return _parent


def _fork(
    program: Program,
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    stdin: int,
    output: int,
    then: Callable[[], object] | None,
) -> Child | None:
    parent = _warm_parent()
    if parent is None:
        return None
    request = {"main": program.main, "arguments": list(arguments), "environment": dict(environment)}
    return parent.fork(request, [stdin, output], then)
