"""From a service's plain generator to server-sent events,
or to a list when the client does not want a stream.

Each pull has a thread of its own, because a generator waits for a model and the shared threads are few; the
thread also closes it, so that its ``finally`` runs whatever happens (measured: a plain generator that
Starlette streams is left suspended when the client goes). When the client disconnects or the server stops,
``stop()`` becomes true for the generator.
"""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Generic, TypeVar

from starlette.requests import Request
from starlette.responses import StreamingResponse

from core import stopping
from core.api.errors import as_luthier_error
from core.api.last_resort import log_unexpected
from core.errors import LuthierError, Unavailable

T = TypeVar("T")
Stop = Callable[[], bool]
LOOK_SECONDS = 0.2
KEEP_ALIVE_SECONDS = 15
KEEP_ALIVE = ": still here\n\n"  # a comment: clients skip it, proxies keep the connection
DONE = "data: [DONE]\n\n"
_END = object()


def event(data: Any) -> str:
    """One event. JSON in ASCII keeps it on one line whatever the text holds."""
    return f"data: {json.dumps(data, separators=(',', ':'))}\n\n"


async def respond(
    make: Callable[[Stop], Iterator[str]], *, say_error: Callable[[LuthierError], str]
) -> StreamingResponse:
    """Stream the events that ``make(stop)`` yields, then ``[DONE]``.

    What it raises before the first event is raised here, with its own HTTP status; later errors are worded by
    ``say_error``.
    """
    pull = Pull(make)
    try:
        first = [event async for event in pull.until_first()]
    except BaseException:  # raised again, also a cancelled request: the thread behind must end with it
        pull.leave()
        raise
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(pull, first, say_error), media_type="text/event-stream", headers=headers)


async def collect(request: Request, make: Callable[[Stop], Iterator[T]]) -> list[T]:
    """All that ``make(stop)`` yields; stops it when the client hangs up. Raises what it raises."""
    pull, items, looked = Pull(make), [], time.monotonic()
    try:
        async for item in pull.items():
            if item is not None:
                items.append(item)
            if time.monotonic() - looked >= LOOK_SECONDS:
                looked = time.monotonic()
                if await request.is_disconnected():
                    break
    finally:
        pull.leave()
    return items


class Pull(Generic[T]):
    """A generator that is being pulled in its own thread, and the queue of what it has yielded."""

    def __init__(self, make: Callable[[Stop], Iterator[T]]) -> None:
        self._left = threading.Event()
        self._waiting: asyncio.Queue[Any] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, args=(make,), name="stream", daemon=True).start()

    def leave(self) -> None:
        """Nobody listens any more."""
        self._left.set()

    async def until_first(self) -> AsyncIterator[T]:
        """The first item, or nothing when there is none."""
        async for item in self.items():
            if item is not None:
                yield item
                return

    async def items(self) -> AsyncIterator[T | None]:
        """What was yielded, with None for every while in which nothing was.

        Raises what the generator raised.
        """
        while True:
            if stopping.is_stopping():
                raise _stopping()
            try:
                item = await asyncio.wait_for(self._waiting.get(), LOOK_SECONDS)
            except TimeoutError:
                yield None
                continue
            if item is _END:
                return
            if isinstance(item, Exception):
                raise item
            yield item

    def _stop(self) -> bool:
        return self._left.is_set() or stopping.is_stopping()

    def _run(self, make: Callable[[Stop], Iterator[T]]) -> None:
        items: Iterator[T] = iter(())
        try:
            items = make(self._stop)
            for item in items:
                if self._stop():
                    break
                self._put(item)
            if self._stop():  # it was cut off, here or by itself
                self._put(_stopping())
        except Exception as error:  # outermost loop of this thread; the other side raises it again
            self._put(error)
        finally:
            getattr(items, "close", lambda: None)()
            self._put(_END)

    def _put(self, item: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._waiting.put_nowait, item)


def _stopping() -> Unavailable:
    return Unavailable("The server is stopping. Try again in a moment.")


async def _events(
    pull: Pull[str], first: list[str], say_error: Callable[[LuthierError], str]
) -> AsyncIterator[str]:
    silent = 0.0
    try:
        for item in first:
            yield item
        async for piece in pull.items():
            silent = silent + LOOK_SECONDS if piece is None else 0.0
            if piece is not None:
                yield piece
            elif silent >= KEEP_ALIVE_SECONDS:
                silent = 0.0
                yield KEEP_ALIVE
        yield DONE
    except Exception as error:  # the status is out: the stream itself has to say what happened
        log_unexpected(error)
        yield say_error(as_luthier_error(error))
        yield DONE
    finally:
        pull.leave()
