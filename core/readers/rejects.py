"""The rows that were left out: counted, listed, and kept whole for whoever wants to mend them.

One line of JSON per row, ``{"line", "message", "raw"}``: its line in the file from 1, what is wrong with it,
and its text as it stood there (bytes that are not UTF-8 as ``\\xff``; cut after RAW_CHARACTERS).
"""

import json
from pathlib import Path
from typing import IO

MAX_LISTED = 100
MAX_SORTED_BYTES = 64 * 2**20  # more is left in the order in which it was found
RAW_CHARACTERS = 1 << 20


class Rejects:
    """Written as they are found, so that a million bad rows take no memory.

    ``first`` are the first MAX_LISTED ones.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.first: list[tuple[int, str]] = []
        self._file: IO[str] | None = None

    def add(self, line: int, message: str, raw: str) -> None:
        self.count += 1
        if len(self.first) < MAX_LISTED:
            self.first.append((line, message))
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8")
        shown = raw.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        cut = shown if len(shown) <= RAW_CHARACTERS else shown[:RAW_CHARACTERS] + "…"
        self._file.write(
            json.dumps({"line": line, "message": message, "raw": cut}, ensure_ascii=False) + "\n"
        )

    def clear(self) -> None:
        """Forget all: the file is read again in another way."""
        self.close()
        self.path.unlink(missing_ok=True)
        self.count, self.first = 0, []

    def sort(self) -> None:
        """By line, whichever pass found them."""
        self.close()
        self.first.sort()
        if self.count and self.path.stat().st_size <= MAX_SORTED_BYTES:
            rows = self.path.read_text(encoding="utf-8").split("\n")[:-1]
            self.path.write_text("".join(f"{row}\n" for row in sorted(rows, key=_line_of)), encoding="utf-8")

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None


def _line_of(row: str) -> int:
    return int(row[len('{"line": ') : row.index(",")])
