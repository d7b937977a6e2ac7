"""What a user may decide about the reading of a file.

Everything else is detected, told, and may be changed here.
"""

import codecs
import re
from typing import Literal

from pydantic import Field, field_validator

from core.fields import Input

# The types a column can be given, with what people call them.
TYPES: dict[str, str] = {
    "VARCHAR": "Text",
    "BIGINT": "Whole number",
    "DECIMAL(38,0)": "Whole number, up to 38 digits",
    "DOUBLE": "Number",
    "BOOLEAN": "True or false",
    "DATE": "Date",
    "TIMESTAMP": "Date and time",
    "TIMESTAMP WITH TIME ZONE": "Date and time with zone",
    "JSON": "JSON",
}

_DECIMAL = re.compile(r"DECIMAL\((\d{1,2}),(\d{1,2})\)")


def is_choice(type_: str) -> bool:
    """Whether a column can be given this type: one of ``TYPES``, or a decimal of any size."""
    found = _DECIMAL.fullmatch(type_)
    return type_ in TYPES or (
        found is not None and int(found[2]) <= int(found[1]) <= 38 and int(found[1]) > 0
    )


class IngestOptions(Input):
    """How to read an upload.

    Everything is detected unless it is given. Columns are named as they stand in the file.
    """

    delimiter: str | None = Field(
        None, title="Delimiter", description="What separates values in a text file. Empty: detected."
    )
    encoding: str | None = Field(
        None, title="Encoding", description="Text encoding such as utf-8 or cp1252. Empty: detected."
    )
    header: bool | None = Field(
        None, title="Header", description="Whether the first row holds the column names. Empty: detected."
    )
    skip_lines: int | None = Field(
        None,
        title="Lines above the table",
        description="Lines to leave out above the first row. Empty: detected.",
        ge=0,
        le=10_000,
    )
    date_format: str | None = Field(
        None, title="Date format", description="Such as %d/%m/%Y. Empty: detected.", max_length=40
    )
    decimal: Literal[".", ","] | None = Field(
        None, title="Decimal mark", description="What stands before the fraction: 1.5 or 1,5. Empty: a point."
    )
    thousands: Literal[",", ".", " ", "'"] | None = Field(
        None,
        title="Thousands mark",
        description="What stands between thousands in a column that is to be a number: 1,234.50. "
        "Empty: detected where it can mean nothing else.",
    )
    comment: str | None = Field(
        None,
        title="Comments",
        description="Lines that begin with this character are left out. Empty: detected.",
        max_length=1,
    )
    null_values: list[str] | None = Field(
        None,
        title="Missing values",
        description="Words that mean there is no value. Empty: only an empty field.",
        max_length=50,
    )
    sheet: str | None = Field(
        None, title="Sheet", description="Name of the Excel sheet. Empty: the first one.", max_length=200
    )
    member: str | None = Field(
        None, title="File in the archive", description="Which file of a ZIP archive to read.", max_length=1000
    )
    types: dict[str, str] | None = Field(
        None, title="Types", description="Type per column; null and all others: detected.", max_length=10_000
    )
    names: dict[str, str] | None = Field(
        None, title="Names", description="New name per column.", max_length=10_000
    )
    skip_bad_rows: bool = Field(
        False, title="Skip bad rows", description="Leave out rows that cannot be read, and list them."
    )

    @field_validator(
        "delimiter", "encoding", "date_format", "sheet", "member", "types", "names", "null_values", "comment"
    )
    @classmethod
    def _empty_means_detected(cls, value: object) -> object:
        return value or None

    @field_validator("delimiter")
    @classmethod
    def _delimiter_is_one_character(cls, value: str | None) -> str | None:
        value = {"tab": "\t", "\\t": "\t", "space": " "}.get(value or "", value)
        if value is not None and (len(value) != 1 or value in '"\r\n'):
            raise ValueError("must be one character, or 'tab'")
        return value

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            "".encode(value)
            return codecs.lookup(value).name
        except (LookupError, UnicodeError) as error:
            raise ValueError("is not a known encoding; try utf-8, utf-16, cp1252 or latin-1") from error

    @field_validator("types", mode="before")
    @classmethod
    def _null_means_detected(cls, types: object) -> object:
        if not isinstance(types, dict):
            return types
        return {name: type_ for name, type_ in types.items() if type_ is not None} or None

    @field_validator("types")
    @classmethod
    def _types_are_known(cls, types: dict[str, str] | None) -> dict[str, str] | None:
        known = {name: type_.strip().upper() for name, type_ in (types or {}).items()}
        wrong = next((name for name, type_ in known.items() if not is_choice(type_)), None)
        if wrong is not None:
            raise ValueError(f"column {wrong!r}: the type must be one of {', '.join(TYPES)}")
        return known or None

    @field_validator("names")
    @classmethod
    def _names_are_names(cls, names: dict[str, str] | None) -> dict[str, str] | None:
        new_names = {old: new.strip() for old, new in (names or {}).items()}
        if any(not 0 < len(new) <= 200 for new in new_names.values()):
            raise ValueError("a column's name has 1 to 200 characters")
        if len({new.lower() for new in new_names.values()}) < len(new_names):
            raise ValueError("two columns cannot have the same name")
        return new_names or None
