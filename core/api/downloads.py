"""A dataset's content or a job's log as a file to save. The browser never shows it: always an attachment, never sniffed."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from core.datasets import Content


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
