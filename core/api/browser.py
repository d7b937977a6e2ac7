"""What the pages' own scripts fetch with the session cookie:
sign-in, sign-out, uploads and downloads; and the health check.

The cookie is sent by the browser on its own, so every write checks that the request comes from our own pages.
"""

from functools import cache
from http import HTTPStatus

import anyio
import anyio.to_thread
from pydantic import Field, TypeAdapter
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core import datasets, db, exports, fine_tuning, uploads
from core.api import downloads
from core.api.deps import JsonRequest, note_user
from core.api.errors import render
from core.api.last_resort import LastResort, handlers
from core.api.uploads import receive_chunk
from core.config import settings
from core.errors import BadRequest, DatabaseAway, Forbidden, Unauthorized
from core.fields import Input, parse
from core.people import sessions
from core.people.users import User
from core.uploads import NewUpload, Upload

HEALTH_SECONDS = 5.0  # a database that has not answered by then is away


def owns(path: str) -> bool:
    return path in ("/healthz", "/health", "/uploads") or path.startswith(
        ("/session/", "/download/", "/uploads/")
    )


class Piece(Input):
    """Where a piece of an upload belongs."""

    offset: int = Field(ge=0, le=2**50)


async def tell_health(request: Request) -> Response:
    """503 while the database cannot be reached. Asked without a token, so it says nothing else."""
    with anyio.move_on_after(HEALTH_SECONDS):
        # of its own threads: those that wait for a database are not taken from other requests
        await anyio.to_thread.run_sync(db.require_there, abandon_on_cancel=True, limiter=_health_threads())
        return JSONResponse({"status": "ok"})
    raise DatabaseAway


@cache
def _health_threads() -> anyio.CapacityLimiter:
    return anyio.CapacityLimiter(2)


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


async def begin_upload(request: Request) -> Response:
    """``POST /uploads`` with what ``core.uploads.NewUpload`` takes:
    a file will be sent in pieces, or goes on where it stopped."""
    user = await require_user(request)
    require_same_origin(request)
    body = await JsonRequest(request.scope, request.receive).json()
    if not isinstance(body, dict):
        raise BadRequest("Send an object.")
    return _present(await run_in_threadpool(uploads.begin, user, parse(NewUpload, **body)), status=201)


async def tell_upload(request: Request) -> Response:
    """``GET /uploads/{upload_id}``: how much of it has arrived."""
    user = await require_user(request)
    return _present(await run_in_threadpool(uploads.get, user, request.path_params["upload_id"]))


async def append_to_upload(request: Request) -> Response:
    """``PUT /uploads/{upload_id}?offset=N`` with the bytes from there on as the raw body."""
    user = await require_user(request)
    require_same_origin(request)
    piece = parse(Piece, **request.query_params)
    return _present(await receive_chunk(request, user, request.path_params["upload_id"], offset=piece.offset))


async def cancel_upload(request: Request) -> Response:
    """``DELETE /uploads/{upload_id}``"""
    user = await require_user(request)
    require_same_origin(request)
    await run_in_threadpool(uploads.cancel, user, request.path_params["upload_id"])
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _present(upload: Upload, status: int = 200) -> Response:
    body = TypeAdapter(Upload).dump_json(upload)
    return Response(
        body, status_code=status, media_type="application/json", headers={"Cache-Control": "no-store"}
    )


async def send_dataset(request: Request) -> Response:
    """``/download/{dataset_id}?version=&as=``, and the parameters of a view: an attachment."""
    user = await require_user(request)
    content = await run_in_threadpool(
        downloads.content_of, user, request.path_params["dataset_id"], request.query_params
    )
    return downloads.send_content(content, request)


async def send_changes(request: Request) -> Response:
    """``/download/changes?from=&to=&key=&match=``: all differences between two versions (ids); ``key`` may be
    given several times, ``match=row`` lets rows meet by their numbers."""
    user, query = await require_user(request), request.query_params
    content = await run_in_threadpool(
        datasets.open_diff,
        user,
        query.get("from", ""),
        query.get("to", ""),
        key=query.getlist("key"),
        by_row=query.get("match") == "row",
    )
    return downloads.send_content(content, request)


async def send_log(request: Request) -> Response:
    """``/download/job/{job_id}/log``"""
    user = await require_user(request)
    path = await run_in_threadpool(fine_tuning.log_path, user, request.path_params["job_id"])
    headers = {
        "Content-Disposition": downloads.disposition(f"{request.path_params['job_id']}.log"),
        "Cache-Control": "no-store",
    }
    # not as a file: it may grow while it is sent
    text = await run_in_threadpool(path.read_bytes) if path.exists() else b""
    return Response(text, media_type="text/plain", headers=headers)


async def send_export(request: Request) -> Response:
    """``/download/export/{export_id}``: a model's export."""
    user = await require_user(request)
    file = await run_in_threadpool(exports.open_export, user, request.path_params["export_id"])
    return downloads.send_export(file, request)


async def send_report(request: Request) -> Response:
    """``/download/job/{job_id}/report?as=``: the run as a notebook, as plain files or for TensorBoard."""
    user = await require_user(request)
    form = parse(
        downloads.RunForm, **{"as": request.query_params["as"]} if "as" in request.query_params else {}
    ).form
    address = downloads.address_of(request)
    return downloads.send_report(
        await run_in_threadpool(
            fine_tuning.open_report, user, request.path_params["job_id"], form, address=address
        )
    )


async def require_user(request: Request) -> User:
    """Who the cookie belongs to. Raises Unauthorized."""
    user = await run_in_threadpool(sessions.user_for, request.cookies.get(sessions.COOKIE))
    if user is None:
        raise Unauthorized("Sign in first.")
    note_user(request, user)
    return user


def require_same_origin(request: Request) -> None:
    """Raises Forbidden for what another site makes a browser send.

    Programs without such headers carry no foreign cookies.
    """
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
        Route("/uploads", begin_upload, methods=["POST"]),
        Route("/uploads/{upload_id}", tell_upload),
        Route("/uploads/{upload_id}", append_to_upload, methods=["PUT"]),
        Route("/uploads/{upload_id}", cancel_upload, methods=["DELETE"]),
        Route("/download/job/{job_id}/log", send_log),
        Route("/download/job/{job_id}/report", send_report),
        Route("/download/export/{export_id}", send_export),
        Route("/download/changes", send_changes),
        Route("/download/{dataset_id}", send_dataset),
    ],
    middleware=[Middleware(LastResort, render=render)],
    exception_handlers=handlers(render),
)
