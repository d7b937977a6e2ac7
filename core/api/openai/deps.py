"""Who calls ``/v1``: the owner of an API key. Signed tokens of ``/api`` are refused."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from core.api.deps import bearer_token, note_user, reading_json
from core.errors import Unauthorized
from core.people import api_keys
from core.people.api_keys import Caller


class WithKey(APIRoute):
    """Needs ``Authorization: Bearer sk-…``, asked before the body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = reading_json(self, super().get_route_handler())

        async def handle_with_key(request: Request) -> Response:
            request.state.caller = await run_in_threadpool(_identify, request)
            note_user(request, request.state.caller.user)
            return await handle(request)

        return handle_with_key


def _current_caller(request: Request) -> Caller:
    return request.state.caller


CurrentCaller = Annotated[Caller, Depends(_current_caller)]


def _identify(request: Request) -> Caller:
    try:
        return api_keys.identify(bearer_token(request))
    except Unauthorized as error:
        raise Unauthorized("Incorrect API key provided: it is missing, wrong, revoked or expired.") from error
