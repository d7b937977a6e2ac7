"""The strip above each column of the grid, from the stored profile: bars or the commonest values, nulls,
distinct; and what a click on a part of it means as a filter.

A bar's filter takes what the bar counted: its lower edge included, its upper one only for the last bar.
"""

import math
from datetime import UTC, datetime
from typing import Any

from core import sql_types
from core.datasets.pages.shares import ColumnShare
from core.sql_types import is_number
from core.ui import show

TOPS = 3
MAX_TEXT = 200  # the profile cuts longer values
Filter = dict[str, Any]
RANGE = ("min", "max", "above", "below")


def strip(
    column: dict[str, Any] | None, num_rows: int, wanted: Filter, *, part: ColumnShare | None = None
) -> dict[str, Any] | None:
    """What ``grid.js`` draws; None while there is nothing to draw. ``part``: of the rows that pass the
    filters, drawn over the whole."""
    if not column or column.get("nulls") is None:
        return None
    nulls, distinct = int(column["nulls"]), column.get("distinct")
    about = "" if column.get("distinct_exact") else "≈ "
    drawn: dict[str, Any] = {
        "nulls": f"{share(nulls, num_rows)} null" if nulls else None,
        "nulls_on": wanted.get("is_null") is True,
        "distinct": f"{about}{distinct:,} distinct" if distinct is not None else None,
    }
    if column.get("histogram"):
        return {**drawn, "bars": _bars(column, wanted, part), "ends": _ends(column)}
    if column.get("top_values"):
        return {**drawn, **_tops(column, num_rows, wanted, part)}
    return {**drawn, "note": _note(column, num_rows)}


def bar_filter(column: dict[str, Any], first: int, last: int | None = None) -> Filter:
    """The filter of the bars from ``first`` to ``last``."""
    bounds, last = _short(column), first if last is None else last
    low, high, is_end = bounds[first], bounds[last + 1], last == len(bounds) - 2
    if is_whole(column):
        low, high = math.ceil(low), (math.floor(high) if is_end and len(bounds) > 20 else math.ceil(high) - 1)
        return {"equals": low} if low == high else {"min": low, "max": high}
    if column["type"] == "DATE":
        days = math.ceil(low / 86400), (math.floor(high / 86400) if is_end else math.ceil(high / 86400))
        low_day, high_day = (_moment(day * 86400)[:10] for day in days)
        return {"min": low_day, ("max" if is_end else "below"): high_day}
    if not is_number(column["type"]):
        return {"min": _moment(low), ("max" if is_end else "below"): _moment(high)}
    return {"min": low, ("max" if is_end else "below"): high}


def with_bar(column: dict[str, Any], wanted: Filter, number: int, *, extend: bool) -> Filter:
    """The column's filter after a click on a bar: that bar,
    nothing when it was the only one, or up to it with Shift."""
    others = {name: value for name, value in wanted.items() if name not in (*RANGE, "equals")}
    chosen = [i for i, bar in enumerate(_bars(column, wanted)) if bar["on"]]
    if extend and chosen:
        return {**others, **bar_filter(column, min([number, *chosen]), max([number, *chosen]))}
    return others if chosen == [number] else {**others, **bar_filter(column, number)}


def with_value(column: dict[str, Any], wanted: Filter, number: int) -> Filter:
    """The column's filter after a click on one of its commonest values:
    it is added to the chosen ones, or taken from them."""
    value = column["top_values"][number]["value"]
    if isinstance(value, str) and len(value) >= MAX_TEXT:
        return {"starts_with": value}
    chosen = list(wanted.get("one_of") or [])
    if value in chosen:
        chosen.remove(value)
    else:
        chosen.append(value)
    others = {name: condition for name, condition in wanted.items() if name not in ("one_of", "equals")}
    return {**others, "one_of": chosen} if chosen else others


def with_nulls(wanted: Filter) -> Filter:
    others = {name: value for name, value in wanted.items() if name != "is_null"}
    return others if wanted.get("is_null") is True else {"is_null": True}


def edges(column: dict[str, Any]) -> list[float]:
    return list(column["histogram"]["edges"])


def _short(column: dict[str, Any]) -> list[float]:
    """Edges without the rounding errors of binary fractions: 13.28, not 13.280000000000001.

    Both ends stay what they are: they are values.
    """
    bounds = edges(column)
    if is_whole(column) or not is_number(column["type"]):
        return bounds
    decimals = 9 - math.floor(math.log10(bounds[1] - bounds[0]))
    return [bounds[0], *(round(edge, decimals) for edge in bounds[1:-1]), bounds[-1]]


def is_whole(column: dict[str, Any]) -> bool:
    return sql_types.is_whole(column["type"])


