"""Bytes on their way in, piece by piece, straight to disk.

Rules kept here: a piece must begin where the last one ended; one writer at a time, and one that has fallen
silent is replaced; what the row says has arrived is on the disk (fsync first), so that after a crash the
sender goes on from there; the hash is made on the way, and only what arrived before a restart is read again
for it. Whole files are never in memory.
"""

import hashlib
import os
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core import datasets, storage
from core.clock import now
from core.datasets.rows import display_name
from core.db import num_changed, reading, writing
from core.errors import Conflict, NotFound, ValidationError
from core.people.users import User
from core.readers import kind_of
from core.storage import upload_size
from core.tables import UploadRow
from core.uploads import rows
from core.uploads.values import NewUpload, Source, Upload

SETTLED_BYTES = 8 * 2**20  # so much may have to be sent again after a crash
STALLED_SECONDS = 10.0
_transfers: dict[str, "_Transfer"] = {}
_registry = threading.Lock()


class _Transfer:
    """What this process knows of one upload:
    who may write now, and the hash of its first ``hashed_bytes``."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.writer: Receiver | None = None
        self.wrote_at = 0.0
        self.hash = hashlib.sha256()
        self.hashed_bytes = 0


def begin(user: User, new: NewUpload, *, source: Source = "browser") -> Upload:
    """Announce a file; or go on with the one of this fingerprint,
    which is then returned with the bytes it has.

    Raises UnsupportedMediaType, TooLarge, UnreadableFile (empty), DiskFull, NotFound (the target), Conflict.
    """
    name = display_name(new.filename)
    kind_of(name)
    upload_size.require(new.size_bytes)
    if new.dataset_id:
        datasets.get(user, new.dataset_id)
    with reading() as session:
        known = _find_unfinished(session, user, new, name)
        if known is not None:
            return rows.present(session, known)
    storage.require_space(new.size_bytes)
    sha256 = new.sha256.lower() if new.sha256 else None
    columns = {
        "dataset_id": new.dataset_id,
        "fingerprint": new.fingerprint,
        "size_bytes": new.size_bytes,
        "sha256": sha256,
    }
    with writing() as session:
        row = rows.insert(session, user.id, source=source, filename=name, **columns)
        return rows.present(session, row)


def append(user: User, upload_id: str, *, offset: int, chunk: Path | bytes) -> Upload:
    """Add a piece.

    Raises NotFound, Conflict (not at this offset, or somebody else sends), ValidationError.
    """
    receiver = open_chunk(user, upload_id, offset=offset)
    try:
        if isinstance(chunk, bytes):
            receiver.write(chunk)
        else:
            with chunk.open("rb") as file:
                while piece := file.read(2**20):
                    receiver.write(piece)
    finally:
        receiver.close()
    return receiver.finish()


def open_chunk(user: User, upload_id: str, *, offset: int) -> "Receiver":
    """Become the one who writes, from ``offset`` on.

    Close it whatever happens; ``finish`` says what has arrived.
    """
    with reading() as session:
        row = rows.own(session, user.id, upload_id)
    return Receiver(row, offset)


def drop(upload_id: str) -> None:
    """Forget an upload's transfer and its bytes; a writer finds out at its next piece."""
    with _registry:
        transfer = _transfers.pop(upload_id, None)
    if transfer:
        with transfer.lock:
            transfer.writer = None
    storage.upload_path(upload_id).unlink(missing_ok=True)


