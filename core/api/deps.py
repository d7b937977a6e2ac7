"""What routers ask for: who calls, and a body that is really JSON.

A router's ``route_class`` says who may come in, and is asked before the body is read: :class:`Public`,
:class:`SigningIn`, :class:`SignedIn` or :class:`Admin` (``/v1`` has its own). API keys come in where
``core.api.scopes`` lets them. Bodies are at most 1 MiB of strict UTF-8 JSON, unless the route takes the raw
request itself.

Plain functions run in a thread. Handing a request over to one costs as much as a query, so one with a small
body or none is handed over once: who calls is found out in the thread that then answers. Before anything is
said about such a body, it is found out all the same.
"""

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import wraps
from inspect import iscoroutinefunction
from typing import Annotated, Any, ClassVar, NoReturn, get_type_hints

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from core.api.scopes import scopes_for
from core.errors import BadRequest, Forbidden, ScopeMissing, TooLarge, Unauthorized
from core.people import api_keys, sessions
from core.people.api_keys import PREFIX, Caller
from core.people.users import User

MAX_JSON_BYTES, SMALL_JSON_BYTES = 2**20, 2**14
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
            return json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
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


class SigningIn(Public):
    """Anybody may call but programs with an API key: these need not sign in, and may not for anybody."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def handle_people(request: Request) -> Response:
            if _has_key(request):
                raise ScopeMissing("API keys may not be used for this. They need no signing in.")
            return await handle(request)

        return handle_people


class Guarded(APIRoute):
    """Nobody comes in unknown, nor is told what is wrong with a request.

    ``find_caller`` is asked once per request, before a body of more than 16 KiB is read. Parameters of the
    types in ``asked_as`` get what the function beside the type makes of what it found.
    """

    asked_as: ClassVar[tuple[tuple[Any, Callable[[Any], Any]], ...]]

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        hints = get_type_hints(endpoint, include_extras=True)
        self._asking = {
            name: of_found
            for name, hint in hints.items()
            for asked, of_found in self.asked_as
            if hint == asked
        }
        self._is_plain = not iscoroutinefunction(endpoint)
        super().__init__(path, self._knowing_who_calls(endpoint), **options)

    def find_caller(self, request: Request) -> Any:
        """Who calls. Raises Unauthorized."""
        raise NotImplementedError

    def get_route_handler(self) -> Handler:
        handle = reading_json(self, super().get_route_handler())
        finds_in_its_thread = bool(self._is_plain and self._asking)

        async def handle_known(request: Request) -> Response:
            if not (finds_in_its_thread and self._has_little_to_read(request)):
                await run_in_threadpool(self._caller_of, request)
            try:
                return await handle(request)
            except Exception as error:  # whatever is wrong with a request: nobody unknown is told
                if not isinstance(error, Unauthorized) and not self._is_known(request):
                    await run_in_threadpool(self._caller_of, request)
                raise

        return handle_known

    def _has_little_to_read(self, request: Request) -> bool:
        if self.body_field is None:
            return True
        return "transfer-encoding" not in request.headers and _stated_length(request) <= SMALL_JSON_BYTES

    def _knowing_who_calls(self, endpoint: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
        """The endpoint as FastAPI is to call it: with the request in place of who calls."""

        def call(values: dict[str, Any]) -> Any:
            found = {name: of(self._caller_of(values[name])) for name, of in self._asking.items()}
            return endpoint(**values | found)

        @wraps(endpoint)
        async def answer(**values: Any) -> Any:
            return await (run_in_threadpool(call, values) if self._is_plain else call(values))

        return answer

    def _caller_of(self, request: Request) -> Any:
        if not self._is_known(request):
            request.state.caller = self.find_caller(request)
        return request.state.caller

    @staticmethod
    def _is_known(request: Request) -> bool:
        return hasattr(request.state, "caller")


async def asking_request(request: Request) -> Request:
    """Stands for who calls until the endpoint is called, see :class:`Guarded`."""
    return request


def bearer_token(request: Request) -> str:
    """The token in the Authorization header, and only there. Raises Unauthorized."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized
    return token.strip()


def _has_key(request: Request) -> bool:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and token.strip().startswith(PREFIX)


def note_user(request: Request, user: User) -> None:
    """For the request log."""
    if facts := request.scope.get("luthier"):
        facts.user_id = user.id


def address_of(request: Request) -> str:
    """The client's address, for throttling."""
    return request.client.host if request.client else "unknown"


@dataclass(frozen=True)
class ApiCaller:
    """Who calls ``/api``. ``key``: the API key it is done with, None for somebody who has signed in."""

    user: User
    key: Caller | None = None


async def _asking_key(request: Request) -> Request:
    """As ``asking_request``, for a parameter that gets the API key."""
    return request


CurrentUser = Annotated[User, Depends(asking_request)]
CurrentKey = Annotated[Caller | None, Depends(_asking_key)]
Address = Annotated[str, Depends(address_of)]


class SignedIn(Guarded):
    """Needs ``Authorization: Bearer <token>`` with a signed token, or with an API key whose scopes name the
    route."""

    asked_as = ((CurrentUser, lambda found: found.user), (CurrentKey, lambda found: found.key))

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        # the router's paths begin behind /api
        self._scopes = {method: scopes_for(method, "/api" + path) for method in self.methods or ()}

    def find_caller(self, request: Request) -> ApiCaller:
        token = bearer_token(request)
        if token.startswith(PREFIX):
            return self._find_key(request, token)
        user = sessions.user_for_jwt(token)
        note_user(request, user)
        return ApiCaller(user)

    def _find_key(self, request: Request, token: str) -> ApiCaller:
        caller = api_keys.identify(token)
        note_user(request, caller.user)
        api_keys.require_api(caller, self._scopes[request.method])
        return ApiCaller(caller.user, caller)


class Admin(SignedIn):
    """Needs an admin's signed token."""

    def find_caller(self, request: Request) -> ApiCaller:
        found = super().find_caller(request)
        if not found.user.is_admin:
            raise Forbidden("Only an admin may do this.")
        return found


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
