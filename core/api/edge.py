"""What both APIs do around their routers: methods, unknown addresses, and what other origins are told
(``cors``).

Routers never see HEAD (it is GET without a body), OPTIONS, a wrong method or an unknown path: these are
answered here, with the API's own error body.
"""

from fastapi import FastAPI
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from core.api import cors
from core.api.errors import Renderer
from core.api.last_resort import request_id_of
from core.errors import MethodNotAllowed, NotFound


class ApiEdge:
    """One API under its prefix."""

    def __init__(self, app: FastAPI, *, prefix: str, render: Renderer) -> None:
        self.app, self.prefix, self.render = app, prefix, render
        # By the first part of their paths, which is never a parameter
        self.routes: dict[str, list[Route]] = {}
        for route in app.routes:
            if isinstance(route, Route):
                self.routes.setdefault(_first_part(route.path), []).append(route)
        self.methods = _with_ours({m for route in app.routes for m in getattr(route, "methods", None) or ()})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """``scope["path"]`` is the whole path; the app sees what is behind the prefix."""
        scope = dict(scope, root_path=self.prefix)
        send = self.with_cors(scope, send)
        early = self._answer_without_router(scope)
        if early is not None:
            await early(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            scope["method"], scope["luthier.head"], send = "GET", True, _without_body(send)
        await self.app(scope, receive, send)

    def allowed_methods(self, path: str) -> list[str]:
        """The methods this path takes, [] when there is no such path."""
        inner = path.removeprefix(self.prefix)
        routes = self.routes.get(_first_part(inner), ())
        methods = {m for route in routes if route.path_regex.match(inner) for m in route.methods or ()}
        return _with_ours(methods) if methods else []

    def with_cors(self, scope: Scope, send: Send) -> Send:
        """``send``, as pages of other origins are to be answered."""
        return cors.answering(scope, send, self.methods)

    def _answer_without_router(self, scope: Scope) -> Response | None:
        allowed = self.allowed_methods(scope["path"]) if "\x00" not in scope["path"] else []
        if not allowed:
            return self.render(NotFound(), request_id_of(scope))
        if scope["method"] == "OPTIONS":
            return Response(status_code=204, headers={"Allow": ", ".join(allowed)})
        if scope["method"] not in allowed:
            refusal = self.render(MethodNotAllowed(), request_id_of(scope))
            refusal.headers["Allow"] = ", ".join(allowed)
            return refusal
        return None


def _with_ours(methods: set[str]) -> list[str]:
    """With those that are answered here."""
    return sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))


def _first_part(path: str) -> str:
    return path[1:].partition("/")[0]


def _without_body(send: Send) -> Send:
    async def headless_send(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return headless_send