def share(part: int, whole: int) -> str:
    """``12%``, ``<1%``, ``>99%``: never 0 for something nor 100 for less than all."""
    if not part or not whole:
        return "0%"
    percent = 100 * part / whole
    if percent < 1:
        return "<1%"
    return f"{percent:.0f}%" if part == whole or percent < 99 else ">99%"


def _bars(column: dict[str, Any], wanted: Filter, part: ColumnShare | None = None) -> list[dict[str, Any]]:
    counts, bounds = column["histogram"]["counts"], edges(column)
    highest = max([*counts, 1])
    passing: list[int | None] = [*part.bars] if part and part.bars else [None] * len(counts)
    return [
        {
            "height": _height(count, highest),
            "part": None if of_it is None else _height(of_it, highest),
            "label": f"{_bar_words(column, i, bounds)}: {_count_words(count, of_it)}",
            "on": _is_within(column, bar_filter(column, i), wanted),
        }
        for i, (count, of_it) in enumerate(zip(counts, passing, strict=True))
    ]


def _height(count: int, highest: int) -> float:
    return max(count / highest, 0.04) if count else 0


def _count_words(count: int, part: int | None) -> str:
    return show.count(count, "row") if part is None else f"{part:,} of {show.count(count, 'row')}"


def _ends(column: dict[str, Any]) -> list[str]:
    bounds = edges(column)
    if not is_whole(column):
        return [_said(column, bounds[0]), _said(column, bounds[-1])]
    first, last = bar_filter(column, 0), bar_filter(column, len(bounds) - 2)
    return [f"{first.get('equals', first.get('min')):,}", f"{last.get('equals', last.get('max')):,}"]


def _bar_words(column: dict[str, Any], number: int, bounds: list[float]) -> str:
    if is_whole(column):
        wanted = bar_filter(column, number)
        low, high = wanted.get("equals", wanted.get("min")), wanted.get("equals", wanted.get("max"))
        return f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{_said(column, bounds[number])} to {_said(column, bounds[number + 1])}"


def _is_within(column: dict[str, Any], bar: Filter, wanted: Filter) -> bool:
    """Whether the filter covers all of this bar."""
    if not any(name in wanted for name in (*RANGE, "equals")):
        return False
    low, high = bar.get("equals", bar.get("min")), bar.get("equals", bar.get("max", bar.get("below")))
    floor = wanted.get("equals", wanted.get("min", wanted.get("above")))
    ceiling = wanted.get("equals", wanted.get("max", wanted.get("below")))
    try:
        return bool((floor is None or floor <= low) and (ceiling is None or ceiling >= high))
    except TypeError:  # written by hand in another type
        return False


def _tops(column: dict[str, Any], num_rows: int, wanted: Filter, part: ColumnShare | None) -> dict[str, Any]:
    values, chosen = column["top_values"], wanted.get("one_of") or [wanted.get("equals")]
    distinct = int(column.get("distinct") or 0)
    shown = values[: TOPS if distinct <= TOPS else TOPS - 1]  # the last line counts the others
    rest = num_rows - int(column["nulls"]) - sum(one["count"] for one in shown)
    others = distinct - len(shown)
    passing = part.values[: len(shown)] if part and part.values else [None] * len(shown)
    return {
        "tops": [
            {
                "text": _cut(one["value"]),
                "is_odd": one["value"] == "",
                "share": one["count"] / max(num_rows, 1),
                "percent": share(one["count"], num_rows),
                "part": None if of_it is None else of_it / max(num_rows, 1),
                "count": _count_words(one["count"], of_it),
                "on": one["value"] in chosen,
            }
            for one, of_it in zip(shown, passing, strict=True)
        ],
        "other": f"{others:,} others, {share(rest, num_rows)}" if others > 0 and rest > 0 else None,
    }


def _note(column: dict[str, Any], num_rows: int) -> str:
    if column["nulls"] >= num_rows:
        return "nothing but nulls" if num_rows else "no rows"
    if column.get("distinct") == num_rows - column["nulls"] and num_rows > 1:
        return "every value differs"
    if column.get("min") is not None and column.get("min") == column.get("max"):
        return f"always {_cut(column['min'])}"
    return ""


def _said(column: dict[str, Any], value: float) -> str:
    if not is_number(column["type"]):
        return _moment(value)[:10]
    if is_whole(column):
        return f"{math.floor(value):,}"
    return f"{value:,.4g}" if abs(value) < 1e6 else f"{value:.3g}"


def _moment(seconds: float) -> str:
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):  # years that Python does not know
        return "9999-12-31" if seconds > 0 else "0001-01-01"
    return moment.replace(tzinfo=None).isoformat(sep=" ")


def _cut(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = "empty text" if value == "" else str(value).replace("\n", " ↵ ")
    return text if len(text) <= 60 else text[:59] + "…"
