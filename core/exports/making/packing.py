"""Folder to archive. Weights do not compress, so nothing is compressed; a file is removed once it is in, so
that the disk holds the weights once and not twice."""

import hashlib
import zipfile
from pathlib import Path

from core.exports.making.order import CannotExport

BLOCK = 1 << 20


def pack(folder: Path, archive: Path) -> None:
    """``name-v1-merged.zip`` holds ``name-v1-merged/…``;
    it is read once more, and what does not match its checksum fails it."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED, allowZip64=True) as zip_file:
        for file in sorted(folder.iterdir()):
            zip_file.write(file, f"{archive.stem}/{file.name}")
            file.unlink()
    folder.rmdir()
    with zipfile.ZipFile(archive) as zip_file:
        if (broken := zip_file.testzip()) is not None:
            raise CannotExport(
                f"{broken} could not be read back from the archive. Export it again, "
                f"and have the disk checked."
            )


def sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
