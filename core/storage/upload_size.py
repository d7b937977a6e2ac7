"""How large a file may be that somebody brings: the one rule behind LUTHIER_MAX_UPLOAD_MB, and its words.

Every way in asks here, whoever it serves: pieces and whole files over the network, pasted text, addresses,
folders of the server, tables from Python, results of queries. Pages say the limit in the same words.
"""

from core.config import settings
from core.errors import TooLarge, UnreadableFile

MIB = 2**20


def most_bytes() -> int:
    """The size of the largest file, in bytes."""
    return settings().max_upload_mb * MIB


def in_words() -> str:
    """The same for people: ``2,048 MiB``."""
    return f"{settings().max_upload_mb:,} MiB"


def require_not_larger(size: int) -> None:
    """Raises TooLarge. ``size`` in bytes: announced, or counted so far."""
    if size > most_bytes():
        raise TooLarge(f"The file is larger than {in_words()}, the most this server accepts.")


def require(size: int) -> None:
    """For a whole file of ``size`` bytes. Raises UnreadableFile when it is empty, TooLarge."""
    if size == 0:
        raise UnreadableFile("The file is empty.")
    require_not_larger(size)
