"""The outermost middleware: every request passes here, Streamlit's as well as ours.

It gives the request an id, logs it, adds the headers every answer has, finds out the client's real address,
hands ``/api``, ``/v1`` and the browser's own routes straight to their apps (Streamlit's middlewares would
answer bad paths in their own words), lets nobody without a live session fetch what Streamlit serves to
whoever knows the address, and says 404 where Streamlit would answer anything with its index page.
"""

import asyncio
import time
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core import stopping
from core.api import browser, errors
from core.api.edge import ApiEdge
from core.api.last_resort import log_unexpected
from core.api.openai.app import edge as openai
from core.api.rest.app import edge as rest
from core.errors import BadRequest, LuthierError, Unauthorized, Unavailable
from core.people import sessions
from core.security import new_id
from core.server import addresses, logs
from core.server.client import put_real_client
from core.server.page_policy import policy_for
from core.server.request_body import STOPPING, RequestBody

EDGES = (rest, openai)
PRIVATE = ("/media", "/_stcore/upload_file", "/_stcore/metrics")  # Streamlit gives these to anybody
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-DNS-Prefetch-Control": "off",  # a browser would look up the hosts of the links on a page
    "X-Frame-Options": "SAMEORIGIN",
}
CLIENT_LEFT = 499


@dataclass
class RequestFacts:
    """What the log says about a request. Edges fill in the user when they know who it is."""

    method: str
    path: str
    request_id: str = field(default_factory=lambda: new_id("req"))
    user_id: str | None = None
    status: int = CLIENT_LEFT
    began: float = field(default_factory=time.perf_counter)


class FrontDoor:
    def __init__(self, app: ASGIApp) -> None:
        self.streamlit = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            put_real_client(scope)
        if scope["type"] != "http":
            await self.streamlit(scope, receive, send)
            return
        facts = scope["luthier"] = RequestFacts(scope["method"], scope["path"])
        body = RequestBody(scope, receive, _with_headers(send, facts))
        try:
            await self._hand_over(scope, body)
        except asyncio.CancelledError:
            if not stopping.is_stopping() or facts.status != CLIENT_LEFT:
                raise
            # the server has no more time for it, and would answer in its own words
            await _refuse(Unavailable(STOPPING), scope, body)
        finally:
            logs.note_request(
                request_id=facts.request_id,
                user_id=facts.user_id,
                method=facts.method,
                path=facts.path,
                status=facts.status,
                seconds=time.perf_counter() - facts.began,
            )

    async def _hand_over(self, scope: Scope, body: RequestBody) -> None:
        path = scope["path"]
        try:
            body.require_one_length()
        except BadRequest as error:
            await _refuse(error, scope, body)
            return
        if own := _own(path):
            await own(scope, body.receive, body.send)
        elif browser.owns(path):
            await browser.site(scope, body.receive, body.send)
        elif not addresses.is_known(path):
            await addresses.nothing_here(scope, scope["luthier"].request_id)(scope, body.receive, body.send)
        elif path.startswith(PRIVATE) and (refusal := await _refusal(scope)):
            await _refuse(refusal, scope, body)
        else:
            await self._ask_streamlit(scope, body)

    async def _ask_streamlit(self, scope: Scope, body: RequestBody) -> None:
        is_there = True

        async def sending(message: Message) -> None:
            nonlocal is_there
            if message["type"] == "http.response.start":
                is_there = not addresses.is_index_instead(scope["path"], message)
            if is_there:
                await body.send(message)

        await self.streamlit(scope, body.receive, sending)
        if not is_there:
            await addresses.nothing_here(scope, scope["luthier"].request_id)(scope, body.receive, body.send)


def _own(path: str) -> ApiEdge | None:
    """The API that this address is below."""
    return next((edge for edge in EDGES if path == edge.prefix or path.startswith(edge.prefix + "/")), None)


async def _refuse(error: LuthierError, scope: Scope, body: RequestBody) -> None:
    """In the words of the API that was asked; after it the connection ends."""
    own = _own(scope["path"])
    answer = (own.render if own else errors.render)(error, scope["luthier"].request_id)
    if isinstance(error, BadRequest | Unavailable):
        answer.headers["Connection"] = "close"
    await answer(scope, body.receive, own.with_cors(scope, body.send) if own else body.send)


async def _refusal(scope: Scope) -> LuthierError | None:
    """None for who has a live session."""
    cookie = HTTPConnection(scope).cookies.get(sessions.COOKIE)
    try:
        user = await run_in_threadpool(sessions.user_for, cookie)
    except Exception as error:  # raised, Streamlit's server would answer it in its own words
        log_unexpected(error, scope["luthier"].request_id)
        return errors.as_luthier_error(error)
    if user is None:
        return Unauthorized()
    scope["luthier"].user_id = user.id
    return None


def _with_headers(send: Send, facts: RequestFacts) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            facts.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = facts.request_id
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            policy = policy_for(facts.path, facts.status, headers.get("Content-Type"))
            if policy:
                headers.setdefault("Content-Security-Policy", policy)
        await send(message)

    return sending
