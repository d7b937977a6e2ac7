"""What comes before any reader: a DuckDB that minds its manners, and one plain file out of whatever was uploaded."""

import os
from pathlib import Path

import duckdb

from core.config import settings
from core.errors import UnsupportedMediaType
from core.readers import kind_of
from core.readers.base import IngestOptions, Progress, literal
from core.readers.text import require_kind
from core.readers.unpack import unpack

MEMORY_MB = 1024
THREADS = 4


def configure(connection: duckdb.DuckDBPyConnection, work: Path, *, memory_mb: int = MEMORY_MB) -> None:
    """Bounded memory and disk, nothing loaded from elsewhere, and progress that can be asked for."""
    for setting in (
        f"memory_limit = '{memory_mb}MB'",
        f"threads = {min(THREADS, os.cpu_count() or 1)}",
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


def plain_file(
    staged: Path, filename: str, work: Path, *, options: IngestOptions, progress: Progress, limit: int | None = None
) -> tuple[Path, str, dict[str, object]]:
    """The file to read, its suffix, and what was found in an archive; ``limit`` bytes of it are enough, if given."""
    kind = kind_of(filename)
    if not kind.compression:
        return staged, kind.suffix, {}
    require_kind(staged, kind.compression)
    target = work / "plain"
    member = unpack(staged, kind.compression, target, progress=progress)
    if member is None:
        return target, kind.suffix, {}
    inside = kind_of(member)
    if inside.compression:
        raise UnsupportedMediaType("The archive holds another archive. Upload the file inside it.")
    return target, inside.suffix, {"member": member, "members": [member]}
