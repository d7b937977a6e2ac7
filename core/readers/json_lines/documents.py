"""The rows of a JSON document, an array of objects
or objects one after the other, without ever holding all of it.

Used where DuckDB cannot help: to name the line of what is wrong, to go on behind a bad row, to keep big
integers exact, and to look at the head of a document. A bad element ends where its brackets close, or where
the next line begins like an element does.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.readers.json_lines.rows import EXACT, problem_of, why_not, without_twins

CHUNK = 1 << 20
LARGEST = 64 * 2**20
NEAR_END = 64  # characters: an error this close to the end of what was read may only want more
NOT_CLOSED = "not valid JSON: the file ends before the JSON does, it is cut off"
OPEN = "not valid JSON: a quote or a bracket is not closed"
_GAP = re.compile(r"[\s\ufeff]*")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
_DECODER = json.JSONDecoder(object_pairs_hook=without_twins, **EXACT)


@dataclass(frozen=True)
class Element:
    """One row with the line it starts on. ``fatal``: behind it nothing is clear."""

    line: int
    raw: str
    value: Any = None
    problem: str | None = None
    fatal: bool = False


class _Window:
    """The part of the document at hand: ``text`` from ``at``
    on has not been read yet, ``line`` is where ``at`` stands."""

    def __init__(self, path: Path) -> None:
        self.file = path.open(encoding="utf-8", errors="surrogateescape", newline="")
        self.text, self.at, self.line, self.is_end = "", 0, 1, False

    def more(self) -> bool:
        """Read on, each time twice as much, so that a long element is not scanned over and over."""
        wanted = max(CHUNK, len(self.text) - self.at)
        chunk = self.file.read(wanted)
        self.is_end = not chunk
        self.text, self.at = self.text[self.at :] + chunk, 0
        return bool(chunk)

    def peek(self) -> str:
        """The next character that is no blank; empty at the end."""
        while True:
            self.move(_GAP.match(self.text, self.at).end())  # type: ignore[union-attr]
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def move(self, to: int) -> str:
        passed = self.text[self.at : to]
        self.line, self.at = self.line + passed.count("\n"), to
        return passed


def elements(path: Path, *, resume: bool, is_head: bool = False) -> Iterator[Element]:
    """Each row.

    Not ``resume``: the first that cannot be parsed is the last. ``is_head``: the document was cut off on
    purpose.
    """
    window = _Window(path)
    with window.file:
        is_array = window.peek() == "["
        if is_array:
            window.move(window.at + 1)
        wants_comma = True  # as if something stood before: [] has no comma
        is_first = True
        while first := window.peek():
            if is_array and first == "]":
                yield from _behind(window, wants_comma=wants_comma, resume=resume)
                return
            if is_array and first == ",":
                window.move(window.at + 1)
                wants_comma = False
                continue
            if is_array and wants_comma and not is_first and not resume:
                yield Element(
                    window.line, "", problem="not valid JSON: expecting ',' between two elements", fatal=True
                )
                return
            element = _next_element(window, resume=resume)
            if is_head and window.is_end and element.problem:
                return
            yield element
            if element.fatal:
                return
            wants_comma, is_first = True, False
        if is_array and not is_head:
            yield Element(window.line, "", problem=NOT_CLOSED, fatal=True)


def _behind(window: _Window, *, wants_comma: bool, resume: bool) -> Iterator[Element]:
    """What is wrong at the end of an array, when that matters."""
    if resume:
        return
    if not wants_comma:
        yield Element(window.line, "", problem="not valid JSON: a comma stands before the end of the array")
    window.move(window.at + 1)
    if window.peek():
        yield Element(window.line, "", problem="not valid JSON: something follows the end of the array")


def _next_element(window: _Window, *, resume: bool) -> Element:
    while True:
        try:
            value, end = _DECODER.raw_decode(window.text, window.at)
        except (ValueError, RecursionError) as error:
            if _wants_more(error, window) and window.more():
                continue
            return _bad_element(window, error, resume=resume)
        if end == len(window.text) and window.more():
            continue  # a number may go on
        line = window.line
        return Element(line, window.move(end), value, problem_of(value))


def _wants_more(error: Exception, window: _Window) -> bool:
    if window.is_end or not isinstance(error, json.JSONDecodeError) or len(window.text) - window.at > LARGEST:
        return False
    return error.msg.startswith("Unterminated string") or error.pos >= len(window.text) - NEAR_END


def _bad_element(window: _Window, error: Exception, *, resume: bool) -> Element:
    line, start, problem = window.line, window.at, _problem(error, window)
    is_syntax = isinstance(error, json.JSONDecodeError)
    end = _end_of(window) if resume or not is_syntax else None
    if end is not None:
        return Element(line, window.move(end), problem=problem if problem != NOT_CLOSED else OPEN)
    line += window.text.count("\n", start, error.pos) if isinstance(error, json.JSONDecodeError) else 0
    return Element(line, window.text[window.at : window.at + CHUNK], problem=problem, fatal=True)


def _problem(error: Exception, window: _Window) -> str:
    if not isinstance(error, json.JSONDecodeError):
        return why_not(error)
    if len(window.text) - window.at > LARGEST:
        return f"one object is larger than {LARGEST >> 20} MiB; cut it into rows"
    if window.is_end and (
        error.pos >= len(window.text.rstrip()) or error.msg.startswith("Unterminated string")
    ):
        return NOT_CLOSED
    return (
        f"not valid JSON: {error.msg.lower()} at column "
        f"{error.pos - window.text.rfind(chr(10), 0, error.pos)}"
    )


def _end_of(window: _Window) -> int | None:
    """Where a bad element ends; None when that cannot be told."""
    while True:
        indent = re.search(r"[^\n]*\Z", window.text[max(0, window.at - 200) : window.at])
        begins = indent is not None and not indent.group().strip(" \t,[")
        aligned = re.compile(r"\n[ \t]*\{").search(window.text, window.at + 1) if begins else None
        closed = _closing(window.text, window.at)
        ends = [end for end in (aligned.start() if aligned else None, closed) if end is not None]
        if ends and (closed is not None or window.is_end or len(window.text) - window.at > LARGEST):
            return min(ends)
        if len(window.text) - window.at > LARGEST or not window.more():
            return min(ends) if ends else None


def _closing(text: str, start: int) -> int | None:
    depth = 0
    for token in _TOKEN.finditer(text, start):
        mark = token.group()
        depth += mark in "{[" if len(mark) == 1 else 0
        depth -= mark in "}]" if len(mark) == 1 else 0
        if depth <= 0 and len(mark) == 1:
            return token.end()
    return None
