"""How the records of a delimited text are cut: delimiter, quoting,
and the lines above the table, settled on the file's head."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import UnreadableFile
from core.readers.base import Reading, ReadTask
from core.readers.delimited.records import records
from core.readers.questions import NoteOffer

SAMPLE_CHARACTERS = 1 << 20
FITTED_LINES = 2000
DELIMITERS = ",\t;|"
OTHER_DELIMITERS = "~^:#@&!"
COMMENT = "#"
# 1.234,50 and 12,5 with or without a unit
_FRACTION = re.compile(r"[+-]?(?:[0-9]{1,3}(?:[. ][0-9]{3})+|[0-9]+)(?:,[0-9]+)?(?: ?[%€$£]| [A-Za-z]{1,3})?")
_NUMBER_LIKE = re.compile(r"\s*[+-]?[0-9]+(?:[.,][0-9]+)*(?:[eE][+-]?[0-9]+)?\s*")
DEFAULT_LINE = 2_000_000
csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True)
class Dialect:
    """``skip`` lines stand above the first row; ``width`` is the number of values in it."""

    delimiter: str
    skip: int
    width: int
    escape: str = '"'
    longest_line: int = DEFAULT_LINE
    comment: str = ""  # what a line begins with that is none of the table


@dataclass(frozen=True)
class RowSample:
    """The first rows. ``is_all``: there are no others. ``row_characters``: how long a row is on average."""

    rows: list[list[str]]
    is_all: bool
    row_characters: int


def settle_dialect(path: Path, task: ReadTask, reading: Reading) -> Dialect:
    lines, _ = sample_lines(path)
    options = task.options
    above, stated = options.skip_lines or 0, options.delimiter or ("\t" if task.suffix == ".tsv" else None)
    first = lines[above].rstrip("\r\n") if len(lines) > above else ""
    if first.lower().startswith("sep=") and len(first) == 5:
        above, stated = above + 1, options.delimiter or first[4]  # Excel's own way to say it
    _refuse_json(lines, task.suffix)
    possible = stated or _delimiters(lines[above:], options.decimal)
    is_stated = options.skip_lines is not None
    first_lines = lines[above : above + FITTED_LINES]
    best, matching = _best(first_lines, possible, is_stated=is_stated)
    comment = options.comment or ("" if is_stated else _comment_in(first_lines, possible, best))
    if comment:
        first_lines = ["\n" if line.startswith(comment) else line for line in first_lines]
        best, matching = _best(first_lines, possible, is_stated=is_stated)
        best = replace(best, comment=comment)
    if task.suffix == ".txt" and not options.delimiter and matching < 1:
        best = replace(best, width=1, skip=0, comment="")  # prose with commas in it
    elif not is_stated:
        best = _below_titles(first_lines, best)
    _tell(reading, best, first_lines)
    reading.detected |= {"delimiter": best.delimiter, "skip_lines": best.skip + above}
    return replace(best, skip=best.skip + above)


def _delimiters(lines: Sequence[str], decimal: str | None) -> str:
    """Those that may be meant: a comma that stands before fractions only where it cuts the first row into
    names."""
    if decimal is None and _are_fractions(lines):
        return DELIMITERS.replace(",", "")
    if decimal != ",":
        return DELIMITERS
    first = next((line for line in lines if line.strip()), "")
    cells = next((record.values for record in records(iter([first]), ",", '"')), [])
    is_cut = len(cells) > 1 and not all(map(_NUMBER_LIKE.fullmatch, cells))
    return DELIMITERS if is_cut else DELIMITERS.replace(",", "")


def _are_fractions(lines: Sequence[str]) -> bool:
    """Whether a name without a comma stands above nothing but numbers, and commas in some of them."""
    name, *values = [line.strip() for line in lines if line.strip()] or [""]
    return (
        "," not in name
        and len(values) > 1
        and all(map(_FRACTION.fullmatch, values))
        and any("," in value for value in values)
    )


def _tell(reading: Reading, dialect: Dialect, lines: Sequence[str]) -> None:
    # of the lines of comments only their ends are left
    above = sum(bool(line.strip()) for line in lines[: dialect.skip]) if dialect.comment else dialect.skip
    if above:
        reading.note(
            f"{above} line{'s' * (above > 1)} above the header left out.",
            NoteOffer("Keep them", {"skip_lines": 0}),
        )
    if dialect.comment:
        reading.detected["comment"] = dialect.comment
        reading.note(
            f"Lines that begin with {dialect.comment} were left out as comments. "
            "If they belong to the table, state 0 lines above it.",
            NoteOffer("Keep them", {"skip_lines": 0, "comment": None}),
        )
    if dialect.width == 1 and (mark := _unknown_delimiter(lines)):
        reading.note(
            f"It was read as one column. Every line holds as many {mark!r} as the first: choose it as "
            "the delimiter if it separates values.",
            NoteOffer("Cut at it", {"delimiter": mark}),
        )


def _best(lines: Sequence[str], delimiters: str, *, is_stated: bool) -> tuple[Dialect, float]:
    """The dialect that cuts the most lines like the first of the table, and their share."""
    fits = [_fit(lines, delimiter, is_stated=is_stated) for delimiter in delimiters]
    matching, best = max(fits, key=lambda fit: (fit[1].width > 1, fit[0]))  # the first of equals
    return best, matching


def _comment_in(lines: Sequence[str], delimiters: str, dialect: Dialect) -> str:
    """``#`` where lines above a table begin with it; empty where such a line may name the columns."""
    marked = [line for line in lines if line.startswith(COMMENT)]
    first = next((line for line in lines if line.strip()), "")
    rest = ["\n" if line.startswith(COMMENT) else line for line in lines]
    if not marked or not first.startswith(COMMENT) or not any(map(str.strip, rest)):
        return ""
    inner, _ = _best(rest, delimiters, is_stated=False)
    table = [row for row in _sample_rows(rest, inner.delimiter)[0] if row]
    if inner.width < 2 or not table:
        return ""
    above = [line for line in lines[: next(i for i, line in enumerate(rest) if line.strip())] if line.strip()]
    last = next(iter(_sample_rows(above[-1:], inner.delimiter)[0]), [])
    names_columns = len(last) == inner.width and not is_above_numbers(table[0], table[1:])
    return "" if names_columns else COMMENT


