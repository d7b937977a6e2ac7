"""How the values of a column are read whose type the user chose: more leniently than what is detected.

Numbers may have thousands marks, a currency before or behind them, or a percent sign; what is left out of
them is told. A single mark with three digits behind it may stand before a fraction as well (12,000), so it
is a thousands mark only where the user says so, or where another value of the column shows it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from core.readers.options import IngestOptions
from core.readers.sql import literal
from core.readers.text_types.candidates import Candidate, cast, guarded
from core.sql_types import is_decimal, is_number, size_of_decimal

TRUE = ("true", "yes", "t", "y", "1", "ja", "j", "oui", "si", "sí", "on")
FALSE = ("false", "no", "f", "n", "0", "nein", "non", "off")
_SPACES = " \u00a0\u202f\u2009"
_QUOTES = "'’"
_CURRENCIES = "$€£¥₹"
_CODES = "EUR|USD|GBP|CHF|JPY"
_UNIT = rf"(?:[{_CURRENCIES}%]|{_CODES})"
_UNITS = rf"[{_CURRENCIES}%]|{_CODES}|[{_SPACES}]"


def lenient(type_: str, values: Iterable[str], options: IngestOptions) -> tuple[Candidate, tuple[str, ...]]:
    """How to read a value as ``type_``, and what of the values is left out."""
    if not is_number(type_):
        return _LENIENT[type_], ()
    values = list(values)
    number = _Number(options.decimal or ".", options.thousands or _marks_in(values, options.decimal or "."))
    digits = size_of_decimal(type_)[1] if is_decimal(type_) else None if type_ == "DOUBLE" else 0
    form = number.form(digits)
    if digits is not None or not any(map(re.compile(_SPECIAL).fullmatch, values)):
        return guarded(type_, form, value=number.value(type_)), number.left_out(values)
    special = f"CASE WHEN regexp_full_match({{x}}, {literal(_SPECIAL)}) THEN TRY_CAST({{x}} AS DOUBLE) ELSE"
    return (
        guarded(type_, f"{form}|{_SPECIAL}", value=f"{special} {number.value(type_)} END"),
        number.left_out(values),
    )


@dataclass(frozen=True)
class _Number:
    """How numbers are written: the mark before the fraction, and those between thousands."""

    decimal: str
    thousands: str

    def form(self, num_digits: int | None) -> str:
        """A pattern. ``num_digits``: the most behind the point; None: any number, and an exponent."""
        digits = "[0-9]+"
        if self.thousands:
            digits = rf"(?:[0-9]{{1,3}}(?:[{re.escape(self.thousands)}][0-9]{{3}})+|[0-9]+)"
        if num_digits != 0:
            point, most = re.escape(self.decimal), "" if num_digits is None else num_digits
            exponent = r"(?:[eE][+-]?[0-9]+)?" if num_digits is None else ""
            digits = rf"(?:{digits}(?:{point}[0-9]{{0,{most}}})?|{point}[0-9]{{1,{most}}}){exponent}"
        space = f"[{_SPACES}]?"
        return rf"(?:[+-]{space})?(?:{_UNIT}{space}[+-]?)?{digits}(?:{space}{_UNIT})?"

    def value(self, type_: str) -> str:
        bare = f"regexp_replace({{x}}, {literal(self._left_out())}, '', 'g')"
        plain = f"replace({bare}, ',', '.')" if self.decimal == "," else bare
        return f"TRY_CAST({plain} AS {type_})"

    def left_out(self, values: Iterable[str]) -> tuple[str, ...]:
        found = {
            part.strip(_SPACES) or "spaces"
            for value in values
            for part in re.findall(self._left_out(), value)
        }
        return tuple(sorted(found))

    def _left_out(self) -> str:
        return rf"{_UNITS}|[{re.escape(self.thousands)}]" if self.thousands else _UNITS


def _marks_in(values: Iterable[str], decimal: str) -> str:
    """The marks that can only stand between thousands in these values."""
    other = "." if decimal == "," else ","
    safe = _SPACES + _QUOTES
    shows = re.compile(
        rf"[^0-9]*[0-9]{{1,3}}(?:{re.escape(other)}[0-9]{{3}})+{re.escape(decimal)}[0-9]*[^0-9]*"
        rf"|[^0-9]*[0-9]{{1,3}}(?:{re.escape(other)}[0-9]{{3}}){{2,}}[^0-9]*"
    )
    return safe + other if any(map(shows.fullmatch, values)) else safe


_SPECIAL = "nan|NaN|-?inf|-?Infinity"
_TRUE, _FALSE = (", ".join(map(literal, words)) for words in (TRUE, FALSE))
_LENIENT = {
    "BOOLEAN": Candidate(
        "BOOLEAN", f"lower({{x}}) IN ({_TRUE}, {_FALSE})", f"lower({{x}}) IN ({_TRUE})", bool
    ),
    "DATE": Candidate("DATE", "{v} IS NOT NULL", cast("DATE"), bool),
    "TIMESTAMP": Candidate("TIMESTAMP", "{v} IS NOT NULL", cast("TIMESTAMP"), bool),
    "TIMESTAMP WITH TIME ZONE": Candidate(
        "TIMESTAMP WITH TIME ZONE", "{v} IS NOT NULL", cast("TIMESTAMPTZ"), bool
    ),
    "JSON": Candidate("JSON", "{v} IS NOT NULL", cast("JSON"), bool),
}
