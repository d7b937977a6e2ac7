"""What comes before any reader: a DuckDB that minds its manners,
and one plain file out of whatever was uploaded."""

import codecs
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from core import hardware
from core.config import settings
from core.errors import UnsupportedMediaType
from core.readers import TEXTS, kind_of
from core.readers.base import IngestOptions, WorkProgress, literal
from core.readers.text import require_kind
from core.readers.unpack import WantedMember, unpack

MEMORY_MB = 768
THREADS = 4
LONGEST_LINE = 64 * 2**20


@dataclass(frozen=True)
class Opened:
    """A plain file and its kind.

    ``found``: what an archive holds. ``is_head``: the rest of it was left out.
    """

    path: Path
    suffix: str
    found: dict[str, object] = field(default_factory=dict)
    is_head: bool = False


def configure(connection: duckdb.DuckDBPyConnection, work: Path, *, memory_mb: int = MEMORY_MB) -> None:
    """Bounded memory and disk, nothing loaded from elsewhere, and progress that can be asked for."""
    for setting in (
        f"memory_limit = '{memory_mb}MB'",
        f"threads = {hardware.cores(at_most=THREADS)}",
        f"temp_directory = {literal(str(work / 'spill'))}",
        f"max_temp_directory_size = '{settings().max_expanded_mb}MB'",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "enable_progress_bar = true",  # query_progress() is silent without these three
        "enable_progress_bar_print = false",
        "progress_bar_time = 0",
        "TimeZone = 'UTC'",
    ):
        connection.execute(f"SET {setting}")


def open_plain(
    staged: Path,
    filename: str,
    work: Path,
    *,
    options: IngestOptions,
    progress: WorkProgress,
    head: int | None = None,
) -> Opened:
    """The file to read.

    ``head``: it is only a look, for which so many bytes of a text, and the first table of a zip, will do.
    """
    kind = kind_of(filename)
    path, suffix, facts, is_cut = staged, kind.suffix, dict[str, object](), False
    if kind.compression:
        require_kind(staged, kind.compression)
        path = work / "plain"
        wanted = WantedMember(
            options.member, first=head is not None, head=head if kind.suffix in ("", *TEXTS) else None
        )
        unpacked = unpack(staged, kind.compression, path, wanted=wanted, progress=progress)
        is_cut = unpacked.is_cut
        if unpacked.member is not None:
            inside = kind_of(unpacked.member)
            if inside.compression:
                raise UnsupportedMediaType("The archive holds another archive. Upload the file inside it.")
            suffix = inside.suffix
            facts = {"member": unpacked.member, "members": list(unpacked.members)}
    require_kind(path, suffix)
    if head is not None and suffix in TEXTS and (is_cut or path.stat().st_size > head):
        return _head_of(path, suffix, work / "head", facts, head, is_cut=is_cut)
    return Opened(path, suffix, facts)


def _head_of(
    path: Path, suffix: str, target: Path, found: dict[str, object], size: int, *, is_cut: bool
) -> Opened:
    """The whole lines at its beginning.

    A file without line ends is taken as it is, unless that would be too much.
    """
    with path.open("rb") as file:
        head = file.read(size)
    width = 2 if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or head[:4].count(0) == 2 else 1
    ends = (
        b"\n" if width == 1 else b"\n\0" if head[1] == 0 or head.startswith(codecs.BOM_UTF16_LE) else b"\0\n"
    )
    at = head.rfind(ends)
    while at > 0 and at % width:
        at = head.rfind(ends, 0, at)
    if at <= 0 and not is_cut and path.stat().st_size <= LONGEST_LINE:
        return Opened(path, suffix, found)
    if at <= 0:
        head = head.rstrip(bytes(range(128, 256)))  # not inside a letter
    target.write_bytes(head[: at + width] if at > 0 else head)
    return Opened(target, suffix, found, is_head=True)
