"""What a failed query is told: what is wrong, where in the text, and what to write instead.

Positions count characters from 0. No word of it names a path, a setting or how tables are stored.
"""

import re
from collections.abc import Iterable

from core import datasets
from core.errors import DiskFull, LuthierError, QueryTimeout, SqlError, TooLarge
from core.people.users import User
from core.query.names import Names, needs_quotes, quoted_where_needed
from core.sql_sandbox import Limits, QueryFailed
from core.sql_sandbox.gate import fold

MAX_LISTED = 8
_UNKNOWN_COLUMN = re.compile(r'Unknown column "(.*?)"\.(?P<advice> Did you mean)?', re.DOTALL)


def translated(
    failed: QueryFailed, user: User, sql: str, names: Names, *, limits: Limits, saving: bool = False
) -> LuthierError:
    """The error for ``user``, who wrote ``sql``."""
    failure = failed.failure
    if failure.kind == "unknown_tables":
        first = failed.unknown[0]
        words = _removed(user, ".".join(first.parts)) or names.explain(first.parts)
        return SqlError(words, position=_characters(sql, first.position))
    if failure.kind == "timeout":
        return QueryTimeout(
            f"The query took longer than {limits.seconds:g} seconds and was stopped. Filter earlier, "
            f"or ask for less."
        )
    if failure.kind in ("memory", "died"):
        what = (
            "ran out of memory"
            if failure.kind == "memory"
            else "was stopped, most likely because it ran out of memory"
        )
        return SqlError(
            f"The query {what}: one query may use {limits.memory_mb} MiB. Filter earlier, "
            f"or select fewer columns."
        )
    if failure.kind == "disk":
        return DiskFull()
    if failure.kind == "size":
        message = f"The result is larger than one query may write ({limits.file_bytes / 2**30:.1f} GiB)."
        return TooLarge(message) if saving else SqlError(message)
    position = _characters(sql, failure.position)
    return SqlError(_with_advice(failure.message, sql, position, names), position=position)


def _removed(user: User, name: str) -> str | None:
    """What to say of a version whose files were removed while its line in the history stays."""
    wanted = fold(name)
    for gone in datasets.removed_tables(user):
        if wanted in map(
            fold, (f"{gone.dataset_name}@{gone.number}", f"{gone.dataset_id}@{gone.number}", gone.version_id)
        ):
            return (
                f"The files of version {gone.number} of {quoted_where_needed(gone.dataset_name)} were "
                f"removed on {gone.why}."
            )
    return None


def _with_advice(message: str, sql: str, position: int | None, names: Names) -> str:
    if "syntax error" in message.lower():
        return message + (names.quoting_advice(sql) or _column_advice(sql, names))
    unknown = _UNKNOWN_COLUMN.match(message)
    if unknown is None:
        return message
    columns = _columns(sql, names)
    wanted = None if position is None else _longest_name_at(sql, position, columns)
    if wanted and fold(wanted) != fold(unknown[1]):
        return f'Unknown column "{unknown[1]}". Put the name in double quotes: {quoted_where_needed(wanted)}.'
    if unknown["advice"] or not columns:
        return message
    more = ", …" if len(columns) > MAX_LISTED else ""
    listed = ", ".join(map(quoted_where_needed, columns[:MAX_LISTED]))
    return f'Unknown column "{unknown[1]}". Columns here: {listed}{more}.'


def _column_advice(sql: str, names: Names) -> str:
    """A column that stands in the text and needs double quotes there."""
    text = fold(sql)
    for name in _columns(sql, names):
        folded = fold(name)
        if (
            needs_quotes(name)
            and f'"{folded}"' not in text
            and re.search(rf"(?<![\w'\"]){re.escape(folded)}(?![\w'\"])", text)
        ):
            return f" If you mean the column, put its name in double quotes: {quoted_where_needed(name)}."
    return ""


def _longest_name_at(sql: str, position: int, columns: Iterable[str]) -> str | None:
    """The longest column name that needs quotes and stands, or ends, where the text was not understood."""
    text = fold(sql)
    names = [name for name in columns if needs_quotes(name) and _stands_around(fold(name), text, position)]
    return max(names, key=len, default=None)


def _stands_around(name: str, text: str, position: int) -> bool:
    start = text.find(name, max(0, position - len(name)))
    return 0 <= start <= position


def _columns(sql: str, names: Names) -> list[str]:
    """The columns of the tables that the text names."""
    return list(
        dict.fromkeys(column["name"] for table in names.mentioned(sql).values() for column in table.columns)
    )


def _characters(sql: str, position: int | None) -> int | None:
    """DuckDB counts bytes, people count characters."""
    return (
        None
        if position is None
        else len(sql.encode("utf-8", "surrogatepass")[:position].decode("utf-8", "ignore"))
    )
