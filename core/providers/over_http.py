"""What providers have in common that ask another server over HTTP.

A provider of this kind is one file with a class that says two things: the request for an answer (``build``),
and how the lines that come back become text (``read``). Here is the rest: the answer is streamed, also to
those who want it whole; when nobody wants it any more, the connection is closed within a quarter of a second,
so that the other server can stop too; no wait is longer than the class says; and whatever goes wrong becomes
one of our own errors, with a message for the person who asked.

The requests of a provider share one thread with an event loop, so that any of them can be cancelled at any
moment, also before the other server has said a word, and connections are used again. Proxies and
certificates named by the environment are not used, redirects are not followed.
"""

import asyncio
import json
import logging
import queue
import threading
from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

import httpx

from core.errors import Conflict, LuthierError, OutOfTokens, RateLimited, Unavailable, ValidationError
from core.providers.base import AskedModel, Delta, Finish, Generation, Provider, Usage, tokens_at_most

log = logging.getLogger(__name__)
CLOSE_SECONDS = 2.0
LOOK_SECONDS = 0.1  # between two looks at whether the answer is still wanted
LONGEST_REFUSAL = 65536  # bytes read of an answer that is an error
LONGEST_QUOTE = 300  # characters of the other server's own message that are passed on
LONGEST_RETRY = 3600  # seconds
_END = object()


class HttpProvider(Provider):
    """A provider that asks another server.

    ``connect_seconds``: until there is a connection. ``silence_seconds``: without a byte of the answer, also
    before its first.
    """

    connect_seconds = 10.0
    silence_seconds = 120.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: _Connections | None = None

    @abstractmethod
    def build(self, request: Generation) -> httpx.Request:
        """The request whose answer is streamed. Raises ValidationError for parameters that the other server
        does not take."""

    @abstractmethod
    def read(self, lines: Iterator[str]) -> Iterator[Delta | Finish]:
        """The answer's text, then its Finish. ``lines`` come without their ends, some are empty.

        A ValueError, KeyError, IndexError, TypeError or AttributeError means that the other server sent what
        cannot be understood.
        """

    def refuse(self, model: AskedModel, status: int, body: bytes, retry_after: str | None) -> LuthierError:
        """The error for an answer whose HTTP status is not 200."""
        if status in (401, 403):
            return Unavailable(f"{self.title} does not accept the key of this server. Tell an admin.")
        if status == 404:
            return Conflict(f"{self.title} has no model named {model.name} any more. Choose another model.")
        if status in (400, 413, 422):
            return ValidationError.of("messages", f"{self.title} refuses this: {_quote(body) or status}")
        if status == 429:
            return RateLimited(
                f"{self.title} has too much to do. Try again in a moment.", retry_after=_seconds(retry_after)
            )
        return Unavailable(f"{self.title} answered with the error {status}. Try again in a moment.")

    def generate(self, request: Generation, *, stop: Callable[[], bool]) -> Iterator[Delta | Finish]:
        if stop():
            yield Finish("cancelled")
            return
        answer = _Answer(self._connected(), self.build(_within_limit(request)), stop)
        pieces, is_whole = 0, False
        try:
            for event in self.read(answer.lines()):
                pieces += isinstance(event, Delta) and bool(event.text)
                is_whole = isinstance(event, Finish)
                yield event
                if is_whole:
                    return
            raise Unavailable(self._broken())
        except _NotWanted:
            # the other server says no more what it cost; most send a piece for each token
            yield Finish("cancelled", Usage(completion_tokens=pieces))
        except _Refused as refused:
            log.warning("provider %s answered %d", self.name, refused.status)
            raise self.refuse(request.model, refused.status, refused.body, refused.retry_after) from refused
        except httpx.HTTPError as error:
            log.warning("provider %s: %s", self.name, type(error).__name__)
            raise Unavailable(self._say(error)) from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            log.warning("provider %s sent what cannot be read", self.name, exc_info=True)
            raise Unavailable(f"{self.title} sent an answer that cannot be read. Tell an admin.") from error
        finally:
            answer.close(is_whole=is_whole)

    def stop(self) -> None:
        with self._lock:
            connections, self._connections = self._connections, None
        if connections:
            connections.close()

    def _connected(self) -> "_Connections":
        with self._lock:
            if self._connections is None:
                limits = httpx.Timeout(self.silence_seconds, connect=self.connect_seconds)
                self._connections = _Connections(limits, name=f"provider-{self.name}")
            return self._connections

    def _say(self, error: httpx.HTTPError) -> str:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return f"{self.title} cannot be reached. Try again in a moment; if it stays so, tell an admin."
        if isinstance(error, httpx.TimeoutException):
            return f"{self.title} did not answer in time. Try again in a moment."
        return self._broken()

    def _broken(self) -> str:
        return f"The answer of {self.title} broke off. Send your message again."


