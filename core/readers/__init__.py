"""The readers of uploads: a literal registry by file suffix.

To add a kind of file: one module with ``read(task) -> Reading``, one line in ``READERS``. Modules are
imported when they are needed, because the converter is a short-lived process whose start the user waits for.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePosixPath

from core.errors import UnsupportedMediaType
from core.readers.base import Cancelled, Read, Reading, ReadTask, WorkProgress
from core.readers.options import TYPES, IngestOptions

__all__ = [
    "READERS",
    "TEXTS",
    "TYPES",
    "Cancelled",
    "FileKind",
    "IngestOptions",
    "ReadTask",
    "Reading",
    "WorkProgress",
    "kind_of",
    "reader_for",
]

READERS = {
    ".csv": "delimited",
    ".tsv": "delimited",
    ".txt": "delimited",
    ".json": "json_lines",
    ".jsonl": "json_lines",
    ".ndjson": "json_lines",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".xlsx": "excel",
    ".xls": "excel",
}
# readable line by line
TEXTS = tuple(suffix for suffix, reader in READERS.items() if reader in ("delimited", "json_lines"))
COMPRESSIONS = (".gz", ".zst", ".zip")


@dataclass(frozen=True)
class FileKind:
    """What a file name promises. ``suffix`` is empty for a zip, whose member tells."""

    stem: str
    suffix: str
    compression: str


def kind_of(filename: str) -> FileKind:
    """Raises UnsupportedMediaType for a name none of the readers takes."""
    name = PurePosixPath(filename)
    compression = name.suffix.lower() if name.suffix.lower() in COMPRESSIONS else ""
    inner = PurePosixPath(name.stem) if compression else name
    suffix = inner.suffix.lower()
    if suffix in READERS:
        return FileKind(inner.stem, suffix, compression)
    if compression == ".zip":
        return FileKind(inner.name, "", compression)
    raise UnsupportedMediaType


def reader_for(suffix: str) -> Read:
    read: Read = import_module(f"core.readers.{READERS[suffix]}").read
    return read
