"""The body of a request that is refused before it was read, or that is on its way when the server stops.

A server that answers and closes while bytes are still coming makes the client's system throw the answer away:
the client sees a broken connection instead of the 413. So what is left of a refused body is read and thrown
away, within limits, before the answer ends. A body on its way into a server that stops ends with 503.
"""

import asyncio
import time

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from core import stopping
from core.errors import BadRequest, Unavailable

DRAINED_BYTES = 2**30
DRAINED_SECONDS = 60.0
IDLE_SECONDS = 5.0  # a client that sends nothing for so long has seen its answer
LOOK_SECONDS = 0.2
STOPPING = "The server is stopping. Try again in a moment."


class RequestBody:
    """``receive`` and ``send`` of one request, as its application is to have them."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._headers = Headers(scope=scope)
        stated = self._headers.get("content-length", "0")
        self._is_open = "transfer-encoding" in self._headers or stated.strip() not in ("", "0")
        self._has_begun = False

    def require_one_length(self) -> None:
        """Raises BadRequest for a length said in two ways, of which a proxy before us may believe the other
        one: RFC 9112, 6.1."""
        if "transfer-encoding" in self._headers and "content-length" in self._headers:
            raise BadRequest("Send Content-Length or Transfer-Encoding, not both.")

    async def receive(self) -> Message:
        """Raises Unavailable when the server stops before the body is here."""
        if not self._is_open:
            return await self._receive()
        waiting = asyncio.ensure_future(self._receive())
        try:
            while not (await asyncio.wait({waiting}, timeout=LOOK_SECONDS))[0]:
                if stopping.is_stopping():
                    raise Unavailable(STOPPING)
        finally:
            waiting.cancel()
        return self._note(waiting.result())

    async def send(self, message: Message) -> None:
        """The end of an answer waits for the end of the body."""
        is_end = message["type"] == "http.response.body" and not message.get("more_body", False)
        if not (is_end and self._may_be_coming()):
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        await self._drain()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def _may_be_coming(self) -> bool:
        asks_first = self._headers.get("expect", "").lower() == "100-continue"
        return self._is_open and (self._has_begun or not asks_first)

    async def _drain(self) -> None:
        began, total = time.monotonic(), 0
        while self._is_open and total <= DRAINED_BYTES:
            # a server that stops has a second for all that is open
            most, idle = (0.5, LOOK_SECONDS) if stopping.is_stopping() else (DRAINED_SECONDS, IDLE_SECONDS)
            if time.monotonic() - began > most:
                return
            try:
                message = await asyncio.wait_for(self._receive(), idle)
            except TimeoutError:
                return
            total += len(self._note(message).get("body", b""))

    def _note(self, message: Message) -> Message:
        self._has_begun = True
        self._is_open = message["type"] == "http.request" and message.get("more_body", False)
        return message
