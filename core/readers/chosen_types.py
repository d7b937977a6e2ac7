"""Types that the user chose, for files that have types already (JSON,
Excel, Parquet, Arrow): a second pass over what was read.

A cast may not lose anything: 1.5 does not become a whole number, a time of day is not cut off a date. What
does not fit is named by its row, or skipped and listed. Text from CSV is typed by ``column_types`` while it
is read.
"""

from dataclasses import dataclass

from core.readers.base import Reading, ReadTask, unreadable_rows, write_parquet
from core.readers.options import TYPES
from core.readers.rejects import MAX_LISTED
from core.readers.sql import describe, literal, quoted
from core.sql_types import FLOATS, is_decimal, is_moment, is_nested, is_number, size_of_decimal

SPREADSHEETS = (".xlsx", ".xls")
_LAST_SERIAL = 2_958_466  # the end of 9999


@dataclass(frozen=True)
class _Change:
    """A column that is to have another type. ``source``: its name in the file. ``format``: of dates in text.
    ``is_serial``: its numbers may be a spreadsheet's days."""

    name: str
    source: str
    type: str
    wanted: str
    format: str | None = None
    is_serial: bool = False


def apply(task: ReadTask, reading: Reading) -> None:
    """Give the columns of the target the chosen types.

    Raises UnreadableFile with the rows that do not fit.
    """
    wanted = task.options.types or {}
    for source in [*wanted, *(task.options.names or {})]:
        if source not in task.columns:
            reading.note(f"There is no column {source!r}, so what was chosen for it was not used.")
    columns = describe(task.connection, f"FROM read_parquet({literal(str(task.target))})")
    changes = [
        _Change(
            name,
            source,
            type_,
            wanted[source],
            task.options.date_format if type_ == "VARCHAR" and is_moment(wanted[source]) else None,
            task.suffix in SPREADSHEETS and is_number(type_) and is_moment(wanted[source]),
        )
        for (name, type_), source in zip(columns, task.columns, strict=True)
        if wanted.get(source, type_) != type_
    ]
    if changes:
        _rewrite(task, changes)
    serials = [change.name for change in changes if change.is_serial]
    if serials:
        reading.note(
            f"Numbers were read as days since 1899-12-30, as spreadsheets count: {', '.join(serials)}."
        )


def is_exact(type_: str) -> bool:
    """Whether a cast to this type may round."""
    return type_ == "BIGINT" or is_decimal(type_)


def label(type_: str) -> str:
    """``BIGINT`` as a person says it."""
    if is_decimal(type_) and type_ not in TYPES:
        return f"number with at most {size_of_decimal(type_)[1]} digits behind the point"
    return TYPES.get(type_, type_).lower()


def misfit(source: str, value: str, type_: str) -> str:
    return f"column {source!r}: {value[:60]!r} does not fit the type {label(type_)}"


def _rewrite(task: ReadTask, changes: list[_Change]) -> None:
    sources, target = task.columns, task.target
    untyped = target.rename(task.work / "untyped.parquet")
    tests = {change: _misfit(change) for change in changes}
    has_bad = _list_misfits(task, f"read_parquet({literal(str(untyped))})", tests)
    values = ", ".join(f"{_value(c)} AS {quoted(c.name)}" for c in changes)
    where = f" WHERE NOT ({' OR '.join(tests.values())})" if has_bad else ""
    names, task.options = task.options.names, task.options.model_copy(update={"names": None})
    write_parquet(task, f"SELECT * REPLACE ({values}) FROM read_parquet(?){where}", [str(untyped)])
    task.options = task.options.model_copy(update={"names": names})
    task.columns = sources


def _list_misfits(task: ReadTask, source: str, tests: dict[_Change, str]) -> bool:
    """Whether rows are to be skipped. Raises UnreadableFile when they are there and must not be skipped."""
    values = ", ".join(
        f"CASE WHEN {test} THEN {quoted(c.name)}::VARCHAR END AS v{i}"
        for i, (c, test) in enumerate(tests.items())
    )
    any_of = " OR ".join(f"v{i} IS NOT NULL" for i in range(len(tests)))
    cursor = task.connection.execute(
        f"SELECT * FROM (SELECT row_number() OVER (), to_json(t)::VARCHAR, {values} FROM {source} t) "
        f"WHERE {any_of}"
    )
    first: list[tuple[int, str]] = []
    count = 0
    while row := cursor.fetchone():
        change, value = next((c, v) for c, v in zip(tests, row[2:], strict=True) if v is not None)
        message = misfit(change.source, value, change.wanted)
        count += 1
        if task.options.skip_bad_rows:
            task.rejects.add(row[0], message, row[1])
        elif count <= MAX_LISTED:
            first.append((row[0], message))
    if first:
        raise unreadable_rows(
            first, count, of="Row", advice="Mend the file, choose another type, or skip bad rows."
        )
    return count > 0


def _value(change: _Change) -> str:
    x, chosen = quoted(change.name), change.wanted
    if is_nested(change.type):
        is_text = chosen in ("JSON", "VARCHAR")
        return f"CAST(to_json({x}) AS {chosen})" if is_text else f"CAST(NULL AS {chosen})"
    if change.is_serial:
        moment = f"TIMESTAMP '1899-12-30' + to_seconds(round({x}::DOUBLE * 86400)::BIGINT)"
        return f"CASE WHEN {x} BETWEEN 1 AND {_LAST_SERIAL} THEN CAST({moment} AS {chosen}) END"
    if change.format:
        return f"CAST(try_strptime({x}, {literal(change.format)}) AS {chosen})"
    if change.type == "JSON" and chosen != "VARCHAR":
        x = f"({x} ->> '$')"
    if chosen == "JSON":
        return f"CASE WHEN json_valid({x}::VARCHAR) THEN {x}::VARCHAR::JSON ELSE to_json({x}) END"
    return f"TRY_CAST({x} AS {chosen})"


def _misfit(change: _Change) -> str:
    value, x, type_, chosen = _value(change), quoted(change.name), change.type, change.wanted
    tests = [f"{value} IS NULL"]
    if is_exact(chosen) and (type_ in FLOATS or is_decimal(type_)):
        tests.append(f"{value} <> {x}")
    if is_exact(chosen) and type_ in ("VARCHAR", "JSON"):
        text = f"({x} ->> '$')" if type_ == "JSON" else x
        scale = size_of_decimal(chosen)[1] if is_decimal(chosen) else 0
        fraction = f"([.][0-9]{{0,{scale}}})?" if scale else ""
        tests.append(f"NOT regexp_full_match(trim({text}), '[+-]?[0-9]+{fraction}')")
    if chosen == "DATE" and is_moment(type_):
        tests.append(f"{value}::TIMESTAMP <> {x}::TIMESTAMP")
    if chosen == "DATE" and change.is_serial:
        tests.append(f"{x} <> floor({x})")
    return f"({x} IS NOT NULL AND ({' OR '.join(tests)}))"
