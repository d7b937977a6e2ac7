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

from core import datasets, fine_tuning, sessions
from core.api import downloads, uploads
from core.api.deps import JsonRequest, note_user
from core.api.errors import render
from core.api.last_resort import LastResort, handlers
from core.api.uploads import read_object
from core.config import settings
from core.datasets import IngestOptions, NewDataset
from core.errors import BadRequest, Forbidden, Unauthorized
from core.fields import parse
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


async def take_upload(request: Request) -> Response:
    """``/upload?name=&dataset_id=&options=`` with the file as the raw body: a new dataset, or a version of one."""
    user = await require_user(request)
    require_same_origin(request)
    asked, name = request.query_params, request.query_params.get("name", "")
    options = parse(IngestOptions, **read_object(asked.get("options"), "options"))
    if dataset_id := asked.get("dataset_id"):
        await run_in_threadpool(datasets.get, user, dataset_id)  # before the file is read
    async with uploads.receive_body(request) as file:
        if dataset_id:
            version = await run_in_threadpool(
                datasets.add_version, user, dataset_id, file=file, filename=name, note=asked.get("note", ""), options=options
            )
            made: dict[str, str | None] = {"dataset_id": version.dataset_id, "version_id": version.id, "status": version.status}
        else:
            dataset = await run_in_threadpool(datasets.create, user, NewDataset(options=options), file=file, filename=name)
            made = {"dataset_id": dataset.id, "version_id": dataset.latest_version_id, "status": dataset.status}
    return JSONResponse(made, status_code=201)


async def send_dataset(request: Request) -> Response:
    """``/download/{dataset_id}?version=&as=``, and the parameters of a view: an attachment."""
    user = await require_user(request)
    content = await run_in_threadpool(downloads.content_of, user, request.path_params["dataset_id"], request.query_params)
    return downloads.send_content(content, request)


async def send_log(request: Request) -> Response:
    """``/download/job/{job_id}/log``"""
    user = await require_user(request)
    path = await run_in_threadpool(fine_tuning.log_path, user, request.path_params["job_id"])
    headers = {"Content-Disposition": downloads.disposition(f"{request.path_params['job_id']}.log"), "Cache-Control": "no-store"}
    text = await run_in_threadpool(path.read_bytes) if path.exists() else b""  # not as a file: it may grow while it is sent
    return Response(text, media_type="text/plain", headers=headers)


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
        Route("/upload", take_upload, methods=["POST", "PUT"]),
        Route("/download/job/{job_id}/log", send_log),
        Route("/download/{dataset_id}", send_dataset),
    ],
    middleware=[Middleware(LastResort, render=render)],
    exception_handlers=handlers(render),
)
