"""What ``core.uploads`` takes and hands out."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from core.fields import Input
from core.readers import IngestOptions

Source = Literal["browser", "api", "text", "url", "folder"]


class NewUpload(Input):
    """A file that is about to be sent in pieces."""

    filename: str = Field(max_length=1000, description="Its suffix says what kind of file it is.")
    size_bytes: int = Field(ge=0, description="How long the whole file is.")
    dataset_id: str | None = Field(
        None, description="The dataset it is to be the next version of. Empty: a new dataset."
    )
    fingerprint: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="How the sender knows the file again: the same one goes on where it stopped.",
    )
    sha256: str | None = Field(
        None, pattern=r"^[0-9a-fA-F]{64}$", description="Of the whole file; checked when all has arrived."
    )


@dataclass(frozen=True)
class Upload:
    """A file on its way in (``receiving``), here and waiting
    for a decision (``received``), or not to be had (``failed``).

    ``same_as`` names a version of the same user that was made of the same bytes: {"dataset_id", "version_id",
    "version", "name"}. ``version_id`` is the version that is being made of it; the upload goes when that is
    ready, and is back when it failed.
    """

    id: str
    dataset_id: str | None  # the dataset it is to be the next version of
    source: str  # browser, api, text, url or folder
    state: str
    filename: str
    location: str | None  # the address or the path on the server that it came from
    size_bytes: int | None  # as announced; None while nobody knows
    received_bytes: int  # that lie on the disk
    sha256: str | None  # of the whole file
    options: dict[str, Any]  # chosen so far in the review
    error: str | None
    version_id: str | None
    is_importing: bool
    is_moving: bool  # bytes came within the last seconds
    same_as: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Chosen:
    """The options in force, and the version of the target dataset they were taken from, if they were."""

    options: IngestOptions
    from_version: int | None = None


@dataclass(frozen=True)
class Entry:
    """A file or a folder inside a folder of the server.

    ``path`` leads there from the folder the admin listed.
    """

    name: str
    path: str
    is_folder: bool
    size_bytes: int = 0
