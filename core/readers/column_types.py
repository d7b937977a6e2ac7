"""Which type a column of text has, so that nothing that was written is lost.

A type is taken only when every value of the file fits it, and "fits" is strict: a number must be given back
as it was written, so leading zeros, ``+49…``, 17 digits, ``0x1F`` or ``12e5`` stay text, and so does a column
in which one value is of another kind. A sample proposes (in Python), the whole file decides (in DuckDB): each
value is checked while it is converted, and a value that does not fit ends that pass; then one pass over all
columns settles which of the proposed types fit everywhere. Words that are taught (``PROSE``) are text. A type
that the user chose is enforced with more lenient rules, and what does not fit is named by its row.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from core.readers.base import PROSE
from core.readers.options import IngestOptions
from core.readers.sql import literal, quoted

MISFIT = "a value that does not fit its type"  # what the guard in the SQL says; never shown
_CHECKED_DATES = 2000
_NUMBER = r"-?(?:0|[1-9][0-9]{0,14})?(?:[.][0-9]*)?(?:[eE][+-][0-9]+)?|nan|NaN|-?inf|-?Infinity"
_COMMA_NUMBER = r"-?(?:[1-9][0-9]{0,2}(?:[.][0-9]{3}){1,4}|0|[1-9][0-9]{0,14})?(?:,[0-9]*)?"
_LENIENT_NUMBER = r"[+-]?(?:[0-9]+[.]?[0-9]*|[.][0-9]+)(?:[eE][+-]?[0-9]+)?|nan|NaN|-?inf|-?Infinity"
_ALMOST_NUMBER = re.compile(r"[+-]?[0-9][0-9_]*([.,][0-9]*)?([eE][+-]?[0-9]+)?|0[xX][0-9a-fA-F]+")
_CLOCK = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.][0-9]{1,6})?)?"
_ISO_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T]" + _CLOCK
_DIRECTIVES = {
    "%d": "[0-9]{1,2}",
    "%m": "[0-9]{1,2}",
    "%Y": "[0-9]{4}",
    "%y": "[0-9]{2}",
    "%H": "[0-9]{1,2}",
    "%I": "[0-9]{1,2}",
    "%M": "[0-9]{2}",
    "%S": "[0-9]{2}",
    "%b": "[A-Za-z]{3}",
    "%B": "[A-Za-z]{3,}",
    "%p": "[AaPp][Mm]",
}
_DATE_FORMATS = [
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d/%m/%y",
    "%m/%d/%y",
    "%d.%m.%y",
    "%b %d %Y",
    "%b %d, %Y",
    "%d %b %Y",
    "%B %d %Y",
    "%B %d, %Y",
    "%d %B %Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%d/%b/%Y",
]
_TIME_FORMATS = ["%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p"]


@dataclass(frozen=True)
class Candidate:
    """A type that a column may have. ``value`` is SQL about the text ``{x}``, ``fits`` about that and the
    value ``{v}``; ``looks`` asks a sample value the same.
    """

    type: str
    fits: str
    value: str
    looks: Callable[[str], object]
    format: str | None = None

    def test(self, x: str) -> str:
        """``fits`` where no value was made before."""
        return self.fits.replace("{v}", self.value).replace("{x}", x)


@dataclass(frozen=True)
class TextColumn:
    """One column of text and the types it may have, the likeliest first; none left means text.

    ``careful`` trims and takes a quoted empty field for a missing value; plain files need neither, and it
    costs time. ``chosen``: the user demands the type. ``unseen``: the sample holds no value of it.
    """

    name: str
    candidates: tuple[Candidate, ...]
    nulls: tuple[str, ...] = ()
    careful: bool = False
    chosen: bool = False
    unseen: bool = False

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


def propose(name: str, sample: Iterable[str], options: IngestOptions) -> TextColumn:
    """What a column may be, from some of its values; empty ones say nothing."""
    nulls = tuple(options.null_values or ())
    raw = {value for value in sample if value}
    values = {trimmed for value in raw if (trimmed := value.strip(" ")) and trimmed not in nulls}
    careful = bool(nulls) or any(value != value.strip(" ") for value in raw)
    wanted = (options.types or {}).get(name)
    if wanted:
        return _demanded(TextColumn(name, (), nulls, careful=True, chosen=True), wanted, values, options)
    known = [_WHOLE] if name.lower() in PROSE else _known(options)
    if not values:
        return TextColumn(name, tuple(c for c in known if not c.format), nulls, careful=True, unseen=True)
    return TextColumn(name, _fitting(known, values), nulls, careful=careful)


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


def questions(column: TextColumn) -> list[str]:
    """Aggregates whose answers are the number of values and, per candidate, whether all of them fit."""
    careful = replace(column, careful=True)
    x = careful.text
    tests = [f"bool_and({x} IS NULL OR coalesce({c.test(x)}, false))" for c in column.candidates]
    return [f"count({x})", *tests]


def is_nearly_number(values: Iterable[str]) -> bool:
    """Whether text that was kept looks like numbers to a person, who then wonders why."""
    filled = [value for value in values if value]
    return bool(filled) and all(_ALMOST_NUMBER.fullmatch(value.strip()) for value in filled)


def _known(options: IngestOptions) -> list[Candidate]:
    dates = _dates([options.date_format]) if options.date_format else _ALL_DATES
    return [_BOOLEAN, _WHOLE, _BIG_WHOLE, _COMMA_DOUBLE if options.decimal == "," else _DOUBLE, *_ISO, *dates]


def _fitting(candidates: Iterable[Candidate], values: set[str]) -> tuple[Candidate, ...]:
    """Those that all values look like; of dates, which take long to parse, not every value is tried."""
    all_, few = list(values), sorted(values)[:: max(1, len(values) // _CHECKED_DATES)]
    return tuple(c for c in candidates if all(c.looks(value) for value in (few if c.format else all_)))


def _demanded(column: TextColumn, wanted: str, values: set[str], options: IngestOptions) -> TextColumn:
    if wanted == "VARCHAR":
        return replace(column, careful=False)
    strict = _fitting((c for c in _known(options) if c.type == wanted), values)
    if options.date_format and strict:
        return replace(column, candidates=strict)
    return replace(column, candidates=(*strict, _LENIENT[wanted]))


def _pattern(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern).fullmatch


def _matches(pattern: str) -> str:
    return f"regexp_full_match({{x}}, {literal(pattern)})"


def _cast(type_: str) -> str:
    return f"TRY_CAST({{x}} AS {type_})"


def _guarded(type_: str, pattern: str, *, value: str | None = None) -> Candidate:
    return Candidate(
        type_, f"({{v}} IS NOT NULL AND {_matches(pattern)})", value or _cast(type_), _pattern(pattern)
    )


def _exact(type_: str, pattern: str) -> Candidate:
    """A type whose values are written in one way only: what is read must be written the same."""
    return Candidate(type_, "{v}::VARCHAR = {x}", _cast(type_), _pattern(pattern))


def _dates(formats: Sequence[str]) -> list[Candidate]:
    return [_dated(format_) for format_ in formats]


def _dated(format_: str) -> Candidate:
    shape = "".join(
        _DIRECTIVES.get(part) or re.escape(part).replace("\\ ", " ")
        for part in re.findall(r"%.|[^%]|%$", format_)
    )
    has_zone, has_clock = (
        "%z" in format_ or "%Z" in format_,
        any(f"%{d}" in format_.replace("-", "") for d in "HIMSfT"),
    )
    type_ = "TIMESTAMP WITH TIME ZONE" if has_zone else "TIMESTAMP" if has_clock else "DATE"
    parsed = f"try_strptime({{x}}, {literal(format_)})"
    is_plain = all(part in _DIRECTIVES for part in re.findall(r"%-?.", format_))
    fits = f"({{v}} IS NOT NULL AND {_matches(shape)})" if is_plain else "{v} IS NOT NULL"
    looks = re.compile(shape).fullmatch if is_plain else None
    return Candidate(
        type_, fits, f"{parsed}::{type_}", lambda value: _is_date(value, format_, looks), format_
    )


def _is_date(value: str, format_: str, looks: Callable[[str], object] | None) -> bool:
    if looks is None:
        return True  # a directive that only DuckDB knows: it decides
    if not looks(value):
        return False
    try:
        dt.datetime.strptime(value, format_)
    except ValueError:
        return False
    return True


_BOOLEAN = Candidate(
    "BOOLEAN",
    "({x} IN ('true', 'false') OR lower({x}) IN ('true', 'false'))",
    _cast("BOOLEAN"),
    _pattern("(?i:true|false)"),
)
_WHOLE = _exact("BIGINT", r"-?(?:0|[1-9][0-9]{0,18})")
_BIG_WHOLE = _guarded("DECIMAL(38,0)", r"-?(?:0|[1-9][0-9]{0,37})")
_DOUBLE = _guarded("DOUBLE", _NUMBER)
_COMMA_DOUBLE = _guarded(
    "DOUBLE", _COMMA_NUMBER, value="TRY_CAST(replace(replace({x}, '.', ''), ',', '.') AS DOUBLE)"
)
_ISO = [
    _exact("DATE", r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    _guarded("TIME", r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.][0-9]{1,6})?"),
    Candidate(
        "TIMESTAMP",  # the usual 19 characters are told without a pattern, which is four times as fast
        f"({{v}} IS NOT NULL AND (strlen({{x}}) = 19 AND {{x}}[17] = ':' OR {_matches(_ISO_TIME)}))",
        _cast("TIMESTAMP"),
        _pattern(_ISO_TIME),
    ),
    _guarded("TIMESTAMP WITH TIME ZONE", _ISO_TIME + " ?(?:Z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)"),
]
_ALL_DATES = _dates([*_DATE_FORMATS, *(f"{day} {clock}" for day in _DATE_FORMATS for clock in _TIME_FORMATS)])
_LENIENT = {
    "BIGINT": _guarded("BIGINT", "[+-]?[0-9]+"),
    "DECIMAL(38,0)": _guarded("DECIMAL(38,0)", "[+-]?[0-9]+"),
    "DOUBLE": _guarded("DOUBLE", _LENIENT_NUMBER),
    "BOOLEAN": Candidate(
        "BOOLEAN",
        "lower({x}) IN ('true', 'false', 'yes', 'no', 't', 'f', 'y', 'n', '1', '0')",
        "lower({x}) IN ('true', 'yes', 't', 'y', '1')",
        bool,
    ),
    "DATE": Candidate("DATE", "{v} IS NOT NULL", _cast("DATE"), bool),
    "TIMESTAMP": Candidate("TIMESTAMP", "{v} IS NOT NULL", _cast("TIMESTAMP"), bool),
    "TIMESTAMP WITH TIME ZONE": Candidate(
        "TIMESTAMP WITH TIME ZONE", "{v} IS NOT NULL", _cast("TIMESTAMPTZ"), bool
    ),
    "JSON": Candidate("JSON", "{v} IS NOT NULL", _cast("JSON"), bool),
}