class Receiver:
    """One piece of an upload being written. Its methods block; call them from threads."""

    def __init__(self, row: UploadRow, offset: int) -> None:
        self.upload_id, self.user_id, self.size = row.id, row.user_id, row.size_bytes
        self._path = storage.upload_path(row.id)
        with _registry:
            self._transfer = _transfers.setdefault(row.id, _Transfer())
        with self._transfer.lock:
            self._take_over()
            settled = self._settled_bytes()
            if offset != settled:
                raise Conflict(
                    f"The next byte wanted is number {settled}: send the file from offset={settled} on."
                )
            self._file = self._open_at(settled)
            self._settled = self._end = settled
            self._kept = False
            self._transfer.writer, self._transfer.wrote_at = self, time.monotonic()

    @property
    def received_bytes(self) -> int:
        """How much is here, settled or not."""
        return self._end

    def write(self, data: bytes) -> None:
        """Raises Conflict when another writer took over,
        ValidationError when there is more than was announced."""
        with self._transfer.lock:
            self._require_writer()
            if self.size is not None and self._end + len(data) > self.size:
                raise ValidationError.of(
                    "size_bytes", f"the file was announced with {self.size:,} bytes, and more were sent"
                )
            upload_size.require_not_larger(self._end + len(data))
            self._file.write(data)
            self._transfer.hash.update(data)
            self._transfer.wrote_at = time.monotonic()
            self._end += len(data)
            self._transfer.hashed_bytes = self._end
            if self._end - self._settled >= SETTLED_BYTES:
                storage.require_space()
                self._settle()

    def close(self) -> None:
        """Keep what has arrived, and let others write."""
        with self._transfer.lock:
            if self._transfer.writer is self:
                self._transfer.writer = None
                try:
                    self._settle()
                    self._kept = True
                finally:
                    self._file.close()
            else:
                self._file.close()

    def finish(self, *, whole: bool = False) -> Upload:
        """After ``close``: the upload as it is now, received when all of it is here.

        ``whole``: nobody announced its size.
        """
        with self._transfer.lock:
            if self._kept and (whole or self._end == self.size):
                self._require_hash()
                self._mark(
                    state="received", sha256=self._transfer.hash.hexdigest(), size_bytes=self._end, error=None
                )
                with _registry:
                    _transfers.pop(self.upload_id, None)
        with reading() as session:
            return rows.present(session, rows.own(session, self.user_id, self.upload_id))

    def _take_over(self) -> None:
        other = self._transfer.writer
        if other is None:
            return
        if time.monotonic() - self._transfer.wrote_at < STALLED_SECONDS:
            raise Conflict(
                "This file is being sent already, perhaps by another window. Wait until it has arrived."
            )
        self._transfer.writer = None  # its connection is dead; what it had not settled is sent again

    def _settled_bytes(self) -> int:
        """What the row says is here; less when the disk has less, after a power cut."""
        with reading() as session:
            row = rows.own(session, self.user_id, self.upload_id)
        if row.state != "receiving":
            raise Conflict(
                "This file has arrived already."
                if row.state == "received"
                else f"This upload failed: {row.error}"
            )
        held = self._path.stat().st_size if self._path.exists() else 0
        if held < row.received_bytes:
            self._mark(received_bytes=held)
        return min(held, row.received_bytes)

    def _open_at(self, offset: int) -> BinaryIO:
        """The file cut to ``offset``, and the hash of what it holds."""
        file = self._path.open("r+b" if self._path.exists() else "w+b")
        file.truncate(offset)
        transfer = self._transfer
        if transfer.hashed_bytes != offset:
            transfer.hash, transfer.hashed_bytes = _hash_of(file), offset
        file.seek(offset)
        return file

    def _require_writer(self) -> None:
        if self._transfer.writer is not self:
            with reading() as session:
                rows.own(session, self.user_id, self.upload_id)  # cancelled: there is no such upload any more
            raise Conflict("Another transfer of this file took over.")

    def _settle(self) -> None:
        """On the disk first, then in the row."""
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._end != self._settled:
            self._mark(received_bytes=self._end, error=None)
            self._settled = self._end

    def _mark(self, **columns: Any) -> None:
        with writing() as session:
            statement = update(UploadRow).where(
                UploadRow.id == self.upload_id, UploadRow.state == "receiving"
            )
            if not num_changed(session, statement.values(updated_at=now(), **columns)):
                raise NotFound

    def _require_hash(self) -> None:
        with reading() as session:
            announced = rows.own(session, self.user_id, self.upload_id).sha256
        if announced and announced != self._transfer.hash.hexdigest():
            self._path.unlink(missing_ok=True)
            self._mark(
                received_bytes=0,
                error="The bytes that arrived were not those that were sent. Send the file again.",
            )
            raise ValidationError.of(
                "sha256", "is not that of the bytes that arrived; send the file again from offset=0"
            )


def _find_unfinished(session: Session, user: User, new: NewUpload, name: str) -> UploadRow | None:
    if not new.fingerprint:
        return None
    statement = select(UploadRow).where(
        UploadRow.user_id == user.id,
        UploadRow.fingerprint == new.fingerprint,
        UploadRow.size_bytes == new.size_bytes,
        UploadRow.filename == name,
        UploadRow.dataset_id == new.dataset_id if new.dataset_id else UploadRow.dataset_id.is_(None),
        UploadRow.state.in_(("receiving", "received")),
        UploadRow.version_id.is_(None),
    )
    return session.scalar(statement.order_by(UploadRow.created_at.desc()).limit(1))


def _hash_of(file: BinaryIO) -> Any:
    """Only for what arrived before a restart, or before a piece that broke off."""
    digest = hashlib.sha256()
    file.seek(0)
    while piece := file.read(2**20):
        digest.update(piece)
    return digest
