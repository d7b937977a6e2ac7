"""The records of a delimited text one by one, each with its line
and its raw text, also where something is wrong with it."""

import csv
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LONGEST_RECORD = 64 * 2**20  # characters; behind an open quote there may be gigabytes
MOST_LINES = 1000  # of one record, when bad rows are skipped: what is longer is an open quote
_ESCAPED = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of bytes that are not UTF-8
NOT_UTF8 = "a byte that is not UTF-8"


@dataclass
class Record:
    """``line`` from 1, where it starts. ``raw`` has its line end. ``is_open``: a quote was never closed."""

    line: int
    values: list[str]
    raw: str
    problem: str | None = None
    is_open: bool = False


class _TooLong(Exception):
    """A record that does not end."""


class _Lines:
    """Lines that can be given back, and the ones that the record at hand has taken."""

    def __init__(self, lines: Iterator[str], most: int | None) -> None:
        self._lines, self._again, self._most = lines, deque[str](), most
        self._length = 0
        self.taken: list[str] = []
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.taken.append(line)
        self._length += len(line)
        if self._length > LONGEST_RECORD or (self._most and len(self.taken) > self._most):
            raise _TooLong
        return line

    def begin(self) -> None:
        self.number += len(self.taken)
        self.taken, self._length = [], 0

    def give_back_all_but_first(self) -> None:
        self._again.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def records(lines: Iterator[str], delimiter: str, escape: str, *, resume: bool = False) -> Iterator[Record]:
    """Each record, a blank line with no values.

    ``resume``: go on behind the first line of a broken one, else behind all of it.
    """
    style: dict[str, Any] = (
        {"doublequote": True} if escape == '"' else {"doublequote": False, "escapechar": escape}
    )
    source = _Lines(lines, MOST_LINES if resume else None)
    reader = csv.reader(source, delimiter=delimiter, strict=True, **style)
    while True:
        source.begin()
        values, problem, is_open = [], None, False
        try:
            values = next(reader)
        except StopIteration:
            return
        except (csv.Error, _TooLong) as error:
            is_open = isinstance(error, _TooLong) or "unexpected end" in str(error)
            problem = (
                "a quote is opened and never closed" if is_open else "a quote ends in the middle of a value"
            )
            if resume:
                source.give_back_all_but_first()
            reader = csv.reader(source, delimiter=delimiter, strict=True, **style)
        raw = "".join(source.taken)
        problem = problem or problem_of(raw)
        yield Record(source.number + 1, values, raw, problem, is_open)
        if is_open and not resume:
            return


def problem_of(raw: str) -> str | None:
    """What in the text itself keeps it from being read."""
    if not raw.isascii() and _ESCAPED.search(raw):
        return NOT_UTF8
    return "a NUL byte" if "\0" in raw else None
