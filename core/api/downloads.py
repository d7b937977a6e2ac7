"""A dataset's content or a job's log as a file to save. The browser never shows it: always an attachment, never sniffed."""

from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote

from pydantic import ConfigDict, Field
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from core import datasets
from core.datasets import Content, View, views
from core.fields import Input, parse
from core.users import User


class Download(Input):
    """``as=`` of an address."""

    model_config = ConfigDict(populate_by_name=True)

    form: Literal["original", "parquet", "csv", "jsonl", "rejects"] = Field("original", alias="as")


def content_of(user: User, dataset_id: str, query: Mapping[str, str]) -> Content:
    """What ``?version=&as=`` asks for; with ``where``, ``sort``, ``q``, ``cols`` or ``finding`` only the rows of that view."""
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
    return StreamingResponse(content.chunks, headers=headers, media_type=content.media_type)


def disposition(filename: str) -> str:
    """RFC 6266: an ASCII name for old clients, the real one for the others."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
