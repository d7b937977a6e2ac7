"""What a download cannot hold as it is, said at its button. The guide has the whole table."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from core import sql_types
from core.ui import show

NAMED = 4  # columns; the others are counted
DOUBLE_DIGITS = 15  # decimals of more may be rounded by whoever reads them as floating point
Test = Callable[[str], bool]


def _has(*wanted: str) -> Test:
    return lambda type_: any(sql_types.kind(leaf) in wanted for leaf in sql_types.leaves(type_))


def _is_long(type_: str) -> bool:
    return any(
        sql_types.is_decimal(leaf) and sql_types.size_of_decimal(leaf)[0] > DOUBLE_DIGITS
        for leaf in sql_types.leaves(type_)
    )


# by form: which columns (by type), and what becomes of them
LOSSES: Mapping[str, tuple[tuple[Test, str], ...]] = {
    "csv": (
        (sql_types.is_nested, "written as JSON"),
        (_has("BLOB"), "bytes as Base64"),
        (_has("INTERVAL"), "intervals as text"),
    ),
    "jsonl": (
        (_has(*sql_types.FLOATS), "NaN and infinity become null"),
        (_is_long, "numbers that a reader would round become text"),
        (_has("BLOB"), "bytes as Base64"),
        (_has("INTERVAL"), "intervals as text"),
    ),
}


def help_of(form: str, columns: Iterable[Mapping[str, str]]) -> str | None:
    """For the button of a form, such as csv; None where all comes back as it is, but for types in a CSV.

    ``columns``: name and type, as a version has them.
    """
    known = list(columns)
    said = [
        f"{_named(touched)}: {what}"
        for is_touched, what in LOSSES.get(form, ())
        if (touched := [column for column in known if is_touched(column["type"])])
    ]
    return ". ".join(said) + "." if said else None


def _named(columns: Sequence[Mapping[str, str]]) -> str:
    names = ", ".join(show.code(column["name"]) for column in columns[:NAMED])
    return names + (f" and {len(columns) - NAMED:,} more" if len(columns) > NAMED else "")
