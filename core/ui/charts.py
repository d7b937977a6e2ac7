"""A chart from a table by choosing its columns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import streamlit as st

from core.query import ChartData, WantedChart
from core.query.charting import MOST_MARKS as MAX_POINTS
from core.query.charting import Kind
from core.ui import show

MARKS = {"bar": "Bar", "line": "Line", "area": "Area", "point": "Scatter"}
SUMS = {
    "": "As it is",
    "count": "Count",
    "sum": "Sum",
    "mean": "Mean",
    "median": "Median",
    "min": "Minimum",
    "max": "Maximum",
}
FEW = 60


Compute = Callable[[WantedChart], ChartData | None]


@dataclass(frozen=True)
class ChosenChart:
    """``summary``: a key of ``SUMS``."""

    mark: str
    x: str
    y: str
    summary: str
    colour: str


def build(table: pa.Table, *, is_whole: bool, compute: Compute, key: str) -> None:
    """Draw the controls and the chart. Keys: ``{key}_type``, ``_x``, ``_y``, ``_sum``, ``_colour``.

    ``is_whole``: the table has all rows. ``compute``: gives the numbers of a chart over all rows, or None
    while they are made.
    """
    names = [name for name in table.column_names if not pa.types.is_nested(table.schema.field(name).type)]
    numbers = [name for name in names if _is_number(table.schema.field(name).type)]
    if not names or not table.num_rows:
        st.caption("There is nothing to draw.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        mark = st.segmented_control(
            "Type",
            list(MARKS),
            default="bar",
            required=True,
            format_func=MARKS.__getitem__,
            key=f"{key}_type",
        )
        x = st.selectbox(
            "X", names, index=names.index(_best_x(table, names, numbers)), key=f"{key}_x", width=170
        )
        start = list(SUMS).index("mean" if _repeats(table, x) or not is_whole else "")
        total = st.selectbox(
            "Summary", list(SUMS), index=start, format_func=SUMS.__getitem__, key=f"{key}_sum", width=140
        )
        y = st.selectbox(
            "Y",
            numbers or names,
            index=_first(numbers, [n for n in numbers if n != x]),
            key=f"{key}_y",
            width=170,
        )
        colour = st.selectbox(
            "Colour", ["", *names], format_func=lambda name: name or "None", key=f"{key}_colour", width=170
        )
    chosen = ChosenChart(mark or "bar", x, y, total, colour)
    if is_whole and table.num_rows <= MAX_POINTS:
        columns = list(dict.fromkeys(name for name in (x, y, colour) if name))
        frame = _plain(table.select(columns).to_pandas())
        st.vega_lite_chart(frame, _spec(table, chosen), height=380, key=f"{key}_drawn")
    else:
        _draw_computed(table, chosen, compute, key=key)


def _draw_computed(table: pa.Table, chosen: ChosenChart, compute: Compute, *, key: str) -> None:
    """The rows at hand are not all of them: what is drawn was computed over all."""
    wanted = WantedChart(chosen.x, chosen.y, chosen.colour, chosen.summary, _kind(table, chosen.x))
    with show.guarded():
        data = compute(wanted)
        if data is None:
            return
        st.vega_lite_chart(
            _plain(data.table.to_pandas()),
            _spec(table, chosen, is_computed=True),
            height=380,
            key=f"{key}_drawn",
        )
        st.caption(show.plain(" ".join(data.notes)))


def _best_x(table: pa.Table, names: list[str], numbers: list[str]) -> str:
    """A time, else words that repeat, else a number: free text makes no axis."""
    times = [name for name in names if _kind(table, name) == "temporal"]
    words = [
        n
        for n in names
        if n not in numbers and n not in times and len(table[n].slice(0, MAX_POINTS).unique()) <= FEW
    ]
    return next(iter([*times, *words, *numbers, *names]))


def _repeats(table: pa.Table, x: str) -> bool:
    """Words that come more than once: drawn as they are they would pile up."""
    return _kind(table, x) == "nominal" and len(table[x].unique()) < table.num_rows


def _spec(table: pa.Table, chosen: ChosenChart, *, is_computed: bool = False) -> dict[str, Any]:
    """``is_computed``: the data has the columns x, y and colour, and is summarised already."""
    x, y, total, mark = chosen.x, chosen.y, chosen.summary, chosen.mark
    upright = {
        "field": "y" if is_computed else _path(y),
        "type": "quantitative" if total and is_computed else _kind(table, y),
        "title": f"{SUMS[total].lower()} of {y}" if total else y,
    }
    if total == "count":
        counted = {"field": "y"} if is_computed else {"aggregate": "count"}
        upright = {**counted, "type": "quantitative", "title": "count"}
    elif total and not is_computed:
        upright["aggregate"] = total
    across: dict[str, Any] = {
        "field": "x" if is_computed else _path(x),
        "type": _kind(table, x),
        "title": x,
        "axis": {"labelLimit": 140, "labelOverlap": True},
    }
    if mark == "bar" and across["type"] == "quantitative":
        across["type"] = "ordinal"
    if mark in ("bar", "line", "area") and across["type"] == "nominal":
        across["sort"] = None
    encoding: dict[str, Any] = {"x": across, "y": upright}
    if chosen.colour:
        kind = _kind(table, chosen.colour)
        encoding["color"] = {
            "field": "colour" if is_computed else _path(chosen.colour),
            "type": "nominal" if is_computed and total else kind,
            "title": chosen.colour,
            "legend": {"orient": "top"},
        }
    shape = {"filled": True, "opacity": 0.7} if mark == "point" else {}
    return {"mark": {"type": mark, "tooltip": True, **shape}, "encoding": encoding}


def _path(name: str) -> str:
    """Vega reads dots and brackets in field names as paths."""
    for sign in "\\.[]":
        name = name.replace(sign, "\\" + sign)
    return name


def _kind(table: pa.Table, name: str) -> Kind:
    type_ = table.schema.field(name).type
    if _is_number(type_):
        return "quantitative"
    return "temporal" if pa.types.is_temporal(type_) and not pa.types.is_time(type_) else "nominal"


def _is_number(type_: pa.DataType) -> bool:
    return pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Decimals and other objects as what a chart can read."""
    for name in frame.columns:
        if frame[name].dtype == object:
            numeric = pd.to_numeric(frame[name], errors="coerce")
            frame[name] = numeric if numeric.notna().any() else frame[name].astype(str)
    return frame


def _first(names: list[str], preferred: list[str]) -> int:
    return names.index(preferred[0]) if preferred else 0
