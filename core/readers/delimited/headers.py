"""Whether the first row of a delimited text names its columns, and what to ask where that is unclear."""

import re
from collections.abc import Sequence

from core.readers.text_types.column_types import TextColumn

YEAR = re.compile("1[5-9][0-9]{2}|2[01][0-9]{2}")
QUESTION = (
    "The first row was taken for {taken}, but it may be {other}: {row}. Say whether the first row holds the "
    "column names if that is wrong."
)


def is_header(first: Sequence[str], below: Sequence[TextColumn], rows: Sequence[Sequence[str]]) -> bool:
    """A first row that could itself be a row of the typed columns below is data, unless its numbers are
    plainly others than those below: years that follow each other, or ids far from all values."""
    typed = [
        i for i, column in enumerate(below) if column.candidates and not column.unseen and i < len(first)
    ]
    fitting = [i for i in typed if first[i] and below[i].candidates[0].looks(first[i].strip())]
    if not rows or not fitting:
        return True
    if any(first[i].strip() for i in typed if i not in fitting):
        return True  # a word above numbers
    return len(fitting) < len(first) and (
        _are_years([first[i] for i in fitting]) or _names_numbers(first, fitting, rows)
    )


def question(has_header: bool, columns: Sequence[TextColumn], rows: Sequence[Sequence[str]]) -> str:
    """What to ask; empty where nothing is unclear."""
    first, body = rows[0], rows[1:]
    shown = ", ".join(first[:8]) + (" …" if len(first) > 8 else "")
    if not has_header:
        return "No header row was found, so the columns are numbered."
    numeric = [i for i, value in enumerate(first) if _number(value) is not None]
    is_odd = bool(numeric) and not _are_years([first[i] for i in numeric])
    are_words = bool(body) and all(not c.candidates for c in columns) and len(columns) > 0
    if is_odd and body:
        return QUESTION.format(taken="the column names", other="data", row=shown)
    if are_words and any(value and value in {row[i] for row in body} for i, value in enumerate(first)):
        return QUESTION.format(taken="the column names", other="data", row=shown)
    return ""


def _are_years(values: Sequence[str]) -> bool:
    years = [int(value) for value in values if YEAR.fullmatch(value)]
    return (
        len(values) > 1
        and len(years) == len(values)
        and years == list(range(years[0], years[0] + len(years)))
    )


def _names_numbers(first: Sequence[str], fitting: Sequence[int], rows: Sequence[Sequence[str]]) -> bool:
    """Whether each number of the first row lies further from all values below it than they from each other,
    and each word stands in no row below."""
    words = [i for i, value in enumerate(first) if i not in fitting]
    if any(not first[i].strip() or first[i] in {row[i] for row in rows} for i in words):
        return False
    return all(_is_apart(first[i], [row[i] for row in rows]) for i in fitting)


def _is_apart(value: str, below: Sequence[str]) -> bool:
    own, others = _number(value), [number for cell in below if (number := _number(cell)) is not None]
    if own is None or len(others) < 2:
        return False
    low, high = min(others), max(others)
    return max(low - own, own - high) > high - low


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
