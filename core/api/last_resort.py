"""The outermost edge of an API: whatever a router lets through is answered
in our own words, and logged with its request id."""

import logging
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.api.errors import Renderer, as_luthier_error, status_of
from core.errors import LuthierError
from core.processes.rounds import Rounds, reason_of

log = logging.getLogger(__name__)
_failures = Rounds(log, "Requests could not be answered")


def request_id_of(scope: Scope) -> str:
    facts = scope.get("luthier")
    return facts.request_id if facts else "req_none"


class LastResort:
    """A middleware. :func:`handlers` are for those errors that the frameworks would catch further in."""

    def __init__(self, app: ASGIApp, render: Renderer) -> None:
        self.app, self.render = app, render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = False

        async def noting_send(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self.app(scope, receive, noting_send)
        except Exception as error:  # the last resort: every error gets an answer in our form
            answer = answer_error(scope, error, self.render)
            # the status is out already: only breaking the connection says that something went wrong
            if began:
                raise
            await answer(scope, receive, send)


def answer_error(scope: Scope, error: Exception, render: Renderer) -> Response:
    log_unexpected(error, request_id_of(scope))
    response = render(as_luthier_error(error), request_id_of(scope))
    response.headers.update(getattr(error, "headers", None) or {})  # Allow, where a framework knows it
    return response


def log_unexpected(error: Exception, request_id: str = "") -> None:
    if isinstance(error, LuthierError) and status_of(error) != 500:
        return
    if reason_of(error):
        _failures.failed(error)
    elif status_of(as_luthier_error(error)) == 500:
        log.error("request %s failed", request_id, exc_info=error)


def handlers(render: Renderer) -> dict[Any, Any]:
    """Replacements for the frameworks' own handlers, which would answer in theirs."""

    async def answer(request: Request, error: Exception) -> Response:
        return answer_error(request.scope, error, render)

    return {HTTPException: answer, RequestValidationError: answer}
