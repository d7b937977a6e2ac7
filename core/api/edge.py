"""What both APIs do around their routers: methods, CORS and unknown addresses.

Routers never see HEAD (it is GET without a body), OPTIONS, a wrong method or an unknown path: these are
answered here, with the API's own error body. CORS answers only the configured origins, exactly; nothing is
reflected.
"""

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from core.api.errors import Renderer
from core.api.last_resort import request_id_of
from core.config import settings
from core.errors import MethodNotAllowed, NotFound

CORS_HEADERS = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "600",
}


class ApiEdge:
    """One API under its prefix."""

    def __init__(self, app: FastAPI, *, prefix: str, render: Renderer) -> None:
        self.app, self.prefix, self.render = app, prefix, render
        # By the first part of their paths, which is never a parameter
        self.routes: dict[str, list[Route]] = {}
        for route in app.routes:
            if isinstance(route, Route):
                self.routes.setdefault(_first_part(route.path), []).append(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """``scope["path"]`` is the whole path; the app sees what is behind the prefix."""
        scope = dict(scope, root_path=self.prefix)
        send = _with_cors(send, scope)
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
        return sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())) if methods else []

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


def _first_part(path: str) -> str:
    return path[1:].partition("/")[0]


def _with_cors(send: Send, scope: Scope) -> Send:
    allowed = settings().cors_origin_list
    if not allowed:
        return send
    origin = Headers(scope=scope).get("origin")

    async def answering_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.add_vary_header("Origin")
            if origin in allowed:
                headers.update(
                    {
                        "Access-Control-Allow-Origin": origin,
                        **(CORS_HEADERS if scope["method"] == "OPTIONS" else {}),
                    }
                )
        await send(message)

    return answering_send


def _without_body(send: Send) -> Send:
    async def headless_send(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return headless_send
