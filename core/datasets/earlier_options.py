"""The next file of a dataset is read as its newest upload was,
unless options are given; and the answer says so."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from core.datasets import rows, same_bytes
from core.db import reading, writing
from core.errors import UnreadableFile, ValidationError
from core.people.users import User
from core.readers import IngestOptions
from core.tables import DatasetVersionRow


def choose(user: User, dataset_id: str, options: IngestOptions | None) -> tuple[dict[str, Any], int | None]:
    """Options to store, and the number of the version they are taken
    from, if any was read in a chosen way."""
    with reading() as session:
        rows.own(session, user.id, dataset_id)
        upload = rows.newest_upload(session, dataset_id) if options is None else None
    if upload is None:
        return (options or IngestOptions()).model_dump(), None
    reused = same_bytes.options_of(upload)
    return reused.model_dump(), upload.number if reused != IngestOptions() else None


@contextmanager
def blaming(earlier: int | None) -> Iterator[None]:
    """An error about a file that was read as an earlier one was says so:
    nobody chose these options for it."""
    try:
        yield
    except (UnreadableFile, ValidationError) as error:
        if earlier is not None:
            error.message += f" {_reuse(earlier)} Give other options, or {{}} to have them detected."
            error.args = (error.message,)
        raise


def note(version_id: str, earlier: int) -> None:
    """Says so on the version; one that is still being made shows the options alone."""
    with writing() as session:
        row = session.get(DatasetVersionRow, version_id)
        if row is not None and row.status == "ready":
            notes = [*(row.detected or {}).get("notes", []), _reuse(earlier)]
            row.detected = {**(row.detected or {}), "notes": notes}


def _reuse(earlier: int) -> str:
    return f"Read with the options of version {earlier}."
