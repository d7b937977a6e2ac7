"""Columns of text that write dates or numbers in more
than one way, so that no reader could tell what they mean.

A column counts as one of dates or of numbers when most of its cells are. What fits several notations
(03/04/2024) is taken for the one that the rest of the column shows.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import numpy as np

from core.reports.quality.base import Finding, QualityColumn, Tally, TextBatch, Watcher, cut, found

MOST = 0.8
TIME = r"(?:[T ]\d{1,2}:\d{2}.*)?$"
_SLASHED = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2\d{2}(?:\d{2})?(?:[T ,].*)?")
_DATES = (
    ("2024-12-31", re.compile(rf"\d{{4}}-\d{{1,2}}-\d{{1,2}}{TIME}")),
    ("2024/12/31", re.compile(rf"\d{{4}}/\d{{1,2}}/\d{{1,2}}{TIME}")),
    ("2024.12.31", re.compile(rf"\d{{4}}\.\d{{1,2}}\.\d{{1,2}}{TIME}")),
    ("Dec 31, 2024", re.compile(r"[A-Za-z]{3,9}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}.*")),
    ("31 Dec 2024", re.compile(r"\d{1,2}(?:st|nd|rd|th)?\.?[ -][A-Za-z]{3,9}\.?[ ,-]+\d{2}(?:\d{2})?.*")),
)
_MONTHS = frozenset("jan feb mar apr may jun jul aug sep oct nov dec mär mai okt dez".split())
_WORD = re.compile(r"[^\W\d]{3,9}")

_SIGNS = re.compile(r"[\s$€£¥₹%+-]|\b(?:USD|EUR|GBP|CHF)\b")
_POINT = re.compile(
    r"\d{1,3}(?:,\d{3})+\.\d+|\d*\.(?:\d{1,2}|\d{4,})|\d{4,}\.\d{3}|\d{1,3}(?:,\d{3}){2,}|0\.\d+"
)
_COMMA = re.compile(
    r"\d{1,3}(?:\.\d{3})+,\d+|\d*,(?:\d{1,2}|\d{4,})|\d{4,},\d{3}|\d{1,3}(?:\.\d{3}){2,}|0,\d+"
)
_EITHER = re.compile(r"\d{1,3}[.,]\d{3}|\d+")

Notation = Callable[[str], str | None]


def date_notation(text: str) -> str | None:
    """How a date is written, "?/" and the like where day and month could be either; None if it is none."""
    text = text.strip()
    hit = _SLASHED.fullmatch(text)
    if hit is not None:
        return _order(int(hit[1]), int(hit[3]), hit[2])
    for name, pattern in _DATES:
        if pattern.fullmatch(text):
            word = _WORD.search(text) if name[0] in "D3" else None
            return name if word is None or word[0][:3].lower() in _MONTHS else None
    return None


def number_notation(text: str) -> str | None:
    """``1,234.5``, ``1.234,5``, or "?" where it could be either; None if it is no number."""
    bare = _SIGNS.sub("", text)
    if not bare or (not bare[0].isdigit() and bare[0] not in ".,"):
        return None
    if _POINT.fullmatch(bare):
        return "1,234.5"
    if _COMMA.fullmatch(bare):
        return "1.234,5"
    return "?" if _EITHER.fullmatch(bare) else None


def unit_notation(text: str) -> str | None:
    """Whether a number carries a percent sign."""
    if number_notation(text) is None:
        return None
    return "with %" if "%" in text else "without %"


def _order(first: int, second: int, separator: str) -> str | None:
    if max(first, second) > 31 or min(first, second) < 1 or min(first, second) > 12:
        return None
    if first > 12:
        return f"31{separator}12{separator}2024"
    if second > 12:
        return f"12{separator}31{separator}2024"
    return f"?{separator}"


class NotationWatcher:
    """Sorts the cells of a column by how they are written."""

    def __init__(self, column: QualityColumn, kind: Literal["dates", "numbers", "percent"]) -> None:
        self.column, self.kind = column, kind
        self.notation: Notation = _NOTATIONS[kind]
        self.tallies: dict[str, Tally] = {}
        self.num_cells, self.num_known = 0, 0
        self.hopeless = False

    def look(self, batch: TextBatch) -> None:
        if self.hopeless:
            return
        names = [
            self.notation(text) if len(text) < 60 and any(map(str.isdigit, text)) else None
            for text in batch.values.to_pylist()
        ]
        of_text, counts = np.array([name or "" for name in names]), batch.counts()
        filled = np.fromiter((bool(text.strip()) for text in batch.values.to_pylist()), bool, len(names))
        self.num_cells += int(counts[filled].sum())
        for name in set(names) - {None}:
            mask = of_text == name
            self.num_known += int(counts[mask].sum())
            examples = [cut(batch.values[at].as_py()) for at in np.flatnonzero(mask)[:2]]
            self.tallies.setdefault(str(name), Tally()).add(batch.lines_of(mask), examples)
        self.hopeless = self.num_cells > 1000 and self.num_known < self.num_cells / 4

    def findings(self, num_rows: int) -> Iterator[Finding]:
        if self.hopeless or self.num_known < MOST * max(self.num_cells, 1):
            return
        sorted_out = _settled(self.tallies)
        if len(sorted_out) > 1:
            yield self._mixed(sorted_out, num_rows)

    def _mixed(self, tallies: Mapping[str, Tally], num_rows: int) -> Finding:
        """The rows that are not written like most others."""
        by_size = sorted(tallies.items(), key=lambda item: -item[1].num_rows)
        rest = Tally()
        for _, tally in by_size[1:]:
            rest.add(np.array(tally.lines, np.int64))
            rest.num_rows += tally.num_rows - len(tally.lines)
        rest.lines.sort()
        listed = [f"{name} ({tally.num_rows:,}), such as {tally.examples[0]}" for name, tally in by_size]
        title, help_ = _WORDS[self.kind]
        return found(
            f"mixed_{self.kind}",
            self.column,
            rest,
            title=title,
            severity="warn",
            help=help_,
            num_rows=num_rows,
            examples=listed,
        )


def _settled(tallies: Mapping[str, Tally]) -> dict[str, Tally]:
    """What could be either goes to the one that the column shows;
    to the larger where it shows both; stays alone where none."""
    clear = {
        name: Tally(t.num_rows, list(t.lines), t.examples)
        for name, t in tallies.items()
        if not name.startswith("?")
    }
    for name, tally in tallies.items():
        if name.startswith("?"):
            fitting = [one for one in clear if name == "?" or (one[2:3] == name[1] and one[0] in "13")]
            if fitting:
                goal = clear[max(fitting, key=lambda one: clear[one].num_rows)]
                goal.num_rows += tally.num_rows
                goal.lines = sorted([*goal.lines, *tally.lines])
            elif name != "?":
                clear[f"03{name[1]}04{name[1]}2024"] = tally
    return clear


_NOTATIONS: dict[str, Notation] = {
    "dates": date_notation,
    "numbers": number_notation,
    "percent": unit_notation,
}
_ONE_FORM = "Bring all to one form before anything is computed."
_WORDS = {
    "dates": (
        "Dates written in several ways",
        "Sorting and comparing them gives wrong answers. Bring them to one form in SQL.",
    ),
    "numbers": ("Decimal point and decimal comma", f"1.234 is either one or a thousand. {_ONE_FORM}"),
    "percent": ("Numbers with and without %", f"5% and 0.05 are the same, 5% and 5 are not. {_ONE_FORM}"),
}


def dates(column: QualityColumn) -> Watcher | None:
    return NotationWatcher(column, "dates") if column.is_plain else None


def numbers(column: QualityColumn) -> Watcher | None:
    return NotationWatcher(column, "numbers") if column.is_plain else None


def percent(column: QualityColumn) -> Watcher | None:
    return NotationWatcher(column, "percent") if column.is_plain else None


CHECKS = (dates, numbers, percent)
