"""What the pages' own scripts fetch with the session cookie: sign-in, sign-out, uploads and downloads; and the health check.

The cookie is sent by the browser on its own, so every write checks that the request comes from our own pages.
"""

from http import HTTPStatus

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core import sessions
from core.api.deps import JsonRequest, note_user
from core.api.errors import render
from core.api.last_resort import LastResort, handlers
from core.config import settings
from core.errors import BadRequest, Forbidden, Unauthorized
from core.users import User


def owns(path: str) -> bool:
    return path in ("/healthz", "/health", "/upload") or path.startswith(("/session/", "/download/"))


async def tell_health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def claim_session(request: Request) -> Response:
    """Exchange a page's ticket for the session cookie."""
    require_same_origin(request)
    body = await JsonRequest(request.scope, request.receive).json()
    ticket = body.get("ticket") if isinstance(body, dict) else None
    if not isinstance(ticket, str):
        raise BadRequest("Send the ticket.")
    token = await run_in_threadpool(sessions.claim_ticket, ticket)
    response = Response(status_code=HTTPStatus.NO_CONTENT, headers={"Cache-Control": "no-store"})
    response.set_cookie(
        sessions.COOKIE,
        token,
        max_age=settings().session_days * 86400,
        path="/",
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


async def end_session(request: Request) -> Response:
    """Sign this browser out."""
    require_same_origin(request)
    await run_in_threadpool(sessions.end, request.cookies.get(sessions.COOKIE))
    response = Response(status_code=HTTPStatus.NO_CONTENT)
    response.delete_cookie(sessions.COOKIE, path="/", httponly=True, samesite="lax")
    return response


async def require_user(request: Request) -> User:
    """Who the cookie belongs to. Raises Unauthorized."""
    user = await run_in_threadpool(sessions.user_for, request.cookies.get(sessions.COOKIE))
    if user is None:
        raise Unauthorized("Sign in first.")
    note_user(request, user)
    return user


def require_same_origin(request: Request) -> None:
    """Raises Forbidden for what another site makes a browser send. Programs without such headers carry no foreign cookies."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    foreign = site not in (None, "same-origin", "none")
    if foreign or (origin is not None and origin.partition("://")[2] != request.headers.get("host")):
        raise Forbidden("This request came from another site.")


site = Starlette(
    routes=[
        Route("/healthz", tell_health),
        Route("/health", tell_health),
        Route("/session/claim", claim_session, methods=["POST"]),
        Route("/session/end", end_session, methods=["POST"]),
    ],
    middleware=[Middleware(LastResort, render=render)],
    exception_handlers=handlers(render),
)