def _within_limit(request: Generation) -> Generation:
    """The other server counts the prompt, so an answer may use what the longest such prompt would leave."""
    if request.most_tokens is None:
        return request
    left = request.most_tokens - tokens_at_most(request.messages)
    if left < 1:
        raise OutOfTokens(f"This conversation may need more than the {request.most_tokens} tokens left.")
    most = min(left, request.parameters.get("max_tokens") or left)
    return replace(request, parameters={**request.parameters, "max_tokens": most})


class _NotWanted(Exception):
    """``stop`` has become true."""


class _Refused(Exception):
    """The other server's answer is an error."""

    def __init__(self, status: int, body: bytes, retry_after: str | None) -> None:
        super().__init__(status)
        self.status, self.body, self.retry_after = status, body, retry_after


class _Connections:
    """One client, and the thread in whose event loop all of its requests run."""

    def __init__(self, limits: httpx.Timeout, *, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._limits = limits
        self._client: httpx.AsyncClient | None = None
        self.is_closed = False
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def open(self, request: httpx.Request, put: Callable[[Any], None]) -> Future[None]:
        """Send it; ``put`` gets each line of the answer, then ``_END`` or the error.

        Cancel the future to hang up.
        """
        return asyncio.run_coroutine_threadsafe(self._stream(request, put), self._loop)

    def close(self) -> None:
        self.is_closed = True
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(CLOSE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stream(self, request: httpx.Request, put: Callable[[Any], None]) -> None:
        try:
            async with aclosing(self._lines(request)) as lines:
                async for line in lines:
                    put(line)
            put(_END)
        except (httpx.HTTPError, httpx.StreamError, _Refused) as error:
            put(error)
        except asyncio.CancelledError:
            put(_NotWanted())
            raise
        except Exception as error:  # outermost of this request; the thread that waits for it raises it again
            put(error)

    async def _lines(self, request: httpx.Request) -> AsyncGenerator[str, None]:
        if self._client is None:
            self._client = httpx.AsyncClient(trust_env=False)
        request.extensions = {**request.extensions, "timeout": self._limits.as_dict()}
        response = await self._client.send(request, stream=True)
        try:
            if response.status_code != 200:
                body = await _beginning(response)
                raise _Refused(response.status_code, body, response.headers.get("Retry-After"))
            async for line in response.aiter_lines():
                yield line
        finally:
            await response.aclose()

    async def _end(self) -> None:
        own = asyncio.current_task()
        running = [task for task in asyncio.all_tasks() if task is not own]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()


class _Answer:
    """The lines of one answer, for as long as somebody wants them."""

    def __init__(self, connections: _Connections, request: httpx.Request, stop: Callable[[], bool]) -> None:
        self._connections = connections
        self._stop = stop
        self._arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._request = connections.open(request, self._arrived.put)

    def lines(self) -> Iterator[str]:
        """Raises _NotWanted, _Refused, httpx.HTTPError."""
        while True:
            if self._stop():
                raise _NotWanted
            try:
                line = self._arrived.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                if self._connections.is_closed:
                    raise _NotWanted from None
                continue
            if line is _END:
                return
            if isinstance(line, Exception):
                raise line
            yield line

    def close(self, *, is_whole: bool) -> None:
        """Hang up. Of a whole answer the end is waited for, for a moment, so that its connection can be used
        again."""
        if is_whole:
            with suppress(TimeoutError, CancelledError):
                self._request.result(LOOK_SECONDS)
        self._request.cancel()


async def _beginning(response: httpx.Response) -> bytes:
    read = b""
    async for piece in response.aiter_bytes():
        read += piece
        if len(read) > LONGEST_REFUSAL:
            break
    return read[:LONGEST_REFUSAL]


def _quote(body: bytes) -> str:
    """The message of an error as OpenAI's API and its likenesses word it; empty when there is none."""
    with suppress(ValueError, LookupError, TypeError):
        return str(json.loads(body)["error"]["message"])[:LONGEST_QUOTE]
    return ""


def _seconds(retry_after: str | None) -> int:
    """A date instead of seconds is not looked at."""
    known = retry_after is not None and retry_after.isascii() and retry_after.isdecimal()
    return min(int(retry_after or 0), LONGEST_RETRY) if known else 10
