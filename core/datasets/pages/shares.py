"""How many of a view's rows are in each bar of a column's histogram and have each of its commonest values.

All rows that pass are counted, in one query over the columns asked for. Answers are remembered, since
a version never changes; what takes longer than SECONDS is left out, and tried again after a while.
"""

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.datasets.pages import paging
from core.datasets.pages.filters import Column, Condition, Filter, condition_of
from core.datasets.pages.paging import Selection
from core.errors import LuthierError, QueryTimeout
from core.reports import profile

SECONDS = 2.0
KEPT, TRIED_AGAIN = 200, 60.0
LONGEST = 200  # characters: longer values are cut in the statistics, so nothing equals them
_shares: OrderedDict[tuple[Any, ...], tuple[float, dict[str, "ColumnShare"] | None]] = OrderedDict()


@dataclass(frozen=True)
class ColumnShare:
    """Of the rows that pass: ``bars`` of the histogram from left to right, ``values`` as the commonest values
    are listed; None is not known."""

    bars: list[int] | None
    values: list[int | None]


def of(
    chosen: Selection, columns: Sequence[Column], statistics: Mapping[str, Mapping[str, Any]], *, values: int
) -> dict[str, ColumnShare] | None:
    """By column, for those of ``chosen.shown`` with ``statistics`` (as ``core.reports.profile`` makes them);
    of the commonest values the first ``values``. None when counting takes too long."""
    known = {column["name"]: column for column in columns}
    asked = {name: statistics[name] for name in chosen.shown if _is_drawn(statistics.get(name))}
    if not asked:
        return {}
    key = (chosen.source, chosen.condition.sql, repr(chosen.condition.values), tuple(asked), values)
    if key in _shares:
        since, found = _shares[key]
        if found is not None or time.monotonic() - since < TRIED_AGAIN:
            return found
    try:
        found = _counted(chosen, known, asked, values)
    except QueryTimeout:
        found = None
    _shares[key] = time.monotonic(), found
    while len(_shares) > KEPT:
        _shares.popitem(last=False)
    return found


def forget() -> None:
    """For measuring."""
    _shares.clear()


def _is_drawn(column: Mapping[str, Any] | None) -> bool:
    return bool(column and (column.get("histogram") or column.get("top_values")))


def _counted(
    chosen: Selection, known: Mapping[str, Column], asked: Mapping[str, Mapping[str, Any]], values: int
) -> dict[str, ColumnShare]:
    parts: list[str] = []
    bound: list[Any] = []
    for name, column in asked.items():
        if column.get("histogram"):
            parts.append(profile.bars(dict(known[name]), column["histogram"]["edges"]))
        for one in _values(column, values):
            test = _equals(name, known, one["value"])
            parts.append(f"count(*) FILTER (WHERE {test.sql or 'false'})")
            bound += test.values
    sql = f"SELECT {', '.join(parts)} FROM {chosen.source} WHERE {chosen.condition.sql or 'true'}"
    with paging.cursor(seconds=SECONDS) as cursor:
        answers = iter(cursor.execute(sql, [*bound, *chosen.condition.values]).fetchall()[0])
    shares = {}
    for name, column in asked.items():
        histogram = column.get("histogram")
        bars = profile.counts_per_bar(next(answers), histogram["edges"]) if histogram else None
        counts = [(one["value"], next(answers)) for one in _values(column, values)]
        shares[name] = ColumnShare(bars, [None if _is_cut(value) else count for value, count in counts])
    return shares


def _values(column: Mapping[str, Any], most: int) -> list[Mapping[str, Any]]:
    """Where there are bars, no values are drawn."""
    return [] if column.get("histogram") else list(column["top_values"][:most])


def _equals(name: str, known: Mapping[str, Column], value: Any) -> Condition:
    if value is None or _is_cut(value):
        return Condition()
    try:
        return condition_of({name: Filter(equals=value)}, None, known)
    except LuthierError:  # no value that a filter can name
        return Condition()


def _is_cut(value: Any) -> bool:
    return isinstance(value, str) and len(value) >= LONGEST