def is_above_numbers(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether a row stands above a column of numbers and is none: then it names the columns."""
    return any(
        value.strip()
        and not _NUMBER_LIKE.fullmatch(value)
        and bool(cells := [row[i] for row in below if i < len(row) and row[i].strip()])
        and all(map(_NUMBER_LIKE.fullmatch, cells))
        for i, value in enumerate(first)
    )


def _below_titles(lines: Sequence[str], dialect: Dialect) -> Dialect:
    """Without the rows above the header that hold at most one cell, the first, as titles do."""
    if dialect.width < 2:
        return dialect
    found = [
        record
        for record in records(iter(lines[dialect.skip :]), dialect.delimiter, dialect.escape)
        if record.values
    ]
    titles = 0
    while titles < len(found) and not any(value.strip() for value in found[titles].values[1:]):
        titles += 1
    if not titles or titles == len(found):
        return dialect
    header, below = found[titles].values, [record.values for record in found[titles + 1 :]]
    is_whole = len(header) == dialect.width > 2 and all(map(str.strip, header))
    if not is_above_numbers(header, below) and not (is_whole and len(set(header)) == len(header)):
        return dialect
    return replace(dialect, skip=dialect.skip + found[titles].line - 1)


def _unknown_delimiter(lines: Sequence[str]) -> str:
    """A mark that every line holds as often as the first does."""
    filled = [line for line in lines if line.strip()]
    counts = ((mark, {line.count(mark) for line in filled}) for mark in OTHER_DELIMITERS)
    return next((mark for mark, found in counts if len(filled) > 1 and len(found) == 1 and found != {0}), "")


def sample_lines(path: Path) -> tuple[list[str], bool]:
    """The first lines, whole ones, but not more than a person would wait for; and whether they are all."""
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        sample = file.read(SAMPLE_CHARACTERS)
    lines = list(io.StringIO(sample, newline=""))
    is_all = len(sample) < SAMPLE_CHARACTERS
    return lines if is_all or len(lines) < 2 else lines[:-1], is_all


def sample_of(path: Path, dialect: Dialect) -> RowSample:
    """The first whole rows below what is skipped."""
    lines, is_all = sample_lines(path)
    first_records = [
        r
        for r in records(iter(lines[dialect.skip :]), dialect.delimiter, dialect.escape)
        if r.values and not r.problem
    ]
    even = [record.values for record in first_records if len(record.values) >= dialect.width]
    return RowSample(even, is_all, max(sum(map(len, lines)) // max(len(even), 1), 1))


def _fit(lines: Sequence[str], delimiter: str, *, is_stated: bool) -> tuple[float, Dialect]:
    """The share of the sample's rows that are as wide as its first, and the dialect a delimiter makes."""
    rows, escape = _sample_rows(lines, delimiter)
    widths = [len(row) for row in rows]
    blank = next((i for i, width in enumerate(widths) if width), 0)
    if not any(width > 1 for width in widths):
        return 1.0, Dialect(delimiter, 0 if is_stated else blank, 1, escape)
    skip = 0 if is_stated else next(i for i, width in enumerate(widths) if width > 1)
    if (len(set(filter(None, widths[skip:]))) > 1 or len(widths) - skip < 2) and not _is_table(widths):
        skip = 0  # a preamble stands above an even table, anything else is a ragged file
    first = next(width for width in widths[skip:] if width)
    _refuse_double(rows[skip:], delimiter)
    matching = sum(width == first for width in widths) / len(widths)
    return matching, Dialect(delimiter, skip, first, escape)


def _is_table(widths: Sequence[int]) -> bool:
    """Whether more rows have one width above 1 than have a single value: then those few are no column, but a
    title, a remark or a short row."""
    ((_, count),) = Counter(width for width in widths if width > 1).most_common(1)
    return count > 1 and count >= sum(width == 1 for width in widths)


def _refuse_double(rows: Sequence[Sequence[str]], delimiter: str) -> None:
    """Raises UnreadableFile for values between ``||``: between the two marks nothing ever stands."""
    filled = [row for row in rows if row]
    width = len(filled[0])
    if delimiter != "|" or width < 3 or width % 2 == 0 or any(len(row) != width for row in filled):
        return
    if not any(cell for row in filled for cell in row[1::2]):
        raise UnreadableFile(
            "Its values are separated by two characters (||). Replace them by one, such as a comma, "
            "and upload it again."
        )


def _sample_rows(lines: Sequence[str], delimiter: str) -> tuple[list[list[str]], str]:
    """The sample's records, read with doubled quotes, or with backslashes where only that works."""
    doubled = list(records(iter(lines), delimiter, '"'))
    if any(record.problem for record in doubled) and any('\\"' in line for line in lines):
        slashed = list(records(iter(lines), delimiter, "\\"))
        if not any(record.problem for record in slashed):
            return [record.values for record in slashed], "\\"
    return [record.values for record in doubled], '"'


def _refuse_json(lines: list[str], suffix: str) -> None:
    """A table whose first line is a JSON object is a mislabelled JSON Lines file."""
    try:
        is_json = (
            bool(lines) and isinstance(json.loads(lines[0]), (dict, list)) and lines[0].lstrip()[0] in "{["
        )
    except ValueError:
        return
    if is_json and suffix != ".txt":
        raise UnreadableFile(
            f"The file is called {suffix} but holds JSON. Rename it to .jsonl or .json and upload it again."
        )
