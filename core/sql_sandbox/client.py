"""The caller's side: starts the sandbox when it is first needed,
sends one query, and ends it at the deadline.

``run`` blocks until the answer, the failure or the deadline. The zygote (``zygote.py``) is started lazily,
restarted when it died, and ends with this process in whatever way that ends, because the socket pair between
the two closes. A child that does not answer in time is killed by its process handle, so never somebody else.
Without fork (Windows) every query starts its own process.

Who may run what, and how many at once, is decided by ``core.query``.
"""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from core.sql_sandbox.answers import FILES, Form, SandboxJob
from core.sql_sandbox.explain import Failure
from core.sql_sandbox.stops import Stop
from core.sql_sandbox.wire import Wire

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0  # importing DuckDB and Arrow on a busy machine
ENDING_SECONDS = 0.5  # between the end of a killed zygote's children and its own
# a process that forks has one
CAN_FORK = hasattr(os, "fork") and hasattr(socket, "send_fds")


@dataclass(frozen=True)
class Limits:
    """What one query may use.

    ``rows`` and ``result_bytes`` cut the answer, ``file_bytes`` bounds what it writes and spills.
    """

    seconds: float = 20
    memory_mb: int = 512
    threads: int = 2
    rows: int = 1_000
    result_bytes: int = 32 * 2**20
    file_bytes: int = 4 * 2**30


@dataclass(frozen=True)
class SandboxResult:
    """A query's result in one of its forms.

    ``columns``: {"name", "type"}; ``used``: tables by name; ``rows``: of an Arrow file.

    ``scanned`` and ``plan``: see ``plans.py``.
    """

    columns: list[dict[str, str]]
    used: tuple[str, ...]
    table: pa.Table | None = None
    file: Path | None = None
    truncated: bool = False
    rows: int = 0
    scanned: dict[str, Any] = field(default_factory=dict)
    plan: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class UnknownTable:
    """A table name that the text uses and the caller did not give; ``position`` counts bytes."""

    parts: tuple[str, ...]
    position: int | None


class QueryFailed(Exception):
    """The query did not answer; ``failure`` says why, ``unknown`` which tables it named in vain."""

    def __init__(self, failure: Failure, unknown: tuple[UnknownTable, ...] = ()) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.unknown = unknown


class SandboxUnavailable(Exception):
    """The sandbox process could not be started."""


def run(
    sql: str,
    *,
    tables: Mapping[str, Path],
    folder: Path,
    limits: Limits,
    parameters: list[Any] | dict[str, Any] | None = None,
    form: Form = "table",
    stop: Stop | None = None,
) -> SandboxResult:
    """Run one query over ``tables`` (name -> Parquet file),
    with ``folder`` (empty, private) as its only place to write.

    Raises QueryFailed, SandboxUnavailable, or Stopped once ``stop`` is set.
    """
    job = SandboxJob(
        sql=sql,
        tables={name: str(path) for name, path in tables.items()},
        parameters=parameters,
        rows=limits.rows,
        folder=str(folder),
        seconds=limits.seconds,
        memory_mb=limits.memory_mb,
        threads=limits.threads,
        file_bytes=limits.file_bytes,
        result_bytes=limits.result_bytes,
        form=form,
    )
    stop = stop or Stop()
    for attempt in (1, 2):
        stop.check()
        try:
            head, block = _ask_forked(job, stop) if CAN_FORK else _ask_spawned(job, stop)
            return _read_answer(head, block, form=form, folder=folder)
        except _ZygoteDied:
            shutil.rmtree(folder / "spill", ignore_errors=True)
            if attempt == 2:
                break
    raise SandboxUnavailable


def shut_down() -> None:
    """End the zygote and with it every running query. The next query starts a new one."""
    global _zygote
    with _starting:
        if _zygote is not None:
            _zygote.stop()
        _zygote = None


class _ZygoteDied(Exception):
    """It went away before the child could answer; nothing is wrong with the query."""


