"""What routers ask for: who calls, and a body that is really JSON.

A router's ``route_class`` says who may come in, and is asked before the body is read: :class:`Public` or
:class:`SignedIn` (``/v1`` has its own). Bodies are at most 1 MiB of strict UTF-8 JSON, unless the route takes
the raw request itself.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, NoReturn

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from core.errors import BadRequest, TooLarge, Unauthorized
from core.people import sessions
from core.people.users import User

MAX_JSON_BYTES = 2**20
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class JsonRequest(Request):
    """A request whose body may only be JSON."""

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            if _stated_length(self) > MAX_JSON_BYTES:
                raise TooLarge("A JSON body may have at most 1 MiB.")
            self._body = await self._read_body()
            self._require_json()
        return self._body

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = self._parse(await self.body())
        return self._json

    def _parse(self, body: bytes) -> Any:
        try:
            return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise _unreadable(
                str(error) if isinstance(error, json.JSONDecodeError) else "it is not valid UTF-8 JSON"
            ) from error

    async def _read_body(self) -> bytes:
        chunks = bytearray()
        async for chunk in self.stream():
            chunks += chunk
            if len(chunks) > MAX_JSON_BYTES:
                raise TooLarge("A JSON body may have at most 1 MiB.")
        return bytes(chunks)

    def _require_json(self) -> None:
        stated = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if stated != "application/json" and not (
            stated.startswith("application/") and stated.endswith("+json")
        ):
            raise BadRequest("Send JSON, with the header Content-Type: application/json.")
        if not self._body.strip():
            raise BadRequest("The body is empty; send a JSON object.")


class Public(APIRoute):
    """Anybody may call."""

    def get_route_handler(self) -> Handler:
        return reading_json(self, super().get_route_handler())


class SignedIn(APIRoute):
    """Needs ``Authorization: Bearer <token>`` with a signed token; API keys are refused."""

    def get_route_handler(self) -> Handler:
        handle = reading_json(self, super().get_route_handler())

        async def handle_signed_in(request: Request) -> Response:
            request.state.user = await run_in_threadpool(_user_of, request)
            note_user(request, request.state.user)
            return await handle(request)

        return handle_signed_in


def bearer_token(request: Request) -> str:
    """The token in the Authorization header, and only there. Raises Unauthorized."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized
    return token.strip()


def note_user(request: Request, user: User) -> None:
    """For the request log."""
    if facts := request.scope.get("luthier"):
        facts.user_id = user.id


def address_of(request: Request) -> str:
    """The client's address, for throttling."""
    return request.client.host if request.client else "unknown"


def _current_user(request: Request) -> User:
    return request.state.user


CurrentUser = Annotated[User, Depends(_current_user)]
Address = Annotated[str, Depends(address_of)]


def _user_of(request: Request) -> User:
    return sessions.user_for_jwt(bearer_token(request))


def reading_json(route: APIRoute, handle: Handler) -> Handler:
    if route.body_field is None:
        return handle
    may_be_missing = not route.body_field.field_info.is_required()

    async def handle_json(request: Request) -> Response:
        if may_be_missing and _stated_length(request) == 0 and "transfer-encoding" not in request.headers:
            return await handle(request)
        checked = JsonRequest(request.scope, request.receive)
        await checked.json()  # here, because FastAPI would turn every error into a 400
        return await handle(checked)

    return handle_json


def _stated_length(request: Request) -> int:
    length = request.headers.get("content-length", "0")
    return int(length) if length.isdecimal() else 0


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unreadable(why: str) -> BadRequest:
    return BadRequest(f"The body could not be read as JSON: {why}.")
