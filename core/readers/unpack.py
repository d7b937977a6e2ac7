"""From an upload to one plain file: .gz, .zst and .zip, opened with a cap on what comes out.

Declared sizes are not believed (a zip's can lie): the bytes are counted as they come, against the configured
limit and the free disk. An archive that is cut off, damaged or locked is refused with a sentence that says
so; of several tables the user chooses one.
"""

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from core import storage
from core.config import settings
from core.errors import TooLarge, UnreadableFile, UnsupportedMediaType, ValidationError
from core.readers import READERS, TEXTS
from core.readers.base import WorkProgress

CHUNK = 1 << 20
ZSTD_CHUNK = 2048  # four bytes may expand to 128 KiB, and one call returns all of it
SPACE_EVERY = 64 * CHUNK
CUT_OFF = "The archive is cut off or damaged. Make it again, or upload the plain file."


@dataclass(frozen=True)
class Unpacked:
    """``member`` is the file of a zip that was taken, of the ``members`` that could be.

    ``is_cut``: only the head was written.
    """

    member: str | None = None
    members: tuple[str, ...] = ()
    is_cut: bool = False


@dataclass(frozen=True)
class WantedMember:
    """Which member of a zip; without one the only one, or the ``first`` that comes.

    ``head``: so many bytes of a text will do.
    """

    member: str | None = None
    first: bool = False
    head: int | None = None


def unpack(
    path: Path, compression: str, target: Path, *, wanted: WantedMember, progress: WorkProgress
) -> Unpacked:
    """Write what the archive holds to ``target``.

    Raises UnreadableFile, UnsupportedMediaType, ValidationError, TooLarge, DiskFull.
    """
    with path.open("rb") as packed:
        size = max(path.stat().st_size, 1)
        if compression == ".zip":
            return _unzip(packed, target, wanted, progress)
        chunks = _inflate_gzip(packed) if compression == ".gz" else _inflate_zstd(packed)
        return Unpacked(is_cut=_write(_watched(chunks, packed, size, progress), target, wanted.head))


def count_zip(path: Path, *, progress: WorkProgress) -> None:
    """Expand a zip-based document (.xlsx) into nothing, to know that it does not explode."""
    try:
        with zipfile.ZipFile(path) as archive:
            total = 0
            for member in archive.infolist():
                with archive.open(member) as stream:
                    while chunk := stream.read(CHUNK):
                        total += len(chunk)
                        _require_below_cap(total)
                        progress.advance(0)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError) as error:
        raise UnreadableFile(
            "The workbook is damaged or locked with a password. Save it again without one."
        ) from error


def _inflate_gzip(packed: IO[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(wbits=31)
    try:
        while chunk := packed.read(CHUNK):
            while chunk:
                if inflater.eof:  # another member, or zeros that pad the last one
                    chunk, inflater = chunk.lstrip(b"\0"), zlib.decompressobj(wbits=31)
                yield inflater.decompress(chunk, CHUNK)
                chunk = inflater.unused_data.lstrip(b"\0") if inflater.eof else inflater.unconsumed_tail
        while not inflater.eof and (rest := inflater.decompress(b"", CHUNK)):
            yield rest
    except zlib.error as error:
        raise UnreadableFile(CUT_OFF) from error
    if not inflater.eof:
        raise UnreadableFile(CUT_OFF)


def _inflate_zstd(packed: IO[bytes]) -> Iterator[bytes]:
    import zstandard

    inflater = None
    try:
        while chunk := packed.read(ZSTD_CHUNK):
            while chunk:
                inflater = inflater or zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
                yield inflater.decompress(chunk)
                chunk, inflater = (inflater.unused_data, None) if inflater.eof else (b"", inflater)
    except zstandard.ZstdError as error:
        raise UnreadableFile(CUT_OFF) from error
    if inflater:
        raise UnreadableFile(CUT_OFF)


def _unzip(packed: IO[bytes], target: Path, wanted: WantedMember, progress: WorkProgress) -> Unpacked:
    try:
        with zipfile.ZipFile(packed) as archive:
            readable = _readable(archive)
            member = _chosen(readable, wanted)
            head = wanted.head if PurePosixPath(member.filename).suffix.lower() in TEXTS else None
            with archive.open(member) as stream:
                chunks = _watched(
                    iter(lambda: stream.read(CHUNK), b""), packed, max(member.compress_size, 1), progress
                )
                is_cut = _write(chunks, target, head)
            return Unpacked(member.filename, tuple(info.filename for info in readable), is_cut)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UnreadableFile(CUT_OFF) from error
    except (RuntimeError, NotImplementedError) as error:
        raise UnreadableFile(
            "The archive is locked with a password, or packed in a way that cannot be read here."
        ) from error


def _readable(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files in it that some reader takes; when there are none, all of them, for the error to name."""
    members = [m for m in archive.infolist() if not m.is_dir() and not _is_clutter(m.filename)]
    if not members:
        raise UnreadableFile("The archive holds no file.")
    return [m for m in members if PurePosixPath(m.filename).suffix.lower() in READERS] or members


def _chosen(members: list[zipfile.ZipInfo], wanted: WantedMember) -> zipfile.ZipInfo:
    names = ", ".join(m.filename[-60:] for m in members[:5]) + (" …" if len(members) > 5 else "")
    if wanted.member:
        member = next((m for m in members if m.filename == wanted.member), None)
        if member is None:
            raise ValidationError.of(
                "options.member", f"the archive holds no {wanted.member[-60:]!r}; it holds {names}"
            )
        return member
    if len(members) > 1 and not wanted.first:
        raise UnsupportedMediaType(
            f"The archive holds {len(members)} files ({names}). Say which one to read (options.member)."
        )
    return members[0]


def _is_clutter(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.name.startswith(".") or "__MACOSX" in path.parts


def _watched(
    chunks: Iterator[bytes], packed: IO[bytes], size: int, progress: WorkProgress
) -> Iterator[bytes]:
    for chunk in chunks:
        progress.advance(packed.tell() / size)
        yield chunk


def _write(chunks: Iterator[bytes], target: Path, head: int | None) -> bool:
    """Whether it stopped at ``head`` bytes."""
    total = checked = 0
    with target.open("wb") as plain:
        for chunk in chunks:
            total += len(chunk)
            _require_below_cap(total)
            if total - checked > SPACE_EVERY:
                storage.require_space()
                checked = total
            plain.write(chunk)
            if head is not None and total > head:
                return True
    return False


def _require_below_cap(total: int) -> None:
    if total > settings().max_expanded_mb * 2**20:
        raise TooLarge(
            f"The file expands to more than the {settings().max_expanded_mb:,} MiB this server accepts."
        )
