"""The types that a column of text may have, each with what its values must look like.

A type is asked twice: in Python of a sample (``looks``), in SQL of every value (``fits``). All are strict:
what is read must be written back as it was. What a user demands is read more leniently (``chosen_values``).
"""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from core.clock import now
from core.readers.options import IngestOptions
from core.readers.sql import literal

_WHOLE_PART = r"-?(?:0|[1-9][0-9]{0,14})?"
# A zero at the end would not be written back, but for that of 1.0
_FRACTION = r"(?:[.](?:0?|[0-9]*[1-9]))?"
_NUMBER = rf"{_WHOLE_PART}{_FRACTION}|{_WHOLE_PART}(?:[.][0-9]*)?[eE][+-][0-9]+|nan|NaN|-?inf|-?Infinity"
_LONGEST_EXACT = 20  # characters: 17 digits, the sign, the point and a zero before it
_SCALED = re.compile(r"-?(?:0|[1-9][0-9]*)[.]([0-9]+)")
_DIGITS, _MOST_DIGITS = 18, 38  # of decimals: in 64 bits, at all
_COMMA_NUMBER = r"-?(?:[1-9][0-9]{0,2}(?:[.][0-9]{3}){1,4}|0|[1-9][0-9]{0,14})?(?:,[0-9]*)?"
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
    value ``{v}``; ``looks`` asks a sample value the same. ``format``: of a date that is not ISO 8601.
    """

    type: str
    fits: str
    value: str
    looks: Callable[[str], object]
    format: str | None = None
    is_rounded: bool = False  # digits are lost

    def test(self, x: str) -> str:
        """``fits`` where no value was made before."""
        return self.fits.replace("{v}", self.value).replace("{x}", x)


def known(options: IngestOptions, values: Iterable[str]) -> list[Candidate]:
    """The likeliest first."""
    dates = _dates([options.date_format]) if options.date_format else ALL_DATES
    numbers = [_COMMA_DOUBLE] if options.decimal == "," else [_DOUBLE, *_decimals(values), _ROUNDED_DOUBLE]
    return [BOOLEAN, WHOLE, _BIG_WHOLE, *numbers, *ISO, *dates]


def _decimals(values: Iterable[str]) -> list[Candidate]:
    """Of numbers that all have as many digits behind the point, decimals with that many."""
    parts = {len(found[1]) if (found := _SCALED.fullmatch(value)) else 0 for value in values}
    scale = parts.pop() if len(parts) == 1 else 0
    return [_decimal(digits, scale) for digits in (_DIGITS, _MOST_DIGITS) if 0 < scale < digits]


def _decimal(digits: int, scale: int) -> Candidate:
    whole = rf"-?(?:0|[1-9][0-9]{{0,{digits - scale - 1}}})"
    return exact(f"DECIMAL({digits},{scale})", rf"{whole}[.][0-9]{{{scale}}}")


def pattern(form: str) -> Callable[[str], object]:
    return re.compile(form).fullmatch


def matches(form: str) -> str:
    return f"regexp_full_match({{x}}, {literal(form)})"


def cast(type_: str) -> str:
    return f"TRY_CAST({{x}} AS {type_})"


def guarded(type_: str, form: str, *, value: str | None = None) -> Candidate:
    return Candidate(type_, f"({{v}} IS NOT NULL AND {matches(form)})", value or cast(type_), pattern(form))


def exact(type_: str, form: str) -> Candidate:
    """A type whose values are written in one way only: what is read must be written the same."""
    return Candidate(type_, "{v}::VARCHAR = {x}", cast(type_), pattern(form))


def _dates(formats: Sequence[str], *, are_stated: bool = True) -> list[Candidate]:
    return [_dated(format_, is_stated=are_stated) for format_ in formats]


def _dated(format_: str, *, is_stated: bool) -> Candidate:
    """A date format. Of years with two digits none that nobody stated lies in the future: it may be one of
    the century before.
    """
    shape = _shape(format_)
    has_zone, has_clock = (
        "%z" in format_ or "%Z" in format_,
        any(f"%{d}" in format_.replace("-", "") for d in "HIMSfT"),
    )
    type_ = "TIMESTAMP WITH TIME ZONE" if has_zone else "TIMESTAMP" if has_clock else "DATE"
    parsed = f"try_strptime({{x}}, {literal(format_)})"
    is_plain = all(part in _DIRECTIVES for part in re.findall(r"%-?.", format_))
    fits = f"({{v}} IS NOT NULL AND {matches(shape)})" if is_plain else "{v} IS NOT NULL"
    is_past = not is_stated and "%y" in format_
    if is_past:
        fits = f"({fits} AND {{v}} <= today())"
    looks = re.compile(shape).fullmatch if is_plain else None
    return Candidate(
        type_,
        fits,
        f"{parsed}::{type_}",
        lambda value: _is_date(value, format_, looks, is_past=is_past),
        format_,
    )


def _shape(format_: str) -> str:
    return "".join(
        _DIRECTIVES.get(part) or re.escape(part).replace("\\ ", " ")
        for part in re.findall(r"%.|[^%]|%$", format_)
    )


def _is_date(value: str, format_: str, looks: Callable[[str], object] | None, *, is_past: bool) -> bool:
    if looks is None:
        return True  # a directive that only DuckDB knows: it decides
    if not looks(value):
        return False
    try:
        moment = dt.datetime.strptime(value, format_)
    except ValueError:
        return False
    return not is_past or moment.date() <= now().date()


def two_digit_years(values: Iterable[str]) -> list[str]:
    """The date formats with years of two digits that all these values have."""
    filled = {value.strip() for value in values if value.strip()}
    forms = [(format_, re.compile(_shape(format_))) for format_ in _DATE_FORMATS if "%y" in format_]
    return [
        format_
        for format_, looks in forms
        if filled and all(_is_date(value, format_, looks.fullmatch, is_past=False) for value in filled)
    ]


BOOLEAN = Candidate(
    "BOOLEAN",
    "({x} IN ('true', 'false') OR lower({x}) IN ('true', 'false'))",
    cast("BOOLEAN"),
    pattern("(?i:true|false)"),
)
WHOLE = exact("BIGINT", r"-?(?:0|[1-9][0-9]{0,18})")
_BIG_WHOLE = guarded("DECIMAL(38,0)", r"0|-?[1-9][0-9]{0,37}")
_DOUBLE = Candidate(
    "DOUBLE",
    f"({{v}} IS NOT NULL AND strlen({{x}}) <= {_LONGEST_EXACT} AND {matches(_NUMBER)})",
    cast("DOUBLE"),
    lambda value: len(value) <= _LONGEST_EXACT and re.fullmatch(_NUMBER, value),
)
_ROUNDED_DOUBLE = replace(guarded("DOUBLE", _NUMBER), is_rounded=True)
_COMMA_DOUBLE = guarded(
    "DOUBLE", _COMMA_NUMBER, value="TRY_CAST(replace(replace({x}, '.', ''), ',', '.') AS DOUBLE)"
)
ISO = [
    exact("DATE", r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    guarded("TIME", r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.][0-9]{1,6})?"),
    Candidate(
        "TIMESTAMP",  # the usual 19 characters are told without a pattern, which is four times as fast
        f"({{v}} IS NOT NULL AND (strlen({{x}}) = 19 AND {{x}}[17] = ':' OR {matches(_ISO_TIME)}))",
        cast("TIMESTAMP"),
        pattern(_ISO_TIME),
    ),
    guarded("TIMESTAMP WITH TIME ZONE", _ISO_TIME + " ?(?:Z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)"),
]
ALL_DATES = _dates(
    [*_DATE_FORMATS, *(f"{day} {clock}" for day in _DATE_FORMATS for clock in _TIME_FORMATS)],
    are_stated=False,
)
TWO_DIGIT_YEARS = [re.compile(_shape(format_)) for format_ in _DATE_FORMATS if "%y" in format_]
