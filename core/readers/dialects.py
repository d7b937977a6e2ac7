"""How the records of a delimited text are cut: delimiter, quoting,
and the lines above the table, settled on the file's head."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import UnreadableFile
from core.readers.base import Reading, ReadTask
from core.readers.records import records

SAMPLE_CHARACTERS = 1 << 20
FITTED_LINES = 2000
DELIMITERS = ",\t;|"
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


@dataclass(frozen=True)
class RowSample:
    """The first rows. ``is_all``: there are no others. ``row_characters``: how long a row is on average."""

    rows: list[list[str]]
    is_all: bool
    row_characters: int


def settle_dialect(path: Path, task: ReadTask, reading: Reading) -> Dialect:
    lines, _ = sample_lines(path)
    above, stated = (
        task.options.skip_lines or 0,
        task.options.delimiter or ("\t" if task.suffix == ".tsv" else None),
    )
    first = lines[above].rstrip("\r\n") if len(lines) > above else ""
    if first.lower().startswith("sep=") and len(first) == 5:
        above, stated = above + 1, task.options.delimiter or first[4]  # Excel's own way to say it
    _refuse_json(lines, task.suffix)
    first_lines = lines[above : above + FITTED_LINES]
    fits = [
        _fit(first_lines, delimiter, is_stated=task.options.skip_lines is not None)
        for delimiter in (stated or DELIMITERS)
    ]
    matching, best = max(fits, key=lambda fit: (fit[1].width > 1, fit[0]))  # the first of equals
    if task.suffix == ".txt" and not stated and matching < 1:
        best = replace(best, width=1)  # prose with commas in it
    if best.skip:
        reading.note(f"{best.skip} line{'s' * (best.skip > 1)} above the header left out.")
    reading.detected |= {"delimiter": best.delimiter, "skip_lines": best.skip + above}
    return replace(best, skip=best.skip + above)


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
    if not any(width > 1 for width in widths):
        return 1.0, Dialect(delimiter, 0, 1, escape)
    skip = 0 if is_stated else next(i for i, width in enumerate(widths) if width > 1)
    if len(set(filter(None, widths[skip:]))) > 1 or len(widths) - skip < 2:
        skip = 0  # a preamble stands above an even table, anything else is a ragged file
    first = next(width for width in widths[skip:] if width)
    matching = sum(width == first for width in widths) / len(widths)
    return matching, Dialect(delimiter, skip, first, escape)


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
