"""A dataset's content, a job's log or an export as a file to save.

The browser never shows it: an attachment, never sniffed.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Literal
from urllib.parse import quote

from anyio import CancelScope
from pydantic import ConfigDict, Field
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from core import datasets
from core.datasets import Content, View, views
from core.exports import ExportFile
from core.fields import Input, parse
from core.fine_tuning import RunFile
from core.fine_tuning.run.files import Form
from core.people.users import User


class Download(Input):
    """``as=`` of an address."""

    model_config = ConfigDict(populate_by_name=True)

    form: Literal["original", "parquet", "csv", "jsonl", "rejects"] = Field("original", alias="as")


class RunForm(Input):
    """``as=`` of the address of a run."""

    model_config = ConfigDict(populate_by_name=True)

    form: Form = Field("ipynb", alias="as")


def content_of(user: User, dataset_id: str, query: Mapping[str, str]) -> Content:
    """What ``?version=&as=`` asks for; with ``where``, ``sort``,
    ``q``, ``cols`` or ``finding`` only the rows of that view."""
    form = parse(Download, **{"as": query["as"]} if "as" in query else {}).form
    view = views.from_query(query)
    if view == View(version=view.version):
        return datasets.open_content(user, dataset_id, version=view.version, as_=form)
    return datasets.open_view(user, dataset_id, view, as_=form)


def send_content(content: Content, request: Request) -> Response:
    """The file as it lies there, or the rows in another format as they are made."""
    headers = {"Content-Disposition": disposition(content.filename), "Cache-Control": "private, no-store"}
    if request.method == "HEAD" or "luthier.head" in request.scope:
        return Response(headers=headers, media_type=content.media_type)
    if content.path is not None:
        return FileResponse(content.path, headers=headers, media_type=content.media_type)
    return StreamingResponse(
        closed_at_the_end(content.chunks), headers=headers, media_type=content.media_type
    )


def send_export(file: ExportFile, request: Request) -> Response:
    """The file as it lies there, whole or in ranges: it may be larger than a connection lives."""
    headers = {"Content-Disposition": disposition(file.filename), "Cache-Control": "private, no-store"}
    media_type = "application/zip" if file.filename.endswith(".zip") else "application/octet-stream"
    if "luthier.head" in request.scope:
        return Response(
            headers=headers | {"Content-Length": str(file.path.stat().st_size)}, media_type=media_type
        )
    return FileResponse(file.path, headers=headers, media_type=media_type)


async def closed_at_the_end(chunks: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Whatever ends the stream, what made the rows closes its files:
    a plain generator would keep them open."""
    try:
        async for chunk in iterate_in_threadpool(chunks):
            yield chunk
    finally:
        with CancelScope(shield=True):
            await run_in_threadpool(getattr(chunks, "close", lambda: None))


def send_report(report: RunFile) -> Response:
    """A run as a file."""
    headers = {"Content-Disposition": disposition(report.filename), "Cache-Control": "private, no-store"}
    return Response(report.content, headers=headers, media_type=report.media_type)


def address_of(request: Request) -> str:
    """Where this server was reached: ``http://host:port``."""
    return f"{request.url.scheme}://{request.url.netloc}"


def disposition(filename: str) -> str:
    """RFC 6266: an ASCII name for old clients, the real one for the others."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