class _Zygote:
    """A running zygote. ``stopped``: we ended it ourselves, so its queries must not be asked again."""

    def __init__(self) -> None:
        self.stopped = False
        self.control, theirs = socket.socketpair()
        with theirs:
            self.process = _start(stdin=theirs.fileno(), stdout=subprocess.DEVNULL)

    def alive(self) -> bool:
        return self.process.poll() is None

    def ended(self) -> bool:
        """Whether it is gone, or on its way: its children die
        with it, and their callers may notice that first."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(ENDING_SECONDS)
        return not self.alive()

    def stop(self) -> None:
        self.stopped = True
        self.control.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        self.process.kill()
        self.process.wait()


_zygote: _Zygote | None = None
_starting = threading.Lock()
atexit.register(shut_down)


class _Deadline:
    """Ends the child from another thread when the time is over."""

    def __init__(self, seconds: float, end: Callable[[], object]) -> None:
        self.passed = False
        self._end = end
        self._timer = threading.Timer(seconds, self._fire)
        self._timer.daemon = True
        self._timer.start()

    def _fire(self) -> None:
        self.passed = True
        self._end()

    def cancel(self) -> None:
        self._timer.cancel()


def _ask_forked(job: SandboxJob, stop: Stop) -> tuple[dict[str, Any], bytes]:
    ours, zygote = _connect()
    with ours:
        stream = cast(BinaryIO, ours.makefile("rwb"))
        wire = Wire(stream, stream)
        try:
            pid = _greeting(wire, lambda: _hang_up(ours), zygote)
            with _Handle(pid) as child:
                return _converse(wire, job, child.kill, stop=stop, zygote=zygote)
        finally:
            wire.close()


def _ask_spawned(job: SandboxJob, stop: Stop) -> tuple[dict[str, Any], bytes]:
    with _start("--once", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            wire = Wire(cast(BinaryIO, process.stdout), cast(BinaryIO, process.stdin))
            _greeting(wire, process.kill)
            return _converse(wire, job, process.kill, stop=stop)
        finally:
            process.kill()


def _greeting(wire: Wire, give_up: Callable[[], object], zygote: _Zygote | None = None) -> int:
    """The child's process id. Raises _ZygoteDied when nobody comes."""
    deadline = _Deadline(START_SECONDS, give_up)
    try:
        return int(wire.receive()[0]["pid"])
    except (EOFError, OSError) as error:
        if zygote is not None:
            zygote.ended()  # one that is ending must not be asked again
        raise _ZygoteDied from error
    finally:
        deadline.cancel()


def _converse(
    wire: Wire, job: SandboxJob, end: Callable[[], object], *, stop: Stop, zygote: _Zygote | None = None
) -> tuple[dict[str, Any], bytes]:
    """Send the job and wait for what comes back; the deadline counts from here."""
    deadline = _Deadline(job.seconds, end)
    try:
        with stop.when_set(end):
            wire.send(asdict(job))
            return wire.receive()
    except (EOFError, OSError, ValueError) as error:
        stop.check()
        if deadline.passed:
            raise QueryFailed(Failure("timeout", "deadline")) from None
        if zygote is not None and zygote.stopped:
            raise SandboxUnavailable from None
        if zygote is not None and zygote.ended():
            raise _ZygoteDied from error
        raise QueryFailed(Failure("died", "the process ended without an answer")) from None
    finally:
        deadline.cancel()


def _connect() -> tuple[socket.socket, _Zygote]:
    """A fresh line to a fresh child. A dead zygote is replaced first."""
    global _zygote
    with _starting:
        if _zygote is None or not _zygote.alive():
            if _zygote is not None:
                _zygote.stop()
            _zygote = _Zygote()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(_zygote.control, [b"q"], [theirs.fileno()])
            except OSError as error:
                ours.close()
                _zygote.ended()  # one that is ending must not be asked again
                raise _ZygoteDied from error
        return ours, _zygote


def _read_answer(head: dict[str, Any], block: bytes, *, form: Form, folder: Path) -> SandboxResult:
    if "failure" in head:
        told = head["failure"]
        unknown = tuple(UnknownTable(tuple(t["parts"]), t["position"]) for t in told.get("tables", ()))
        raise QueryFailed(Failure(told["kind"], told["message"], told.get("position")), unknown)
    answer = SandboxResult(
        columns=list(head["columns"]),
        used=tuple(head["used"]),
        truncated=bool(head["truncated"]),
        rows=int(head.get("rows", 0)),
        scanned=dict(head.get("scanned") or {}),
        plan=list(head.get("plan") or []),
    )
    if form in FILES:
        return replace(answer, file=folder / FILES[form])
    if form == "plan":
        return answer
    table = pa.ipc.open_stream(block).read_all()
    table.validate(full=True)
    return replace(answer, table=table)


class _Handle:
    """A child by its process handle (Linux),
    so that a reused number never hits a stranger; by number elsewhere."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.handle = -1
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):
                self.handle = os.pidfd_open(pid)

    def __enter__(self) -> "_Handle":
        return self

    def kill(self) -> None:
        with suppress(ProcessLookupError, OSError):
            if self.handle >= 0:
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGKILL)

    def __exit__(self, *_: object) -> None:
        self.kill()  # it has answered, or never will
        if self.handle >= 0:
            os.close(self.handle)


def _hang_up(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


def _start(*arguments: str, stdin: int, stdout: int) -> subprocess.Popen[bytes]:
    """A clean program: no file, no variable and no terminal of ours goes along."""
    # here: the zygote imports this module too, and needs no settings
    from core.config import ONE_THREAD, bare_environment

    environment = bare_environment(**ONE_THREAD, MALLOC_ARENA_MAX="1", PYTHONDONTWRITEBYTECODE="1")
    command = [sys.executable, "-s", "-m", "core.sql_sandbox.zygote", *arguments]
    own_session = os.name == "posix"
    return subprocess.Popen(
        command, stdin=stdin, stdout=stdout, cwd=ROOT, env=environment, start_new_session=own_session
    )
