"""What starts with the server and ends with it.

Start: schema, sweeps after a crash, the starter model, the supervisor, then the speed switches (measured: a
rerun took 150 ms without them and 11 ms with them). Stop: SIGTERM is chained, so that streams end at once,
and everything is over within three seconds.
"""

import asyncio
import gc
import importlib
import logging
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from types import FrameType
from typing import Any

from anyio import to_thread

from core import chats, datasets, fine_tuning, models, sql_sandbox, stopping, uploads
from core.alerts import delivering
from core.exports import queue as export_queue
from core.fine_tuning.checkpoints import evaluations
from core.ingest import queue as conversions
from core.people import sessions
from core.processes import children, starting
from core.processes.rounds import Rounds, report_hanging
from core.providers import PROVIDERS
from core.readers import READERS
from core.reports import queue as report_queue
from core.security import make_private
from core.server import logs
from core.storage import pairing, trash
from core.workers import supervisor

log = logging.getLogger(__name__)
SYNC_THREADS = 64  # endpoints that wait for the database or a model share them
SWITCH_SECONDS = 0.0005  # not 5 ms: a stream's text crosses three threads, each waiting for the others
COLLECT_SECONDS = 30
SWEEP_SECONDS = 600
GRACE_SECONDS = 1  # for requests that are still being answered when the server is told to stop
STOP_SECONDS = 1.5  # for the services
# What the processes of conversions, reports, exports and evaluations need, imported once for all of them
FORKED = (
    "pandas",
    "core.ingest.converter",
    *sorted({f"core.readers.{reader}" for reader in READERS.values()}),
    "core.reports.computing",
    "core.reports.quality",
    "core.reports.token_lengths",
    "core.exports.worker",
    "core.fine_tuning.checkpoints.evaluator",
)
WARM = ("pandas", "numpy", "pyarrow", "altair", "streamlit.dataframe_util", "streamlit.elements.vega_charts")


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
    logs.configure()
    _chain_signals()
    sys.setswitchinterval(SWITCH_SECONDS)
    to_thread.current_default_thread_limiter().total_tokens = SYNC_THREADS
    try:
        await asyncio.to_thread(start_services)
    except Exception as error:  # what an admin can mend is a sentence; all else is raised again
        if (why := starting.why_not(error)) is None:
            raise
        log.critical(why)
        os._exit(2)  # nothing runs yet; raised, it would reach the admin as a traceback
    _send_small_answers_at_once()
    chores = [asyncio.create_task(_collect_for_ever()), asyncio.create_task(_sweep_for_ever())]
    log.info("Luthier is ready")
    try:
        yield {}
    finally:
        stopping.begin()
        for chore in chores:
            chore.cancel()
        await _stop_services()
        log.info("Luthier has stopped")


def start_services() -> None:
    pairing.check()  # before anything is written
    make_private()
    pairing.open_database()
    sessions.sweep()
    for recover in (
        conversions.recover,
        report_queue.QUEUE.recover,
        uploads.recover,
        models.recover,
        export_queue.QUEUE.recover,
        evaluations.QUEUE.recover,
        chats.recover,
    ):
        recover()
    children.keep_warm(*FORKED)
    datasets.sweep_daily()
    models.ensure_starter()
    supervisor.start()
    delivering.start()
    for name in WARM:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


async def _stop_services() -> None:
    """All at the same time; what takes too long is left to end with the process."""
    stops = [
        supervisor.stop,
        conversions.QUEUE.shut_down,
        report_queue.QUEUE.shut_down,
        export_queue.QUEUE.shut_down,
        evaluations.QUEUE.shut_down,
        sql_sandbox.shut_down,
        children.shut_down,
        fine_tuning.preview.stop,
        _stop_answering,
    ]
    await asyncio.wait(
        [asyncio.ensure_future(asyncio.to_thread(stop)) for stop in stops], timeout=STOP_SECONDS
    )


def _stop_answering() -> None:
    chats.shut_down()
    for provider in PROVIDERS.values():
        provider.stop()


async def _collect_for_ever() -> None:
    """Streamlit's own collection after every rerun is switched off in its configuration; this is instead of
    it. Looks also whether a background thread stands still."""
    while True:
        await asyncio.sleep(COLLECT_SECONDS)
        gc.collect()
        report_hanging()


async def _sweep_for_ever() -> None:
    rounds = Rounds(log, "Expired sessions and uploads could not be swept")
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            for sweep in (sessions.sweep, uploads.sweep, datasets.sweep_daily, trash.remove_expired):
                await asyncio.to_thread(sweep)
        except Exception as error:  # outermost loop
            rounds.failed(error)


def _chain_signals() -> None:
    """On SIGTERM and Ctrl+C tell the streams first, then uvicorn, which would wait for them for ever."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(ValueError):  # not in the main thread: a test's server
            signal.signal(number, _chained(signal.getsignal(number), loop))


def _chained(uvicorns: Any, loop: asyncio.AbstractEventLoop) -> Callable[[int, FrameType | None], None]:
    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stopping.begin)
        server = getattr(uvicorns, "__self__", None)
        if server is not None:
            server.config.timeout_graceful_shutdown = GRACE_SECONDS
        if callable(uvicorns):
            uvicorns(number, frame)

    return stop


def _send_small_answers_at_once() -> None:
    """TCP_NODELAY on the listening sockets; connections inherit it.

    Streamlit leaves Nagle on: 40 ms per small answer.
    """
    for descriptor in _open_sockets():
        with suppress(OSError), _socket_of(descriptor) as listener:
            if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _open_sockets() -> list[int]:
    """Nothing else is touched: a pipe whose writing end were held twice, if only for a moment, would not end
    for its reader. Another thread that starts a process waits for just that."""
    try:
        names = os.listdir("/dev/fd")
    except OSError:
        return []  # Windows
    return [int(name) for name in names if _is_socket(int(name))]


def _is_socket(descriptor: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False  # closed meanwhile, as the one that listed them is


@contextmanager
def _socket_of(descriptor: int) -> Iterator[socket.socket]:
    number = os.dup(descriptor)
    try:
        duplicate = socket.socket(fileno=number)
    except OSError:
        os.close(number)
        raise
    with duplicate:
        yield duplicate
