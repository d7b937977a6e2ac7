"""The log that a training writes for its owner: its end,
the whole of it as a file, and a search in all of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core import storage
from core.db import reading
from core.fine_tuning.owned import find
from core.people.users import User

LOG_BYTES = 512 * 1024  # as much of a log's end as is ever read at once


@dataclass(frozen=True)
class LogLine:
    """``number`` counts from 1."""

    number: int
    text: str


@dataclass(frozen=True)
class LogSearch:
    """``lines``: the last matches, oldest first;
    ``total`` counts them all; ``num_lines``: of the whole log."""

    lines: list[LogLine]
    total: int
    num_lines: int


def log_path(user: User, job_id: str) -> Path:
    """Where the log is, or will be. Raises NotFound."""
    with reading() as session:
        return storage.job_dir(find(session, user, job_id).id) / "log.txt"


def log_tail(user: User, job_id: str, *, tail: int = 200) -> str:
    """The last lines of the job's log; empty when there is none yet."""
    path = log_path(user, job_id)
    if not path.exists():
        return ""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - LOG_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return "\n".join(lines[-tail:]) + "\n" if lines else ""


def search_log(user: User, job_id: str, query: str, *, limit: int = 200) -> LogSearch:
    """The lines that hold ``query``, whatever its letter case; an empty one is in every line.

    Raises NotFound.
    """
    path, wanted = log_path(user, job_id), query.casefold()
    lines: list[LogLine] = []
    total = number = 0
    for number, text in _lines(path):
        if wanted in text.casefold():
            total += 1
            lines.append(LogLine(number, text))
            if len(lines) > 2 * limit:
                del lines[:-limit]
    return LogSearch(lines[-limit:], total, number)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    if path.exists():
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                yield number, line.rstrip("\n")
