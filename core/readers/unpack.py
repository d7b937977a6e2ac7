"""From an upload to one plain file: .gz, .zst and .zip, opened with a cap on what comes out.

Declared sizes are not believed (a zip's can lie): the bytes are counted as they come, against the configured limit and the free
disk. An archive that is cut off, damaged, locked, or holds more than one file is refused with a sentence that says so.
"""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from core import storage
from core.config import settings
from core.errors import TooLarge, UnreadableFile, UnsupportedMediaType
from core.readers.base import Progress

CHUNK = 1 << 20
ZSTD_CHUNK = 2048  # four bytes may expand to 128 KiB, and one call returns all of it
SPACE_EVERY = 64 * CHUNK
CUT_OFF = "The archive is cut off or damaged. Make it again, or upload the plain file."


def unpack(path: Path, compression: str, target: Path, *, progress: Progress) -> str | None:
    """Write what the archive holds to ``target``. Returns the name of a zip's member, None for the others.

    Raises UnreadableFile, UnsupportedMediaType, TooLarge, DiskFull.
    """
    with path.open("rb") as packed:
        size = max(path.stat().st_size, 1)
        if compression == ".zip":
            return _unzip(packed, target, progress)
        chunks = _inflate_gzip(packed) if compression == ".gz" else _inflate_zstd(packed)
        _write(_watched(chunks, packed, size, progress), target)
        return None


def count_zip(path: Path, *, progress: Progress) -> None:
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
        raise UnreadableFile("The workbook is damaged or locked with a password. Save it again without one.") from error


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


def _unzip(packed: IO[bytes], target: Path, progress: Progress) -> str:
    try:
        with zipfile.ZipFile(packed) as archive:
            member = _only_member(archive)
            with archive.open(member) as stream:
                _write(_watched(iter(lambda: stream.read(CHUNK), b""), packed, max(member.compress_size, 1), progress), target)
            return member.filename
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UnreadableFile(CUT_OFF) from error
    except (RuntimeError, NotImplementedError) as error:
        raise UnreadableFile("The archive is locked with a password, or packed in a way that cannot be read here.") from error


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [m for m in archive.infolist() if not m.is_dir() and not _is_clutter(m.filename)]
    if not members:
        raise UnreadableFile("The archive holds no file.")
    if len(members) > 1:
        names = ", ".join(PurePosixPath(m.filename).name[:60] for m in members[:5])
        raise UnsupportedMediaType(f"The archive holds {len(members)} files ({names}). Upload them one at a time.")
    return members[0]


def _is_clutter(name: str) -> bool:
    path = PurePosixPath(name)
    return path.name.startswith(".") or "__MACOSX" in path.parts


def _watched(chunks: Iterator[bytes], packed: IO[bytes], size: int, progress: Progress) -> Iterator[bytes]:
    for chunk in chunks:
        progress.advance(packed.tell() / size)
        yield chunk


def _write(chunks: Iterator[bytes], target: Path) -> None:
    total = checked = 0
    with target.open("wb") as plain:
        for chunk in chunks:
            total += len(chunk)
            _require_below_cap(total)
            if total - checked > SPACE_EVERY:
                storage.require_space()
                checked = total
            plain.write(chunk)


def _require_below_cap(total: int) -> None:
    if total > settings().max_expanded_mb * 2**20:
        raise TooLarge(f"The file expands to more than the {settings().max_expanded_mb:,} MiB this server accepts.")
