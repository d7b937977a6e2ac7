"""The training formats, and how a table is recognised as one.

``layouts`` has the names of columns by which tables are known, ``reading`` makes examples of a version's
rows, ``tally`` and ``unread`` say what of them would not be learned.

To add a format: one file with a subclass of :class:`Format`, one line in ``FORMATS``. Detection, mapping
form, API schema, validation and the contract test follow. ``table`` stays last: it takes everything.
"""

from collections.abc import Sequence

from core.errors import Detail, ValidationError
from core.formats.base import (
    ChatExample,
    Column,
    ColumnMapping,
    Example,
    Format,
    Message,
    PreferenceExample,
    Role,
    Text,
)
from core.formats.chat import ChatFormat
from core.formats.completion import CompletionFormat
from core.formats.preference import PreferenceFormat
from core.formats.reading import read_examples
from core.formats.table import TableFormat
from core.formats.tally import Remark, RowTally
from core.formats.text import TextFormat
from core.formats.unread import unread_columns

__all__ = [
    "FORMATS",
    "ChatExample",
    "Example",
    "Format",
    "Message",
    "PreferenceExample",
    "Remark",
    "Role",
    "RowTally",
    "Text",
    "check_format",
    "detect",
    "mapped",
    "own_format",
    "read_examples",
    "unread_columns",
]

FORMATS: dict[str, Format] = {
    format_.name: format_
    for format_ in (ChatFormat(), PreferenceFormat(), CompletionFormat(), TextFormat(), TableFormat())
}
# A table of preferences may hold the conversation, too, so these are looked for first
DETECTED = ("preference", "chat", "completion", "text", "table")


def detect(columns: Sequence[Column]) -> str:
    """The name of the first format that these columns have as they are; ``table`` if none."""
    return next(name for name in DETECTED if FORMATS[name].detect(columns))


def own_format(columns: Sequence[Column], stated: str | None) -> Format:
    """What a version trains as without a mapping. ``stated``: the format it was given when it was made."""
    return FORMATS[stated if stated not in (None, "table") else detect(columns)]


def check_format(name: str, columns: Sequence[Column]) -> None:
    """Raises ValidationError when a table was said to have a format that its columns do not have."""
    if name not in FORMATS:
        raise ValidationError.of("format", f"must be auto or one of {', '.join(FORMATS)}")
    if not FORMATS[name].detect(columns):
        needed = " and ".join(role.name for role in FORMATS[name].roles if role.required)
        raise ValidationError.of("format", f"{name} needs {needed}, but the columns are {_names(columns)}")


def mapped(columns: Sequence[Column], mapping: ColumnMapping | None, own: str | None = None) -> Format:
    """The format a table trains as: its own, or the one that ``mapping`` (role -> column) makes of it.

    ``own``: the format that its version was given when it was made, so that no job reads other columns when
    more is recognised; a table may become more. None: what the columns are recognised as now.

    Raises ValidationError for a mapping that fits no format, or that names a column that is not there.
    """
    if not mapping:
        return _native(columns, own)
    present = {column["name"] for column in columns}
    unknown = [
        Detail(f"columns.{role}", f"there is no column {name!r}")
        for role, name in mapping.items()
        if name not in present
    ]
    if unknown:
        raise ValidationError(f"{unknown[0].message}. The columns are {_names(columns)}.", details=unknown)
    if len(set(mapping.values())) < len(mapping):
        raise ValidationError.of("columns", "one column cannot play two roles")
    return _format_with(set(mapping))


def _native(columns: Sequence[Column], own: str | None) -> Format:
    native = own_format(columns, own)
    if not native.trainable:
        raise ValidationError.of(
            "columns",
            f"say which column is the prompt and which the completion; the columns are {_names(columns)}",
        )
    return native


def _format_with(roles: set[str]) -> Format:
    for format_ in FORMATS.values():
        allowed = {role.name for role in format_.roles}
        required = {role.name for role in format_.roles if role.required}
        if required and required <= roles <= allowed:
            return format_
    known = "; ".join(_roles_of(format_) for format_ in FORMATS.values() if format_.trainable)
    raise ValidationError.of("columns", f"map the columns to one of: {known}")


def _roles_of(format_: Format) -> str:
    """``prompt + completion (+ input, system)``"""
    optional = ", ".join(role.name for role in format_.roles if not role.required)
    needed = " + ".join(role.name for role in format_.roles if role.required)
    return f"{needed} (+ {optional})" if optional else needed


def _names(columns: Sequence[Column]) -> str:
    names = [column["name"] for column in columns]
    return ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
