"""Other ways in than sending a file: pasted text, an address, a folder of the server.

Each becomes an upload like any other.

What takes long runs in a thread of its own and tells by the upload's row how far it is; cancelling the upload
ends it. An address is only asked when the admin allows its host (``core.network`` holds the rules), a folder
only when the admin listed it: no symbolic link is followed in it, nothing hidden is shown, and Luthier's own
data never are.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import BinaryIO

from core import datasets, storage
from core.config import settings
from core.datasets.rows import display_name
from core.db import reading, writing
from core.errors import Conflict, LuthierError, NotFound, UnreadableFile, ValidationError
from core.fields import require_clean_text
from core.people.users import User
from core.readers import kind_of
from core.storage import upload_size
from core.tables import UploadRow
from core.uploads import fetching, receiving, rows, server_folders
from core.uploads.values import Entry, NewUpload, Source, Upload

SOON_BYTES = 64 * 2**20  # up to this, a file of the server is taken in within the call
AT_ONCE = 4
_slots = threading.BoundedSemaphore(AT_ONCE)
log = logging.getLogger("luthier.uploads")


def from_text(
    user: User, text: str, *, filename: str = "pasted.csv", dataset_id: str | None = None
) -> Upload:
    """What was pasted, as a file of that name.

    Raises ValidationError, UnreadableFile (empty), TooLarge, NotFound.
    """
    try:
        body = require_clean_text(text).encode()
    except ValueError as error:
        raise ValidationError.of("text", str(error)) from error
    if not text.strip():
        raise UnreadableFile("There is nothing to import: the text is empty.")
    upload = receiving.begin(
        user, NewUpload(filename=filename, size_bytes=len(body), dataset_id=dataset_id), source="text"
    )
    return receiving.append(user, upload.id, offset=0, chunk=body)


def url_allowed() -> bool:
    """Whether any host may be fetched from at all."""
    return bool(settings().url_host_list)


def from_url(user: User, url: str, *, dataset_id: str | None = None) -> Upload:
    """Fetch a file in the background.

    Raises ValidationError when the address is not allowed, NotFound for the target.
    """
    address = fetching.check_address(url)
    upload = _insert(
        user, "url", display_name(address.filename), location=address.text, dataset_id=dataset_id
    )
    _fill_in_background(upload, lambda: fetching.fetch(address))
    return upload


def folders() -> list[str]:
    """The names of the folders that the admin opened for everybody."""
    return [folder.name for folder in server_folders.listed()]


def list_folder(user: User, folder: str, path: str = "") -> list[Entry]:
    """Folders and readable files at ``path`` in one of them, folders first. Raises NotFound."""
    entries = server_folders.entries(folder, path)
    return [Entry(one.name, one.path, one.is_folder, one.size_bytes) for one in entries]


def from_folder(user: User, folder: str, path: str, *, dataset_id: str | None = None) -> Upload:
    """Take a copy of a file of the server; a large one in the background.

    Raises NotFound, UnsupportedMediaType, TooLarge.
    """
    name = display_name(path)
    kind_of(name)
    file = server_folders.open_file(folder, path)
    size = server_folders.size_of(file)
    try:
        upload_size.require(size)
        storage.require_space(size)
        upload = _insert(
            user, "folder", name, location=f"{folder}/{path}", size_bytes=size, dataset_id=dataset_id
        )
    except BaseException:  # raised again: nobody else could close the file
        file.close()
        raise
    fetched = fetching.Fetched(name, size, _pieces_of(file), file.close)
    if size > SOON_BYTES:
        _fill_in_background(upload, lambda: fetched)
        return upload
    _fill(upload, lambda: fetched)
    with reading() as session:
        return rows.present(session, rows.own(session, user.id, upload.id))


def _insert(
    user: User,
    source: Source,
    name: str,
    *,
    location: str,
    size_bytes: int | None = None,
    dataset_id: str | None = None,
) -> Upload:
    if dataset_id:
        datasets.get(user, dataset_id)
    with writing() as session:
        columns = {
            "source": source,
            "filename": name,
            "location": location,
            "size_bytes": size_bytes,
            "dataset_id": dataset_id,
        }
        return rows.present(session, rows.insert(session, user.id, **columns))


def _pieces_of(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(2**20):
        yield piece


def _fill_in_background(upload: Upload, open_source: Callable[[], fetching.Fetched]) -> None:
    def run() -> None:
        with _slots:
            _fill(upload, open_source)

    threading.Thread(target=run, daemon=True, name=f"fetch-{upload.id}").start()


def _fill(upload: Upload, open_source: Callable[[], fetching.Fetched]) -> None:
    """The outermost loop of a fetch: whatever happens, the row says it."""
    try:
        _pour(upload, open_source())
    except (NotFound, Conflict):
        receiving.drop(upload.id)  # cancelled meanwhile
    except LuthierError as error:
        _fail(upload.id, error.message)
    except Exception:  # outermost loop of this thread: the upload must not stay "receiving"
        log.exception("fetching %s", upload.id)
        _fail(upload.id, "The fetch was stopped before its end. Start it again.")


def _pour(upload: Upload, fetched: fetching.Fetched) -> None:
    with closing(fetched):
        _learn(upload.id, fetched)
        with reading() as session:
            row = session.get(UploadRow, upload.id)
        if row is None:
            raise NotFound
        receiver = receiving.Receiver(row, 0)
        try:
            for piece in fetched.pieces:
                receiver.write(piece)
        finally:
            receiver.close()
        if fetched.size_bytes is not None and receiver.received_bytes != fetched.size_bytes:
            raise UnreadableFile("The transfer broke off before all of it was here. Start it again.")
        if not receiver.received_bytes:
            raise UnreadableFile("The file is empty.")
        receiver.finish(whole=True)


def _learn(upload_id: str, fetched: fetching.Fetched) -> None:
    """What the other side says of the file: its name, which must be of a readable kind, and its size."""
    name = display_name(fetched.filename)
    kind_of(name)
    if fetched.size_bytes is not None:
        upload_size.require_not_larger(fetched.size_bytes)
        storage.require_space(fetched.size_bytes)
    with writing() as session:
        row = session.get(UploadRow, upload_id)
        if row is None:
            raise NotFound
        row.filename, row.size_bytes = name, fetched.size_bytes


def _fail(upload_id: str, message: str) -> None:
    with writing() as session:
        row = session.get(UploadRow, upload_id)
        if row is not None and row.state == "receiving":
            row.state, row.error, row.received_bytes = "failed", message, 0
    receiving.drop(upload_id)
