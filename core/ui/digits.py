"""Numbers in tables: digits in groups of three, as many places behind the point as the column needs.

What names something (an id, a year, a postal code) keeps its digits together, and so do columns whose numbers
all have fewer than five. No digit is ever rounded away here.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

NULL = "null"  # for a missing value, in every table
PLAIN = re.compile(r"-?\d+(?:\.\d+)?")
LABEL = re.compile(
    r"(?:^|[_\s.-])(?:ids?|key|year|yr|zip|plz|postcode|postal|phone|code|nr|no)$", re.IGNORECASE
)
CAMEL_LABEL = re.compile(r"[a-z](?:Id|ID|Key|Year|Zip|Code|No|Nr)$")
MOST_PLACES = 9
GROUPED_FROM = 10_000
LARGEST_EXACT = 2**53  # a browser's numbers are floats


def names_something(column: str) -> bool:
    """Whether the numbers of a column are names: nobody adds them up."""
    return bool(LABEL.search(column) or CAMEL_LABEL.search(column))


def scale_of(type_: str) -> int:
    """The places behind the point that a column's type promises."""
    match = re.fullmatch(r"DECIMAL\((\d+),\s*(\d+)\)", type_)
    return int(match.group(2)) if match else 0


def aligned(column: str, texts: Sequence[str | None], *, places: int = 0) -> list[str | None]:
    """The texts of a column's numbers, written alike. ``places``: at least so many behind the point.

    What is no plain number (NaN, 1e+20) stays as it is.
    """
    plain = [text for text in texts if text is not None and PLAIN.fullmatch(text)]
    places = max([places, *(_places(text) for text in plain)])
    if places > MOST_PLACES:
        places = 0
    grouped = not names_something(column) and any(_whole(text) >= GROUPED_FROM for text in plain)
    return [
        _write(text, places, grouped=grouped) if text is not None and PLAIN.fullmatch(text) else text
        for text in texts
    ]


def formats(table: pa.Table) -> dict[str, Any]:
    """How ``st.dataframe`` writes a table's columns of numbers."""
    found = {}
    for field in table.schema:
        if format_ := _format(field.name, table[field.name]):
            found[field.name] = st.column_config.NumberColumn(format=format_)
    return found


def _format(name: str, cells: pa.ChunkedArray) -> str | None:
    type_ = cells.type
    if pa.types.is_integer(type_):
        highest = _largest(cells)
        grouped = not names_something(name) and GROUPED_FROM <= highest < LARGEST_EXACT
        return "%,d" if grouped else "%d" if highest < LARGEST_EXACT else None
    if pa.types.is_floating(type_):
        return _float_format(name, cells)
    return None


def _float_format(name: str, cells: pa.ChunkedArray) -> str | None:
    texts = [repr(value).removesuffix(".0") for value in _values(cells)]
    if not texts or not all(map(PLAIN.fullmatch, texts)):
        return None
    places = min(max(map(_places, texts)), MOST_PLACES)
    grouped = not names_something(name) and any(_whole(text) >= GROUPED_FROM for text in texts)
    return f"%{',' if grouped else ''}.{places}f"


def _values(cells: pa.ChunkedArray) -> Iterable[float]:
    return [value for value in cells.to_pylist() if value is not None]


def _largest(cells: pa.ChunkedArray) -> int:
    ends = pc.min_max(cells).as_py()
    return max(abs(ends["min"] or 0), abs(ends["max"] or 0))


def _places(text: str) -> int:
    return len(text.partition(".")[2])


def _whole(text: str) -> int:
    return int(text.lstrip("-").partition(".")[0])


def _write(text: str, places: int, *, grouped: bool) -> str:
    sign = "-" if text.startswith("-") else ""
    whole, _, behind = text.lstrip("-").partition(".")
    whole = f"{int(whole):,}" if grouped and (whole == "0" or not whole.startswith("0")) else whole
    behind = behind.ljust(places, "0")
    return f"{sign}{whole}.{behind}" if behind else f"{sign}{whole}"
