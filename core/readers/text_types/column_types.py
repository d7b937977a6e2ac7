"""Which type a column of text has, so that nothing that was written is lost.

A type is taken only when every value of the file fits it, and "fits" is strict: a number must be given back
as it was written, so leading zeros, ``+49…``, 17 digits, ``0x1F`` or ``12e5`` stay text, and so does a column
in which one value is of another kind. Zeros behind the point stay as well: where all values have as many
digits there (12.50, 7.00) they are decimals, else text (the sections 1.9 and 1.10). A sample proposes (in
Python), the whole file decides (in DuckDB): each value is checked while it is converted, and a value that
does not fit ends that pass; then one pass over all columns settles which of the proposed types
(``candidates``) fit everywhere. Words that are taught (``taught``) are text. A type that the user chose is
enforced with more lenient rules (``chosen_values``), and what does not fit is named by its row.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from core.readers.options import IngestOptions
from core.readers.sql import literal, quoted
from core.readers.text_types import chosen_values
from core.readers.text_types.candidates import TWO_DIGIT_YEARS, WHOLE, Candidate, known

MISFIT = "a value that does not fit its type"  # what the guard in the SQL says; never shown
_CHECKED_DATES = 2000
_ALMOST_NUMBER = re.compile(r"[+-]?[0-9][0-9_]*([.,][0-9]*)?([eE][+-]?[0-9]+)?|0[xX][0-9a-fA-F]+")


@dataclass(frozen=True)
class TextColumn:
    """One column of text and the types it may have, the likeliest first; none left means text.

    ``careful`` trims and takes a quoted empty field for a missing value; plain files need neither, and it
    costs time. ``chosen``: the user demands the type. ``unseen``: the sample holds no value of it.
    ``left_out``: marks and units of the values of a chosen number.
    """

    name: str
    candidates: tuple[Candidate, ...]
    nulls: tuple[str, ...] = ()
    careful: bool = False
    chosen: bool = False
    unseen: bool = False
    left_out: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        return self.candidates[0].type if self.candidates else "VARCHAR"

    @property
    def text(self) -> str:
        """The value as text, NULL where it is missing."""
        text = quoted(self.name)
        if self.nulls:
            text = (
                f"CASE WHEN trim({text}) IN ({', '.join(map(literal, self.nulls))}) THEN NULL ELSE {text} END"
            )
        return f"nullif(trim({text}), '')" if self.careful and self.candidates else text

    def converted(self, number: int) -> tuple[str, str]:
        """SQL in two steps, so that no cast is made twice:
        what to select from the file, and from that the value under its name.

        The second raises MISFIT for a value that does not fit.
        """
        if not self.candidates:
            return f"{self.text} AS x{number}", f"x{number} AS {quoted(self.name)}"
        best = self.candidates[0]
        fits = best.fits.replace("{x}", f"x{number}").replace("{v}", f"v{number}")
        value = (
            f"CASE WHEN x{number} IS NULL OR {fits} THEN v{number} ELSE error({literal(MISFIT)}) END "
            f"AS {quoted(self.name)}"
        )
        return f"{self.text} AS x{number}, {best.value.replace('{x}', self.text)} AS v{number}", value

    @property
    def misfit(self) -> str:
        """SQL that is true for a value that does not fit."""
        return f"({self.text} IS NOT NULL AND NOT coalesce({self.candidates[0].test(self.text)}, false))"


def propose(name: str, sample: Iterable[str], options: IngestOptions, *, taught: bool = False) -> TextColumn:
    """What a column may be, from some of its values; empty ones say nothing. ``taught``: its words are."""
    nulls = tuple(options.null_values or ())
    raw = {value for value in sample if value}
    values = {trimmed for value in raw if (trimmed := value.strip(" ")) and trimmed not in nulls}
    careful = bool(nulls) or any(value != value.strip(" ") for value in raw)
    wanted = (options.types or {}).get(name)
    if wanted:
        return _demanded(TextColumn(name, (), nulls, careful=True, chosen=True), wanted, values, options)
    possible = [WHOLE] if taught else known(options, values)
    if not values:
        return TextColumn(name, tuple(c for c in possible if not c.format), nulls, careful=True, unseen=True)
    return TextColumn(name, _fitting(possible, values), nulls, careful=careful)


def settle(columns: Sequence[TextColumn], answers: Sequence[tuple[int, Sequence[bool]]]) -> list[TextColumn]:
    """The columns with those candidates that fit the whole file. ``answers``: see :func:`questions`."""
    settled = []
    for column, (count, fits) in zip(columns, answers, strict=True):
        left = tuple(c for c, is_fit in zip(column.candidates, fits, strict=True) if is_fit and count)
        settled.append(
            replace(
                column, careful=True, unseen=False, candidates=left or column.candidates[-1:] * column.chosen
            )
        )
    return settled


def questions(column: TextColumn, *, careful: bool = True) -> list[str]:
    """Aggregates whose answers are the number of values and, per candidate, whether all of them fit."""
    x = replace(column, careful=careful).text
    tests = [f"bool_and({x} IS NULL OR coalesce({c.test(x)}, false))" for c in column.candidates]
    return [f"count({x})", *tests]


def has_unclear_century(values: Iterable[str]) -> bool:
    """Whether dates were kept as text because 45 may be 1945 or 2045."""
    filled = [value.strip() for value in values if value.strip()]
    return bool(filled) and any(all(map(form.fullmatch, filled)) for form in TWO_DIGIT_YEARS)


def is_nearly_number(values: Iterable[str]) -> bool:
    """Whether text that was kept looks like numbers to a person, who then wonders why."""
    filled = [value for value in values if value]
    return bool(filled) and all(_ALMOST_NUMBER.fullmatch(value.strip()) for value in filled)


def _fitting(candidates: Iterable[Candidate], values: set[str]) -> tuple[Candidate, ...]:
    """Those that all values look like; of dates, which take long to parse, not every value is tried."""
    all_, few = list(values), sorted(values)[:: max(1, len(values) // _CHECKED_DATES)]
    return tuple(c for c in candidates if all(c.looks(value) for value in (few if c.format else all_)))


def _demanded(column: TextColumn, wanted: str, values: set[str], options: IngestOptions) -> TextColumn:
    if wanted == "VARCHAR":
        return replace(column, careful=False)
    strict = _fitting((c for c in known(options, values) if c.type == wanted), values)
    if options.date_format and strict:
        return replace(column, candidates=strict)
    lenient, left_out = chosen_values.lenient(wanted, values, options)
    return replace(column, candidates=(*strict, lenient), left_out=left_out)
