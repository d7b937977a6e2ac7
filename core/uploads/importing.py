"""From an upload that was looked at to a dataset, or to the next version of one.

The bytes are handed over as a second name of the same file, so that an import that fails takes nothing away:
the upload waits on, says why, and can be tried with other options. It goes when its version is ready.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import delete as sql_delete
from sqlalchemy import select
from sqlalchemy import update as sql_update

from core import datasets, storage
from core.clock import now
from core.datasets import Dataset, IngestOptions, NewDataset, Version, removing
from core.db import reading, writing
from core.errors import Conflict, TooLarge, UnreadableFile, UnsupportedMediaType
from core.fields import parse
from core.people.users import User
from core.tables import DatasetVersionRow, UploadRow
from core.uploads import receiving, waiting
from core.uploads.values import Upload

_busy: set[str] = set()
_registry = threading.Lock()


def commit(
    user: User,
    upload_id: str,
    *,
    name: str | None = None,
    description: str = "",
    format: str = "auto",
    options: IngestOptions | None = None,
    note: str = "",
    append: bool = False,
) -> Dataset | Version:
    """Import what has arrived, as what it was begun for: a new dataset, or the next version of its target.

    Without ``options`` those in force count (``waiting.chosen``). Raises NotFound, Conflict (not here yet, or
    being imported), and all that the making of a dataset raises; the upload is then still there.
    """
    target = waiting.get(user, upload_id).dataset_id
    if target:
        return commit_version(user, upload_id, target, options=options, note=note, append=append)
    new = parse(NewDataset, name=name, description=description, format=format)
    return commit_dataset(user, upload_id, new, options=options)


def commit_dataset(
    user: User, upload_id: str, new: NewDataset, *, options: IngestOptions | None = None
) -> Dataset:
    """Import it as a new dataset, whatever it was begun for."""
    with _importing(user, upload_id) as upload:
        new = new.model_copy(update={"options": options or waiting.chosen(user, upload_id).options})
        dataset = datasets.create(
            user, new, file=_second_name(upload), filename=upload.filename, sha256=upload.sha256
        )
        _hand_over(upload, dataset.id, None if dataset.status == "ready" else _newest(dataset.id))
        return dataset


def commit_version(
    user: User,
    upload_id: str,
    dataset_id: str,
    *,
    options: IngestOptions | None = None,
    note: str = "",
    append: bool = False,
) -> Version:
    """Import it as the next version of a dataset: in place of its rows, or behind them."""
    with _importing(user, upload_id) as upload:
        datasets.get(user, dataset_id)
        chosen = options or waiting.chosen(user, upload_id).options
        file = _second_name(upload)
        make = datasets.append_rows if append else datasets.add_version
        version = make(
            user,
            dataset_id,
            file=file,
            filename=upload.filename,
            options=chosen,
            note=note,
            sha256=upload.sha256,
        )
        _hand_over(upload, dataset_id, None if version.status == "ready" else version.id)
        return version


@contextmanager
def _importing(user: User, upload_id: str) -> Iterator[Upload]:
    """One import of an upload at a time; what goes wrong is told by the upload as well."""
    upload = waiting.require_received(user, upload_id)
    with _registry:
        if upload_id in _busy:
            raise Conflict("This upload is being imported already.")
        _busy.add(upload_id)
    try:
        if upload.version_id:  # the try before this one failed, perhaps in a dataset of its own
            removing.forget_failed(upload.version_id)
        yield upload
    except (UnreadableFile, TooLarge, UnsupportedMediaType) as error:
        _tell(upload_id, error.message)
        raise
    finally:
        with _registry:
            _busy.discard(upload_id)


def _second_name(upload: Upload) -> Path:
    file = storage.new_staging_path()
    storage.link(storage.upload_path(upload.id), file)
    return file


def _hand_over(upload: Upload, dataset_id: str, version_id: str | None) -> None:
    """The upload goes now, or when the version that is still being made of it is ready."""
    with writing() as session:
        if version_id is not None:
            remembered = sql_update(UploadRow).where(UploadRow.id == upload.id)
            session.execute(remembered.values(version_id=version_id, error=None, updated_at=now()))
            return
        session.execute(sql_delete(UploadRow).where(UploadRow.id == upload.id))
    receiving.drop(upload.id)


def _newest(dataset_id: str) -> str | None:
    version = DatasetVersionRow
    with reading() as session:
        return session.scalar(
            select(version.id)
            .where(version.dataset_id == dataset_id)
            .order_by(version.number.desc())
            .limit(1)
        )


def _tell(upload_id: str, message: str) -> None:
    with writing() as session:
        session.execute(
            sql_update(UploadRow).where(UploadRow.id == upload_id).values(error=message, updated_at=now())
        )
