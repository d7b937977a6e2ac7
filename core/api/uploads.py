"""Files on their way in: straight from the network into the staging folder, with the size watched on the way.

Two shapes: a piece of an upload as a raw body, for pages and ``/api``, which goes to where its upload lies;
and a whole file as ``multipart/form-data`` for ``/api``, which is staged and deleted unless a service has
taken it over. Neither is held in memory or in the system's temporary folder.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from anyio import CancelScope
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from core import storage, uploads
from core.errors import BadRequest, TooLarge, Unavailable, ValidationError
from core.fields import require_clean_text
from core.people.users import User
from core.storage import upload_size
from core.uploads import Upload

MAX_FIELD_BYTES = 2**20
MAX_PARTS = 50  # fields and files, also those that are read over and those with one name
OVERHEAD_BYTES = 2**20  # a multipart body is a little longer than its file
FLUSH_BYTES = 2**20


@dataclass
class Form:
    """A multipart form: its text fields, and its file when there is one."""

    fields: dict[str, str] = field(default_factory=dict)
    file: Path | None = None
    filename: str = ""
    file_bytes: int = 0
    sha256: str = ""

    def require_file(self) -> Path:
        if self.file is None:
            raise ValidationError.of("file", "is required")
        return self.file


async def receive_chunk(request: Request, user: User, upload_id: str, *, offset: int) -> Upload:
    """A raw body as the next piece of an upload. What has arrived is kept when the connection breaks.

    Raises what ``core.uploads.open_chunk`` and its ``write`` raise, TooLarge, DiskFull, or BadRequest when it
    was cut off.
    """
    _require_room(request)
    receiver = await run_in_threadpool(uploads.open_chunk, user, upload_id, offset=offset)
    try:
        await _pour(request, receiver.write)
    finally:
        # the server stops, or the client has left: the bytes are here all the same
        with CancelScope(shield=True):
            await run_in_threadpool(receiver.close)
    return await run_in_threadpool(receiver.finish)


async def _pour(request: Request, write: Callable[[bytes], None]) -> None:
    waiting = bytearray()
    try:
        async for chunk in _chunks(request):
            waiting += chunk
            if len(waiting) >= FLUSH_BYTES:
                data, waiting = bytes(waiting), bytearray()
                await run_in_threadpool(write, data)
    except (BadRequest, Unavailable):  # cut off, by the client or by a server that stops
        await run_in_threadpool(write, bytes(waiting))
        raise
    await run_in_threadpool(write, bytes(waiting))


@asynccontextmanager
async def receive_form(request: Request) -> AsyncIterator[Form]:
    """A multipart form with at most one file, which must be called ``file``."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise BadRequest("Send the file as multipart/form-data, in the part called file.")
    _require_room(request)
    path = storage.new_staging_path()
    try:
        with path.open("wb") as file:
            reader = _FormReader(options[b"boundary"], path, _Sink(file))
            async for chunk in _chunks(request):
                await reader.take(chunk)
            form = await reader.finish()
        yield form
    finally:
        path.unlink(missing_ok=True)


class _Sink:
    """Writes in a thread once enough has come together, and counts."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._waiting, self.total, self.hash = file, bytearray(), 0, hashlib.sha256()

    def hold(self, data: bytes) -> None:
        self._waiting += data
        self.total += len(data)
        upload_size.require_not_larger(self.total)

    async def flush_when_full(self) -> None:
        if len(self._waiting) >= FLUSH_BYTES:
            await self.flush()

    async def flush(self) -> None:
        data, self._waiting = bytes(self._waiting), bytearray()
        await run_in_threadpool(self._keep, data)

    def _keep(self, data: bytes) -> None:
        self.hash.update(data)
        self._file.write(data)
        self._file.flush()


class _FormReader:
    """Feeds python-multipart's parser, whose callbacks come with pieces of the part they belong to."""

    def __init__(self, boundary: bytes, path: Path, sink: _Sink) -> None:
        self._form, self._path, self._sink = Form(), path, sink
        self._header, self._value = bytearray(), bytearray()
        self._name, self._text, self._text_bytes = "", bytearray(), 0
        self._filename: str | None = None
        self._ended = False
        self._num_parts = 0
        try:
            self._parser = MultipartParser(boundary, self._callbacks())
        except FormParserError as error:  # too long
            raise BadRequest("The boundary of this form cannot be used.") from error

    async def take(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise BadRequest("The form is not valid multipart/form-data.") from error
        await self._sink.flush_when_full()

    async def finish(self) -> Form:
        if not self._ended:
            raise BadRequest("The form ends in the middle. Send it again.")
        await self._sink.flush()
        self._form.file_bytes, self._form.sha256 = self._sink.total, self._sink.hash.hexdigest()
        return self._form

    def _callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_part_data": lambda data, start, end: self._add(data[start:end]),
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        self._name, self._filename, self._text = "", None, bytearray()
        self._num_parts += 1
        if self._num_parts > MAX_PARTS:
            raise BadRequest("The form has too many fields.")

    def _end_header(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
            filename = options.get(b"filename")
            self._filename = None if filename is None else filename.decode("utf-8", "replace")
        self._header, self._value = bytearray(), bytearray()

    def _add(self, data: bytes) -> None:
        if self._filename is not None:
            if self._form.file is None and self._name == "file":
                self._sink.hold(data)
            return  # a file under another name is read over, a second one under this name refused at its end
        self._text += data
        self._text_bytes += len(data)
        if self._text_bytes > MAX_FIELD_BYTES:
            raise TooLarge("The text fields of this form are too long.")

    def _end_part(self) -> None:
        if self._filename is None:
            self._form.fields[self._name] = _decode(self._name, self._text)
        elif self._name == "file":
            if self._form.file is not None:
                raise BadRequest("Send one file at a time: each becomes a dataset or a version of its own.")
            self._form.file, self._form.filename = self._path, self._filename

    def _end(self) -> None:
        self._ended = True


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            if chunk:
                yield chunk
    except ClientDisconnect as error:
        raise BadRequest("The upload was cut off. Send it again.") from error


def _require_room(request: Request) -> None:
    """Refuse what is announced as too large before reading it."""
    stated = request.headers.get("content-length", "")
    length = int(stated) if stated.isdecimal() else 0
    upload_size.require_not_larger(length - OVERHEAD_BYTES)
    storage.require_space(length)


def _decode(name: str, text: bytearray) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"The field {name} is not valid UTF-8.") from error


def read_object(text: str | None, field: str) -> dict[str, Any]:
    """An object that comes as JSON text in a form or an address; {} when there is none."""
    value = read_json(text, field) if text else {}
    if not isinstance(value, dict):
        raise ValidationError.of(field, "must be an object")
    return value


def read_json(text: str, field: str) -> Any:
    try:
        return require_clean_text(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise ValidationError.of(field, "is not valid JSON") from error
