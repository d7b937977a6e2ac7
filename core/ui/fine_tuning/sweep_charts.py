"""The picture of a sweep: parallel coordinates.

One line per job across an axis per setting, ending at its loss.

Axes are scaled here, so numbers, words and logarithmic settings stand beside each other; a line goes from
blue (lowest loss) to orange. Hovering a point brings its job forward. Readable on light and dark without
knowing which it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from core.fine_tuning.sweeps import Sweep, Trial
from core.ui.fine_tuning import sweep_form

HEIGHT = 380  # pixels
FEWEST = 2  # lines below which there is nothing to compare
LOG_FROM = 20.0  # largest by smallest value from which an axis is logarithmic
TICKS = 5
LABEL_ROOM = 0.06  # of an axis
# the last has the same contrast on white and on the dark ground
LOW, HIGH, QUIET = (
    "#3b82f6",
    "#f59e0b",
    "#7b818c",
)
LOSSES = {"valid_loss": "validation loss", "train_loss": "training loss"}


@dataclass(frozen=True)
class Axis:
    """``places``: where each value of the trials lies from 0 to 1,
    None where there is none; ``ticks``: (place, label)."""

    title: str
    places: list[float | None]
    ticks: list[tuple[float, str]]


def show_parallel(sweep: Sweep) -> None:
    measured = [trial for trial in sweep.trials if getattr(trial, sweep.measure) is not None]
    if len(measured) < FEWEST:
        waiting = (
            "The plot appears once two jobs have measured a loss."
            if sweep.active
            else "Fewer than two jobs measured a loss."
        )
        st.caption(f":material/hourglass_top: {waiting}" if sweep.active else waiting)
        return
    axes = build_axes(sweep, measured)
    st.vega_lite_chart(
        build_lines(axes, measured, sweep.measure),
        build_spec(axes, LOSSES[sweep.measure]),
        height=HEIGHT,
        key="sweep_parallel",
        alt=f"Parallel coordinates of {len(measured)} jobs: {', '.join(axis.title for axis in axes)}",
    )


def build_axes(sweep: Sweep, trials: Sequence[Trial]) -> list[Axis]:
    axes = []
    for name in sweep.settings:
        stated = sweep.space.get(name)
        is_log = isinstance(stated, dict) and stated.get("scale") == "log"
        axes.append(
            build_axis(sweep_form.title_of(name), [trial.values.get(name) for trial in trials], is_log=is_log)
        )
    losses = [getattr(trial, sweep.measure) for trial in trials]
    return [*axes, build_axis(LOSSES[sweep.measure].capitalize(), losses)]


def build_axis(title: str, values: Sequence[Any], *, is_log: bool = False) -> Axis:
    """Numbers by size, on a log scale when asked for or when they span much; anything else side by side."""
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) < len([value for value in values if value is not None]):
        return _word_axis(title, values)
    if not numbers:
        return Axis(title, [None] * len(values), [])
    low, high = min(numbers), max(numbers)
    is_log = low > 0 and (is_log or high / low >= LOG_FROM)
    scale = math.log if is_log else float
    ends = scale(low), scale(high)

    def place(value: float) -> float:
        return 0.5 if ends[0] == ends[1] else (scale(value) - ends[0]) / (ends[1] - ends[0])

    distinct = sorted(set(numbers))
    ticks = distinct if len(distinct) <= TICKS else _between(low, high, is_log=is_log)
    places = [None if value is None else place(value) for value in values]
    return Axis(
        title + (" (log)" if is_log else ""), places, _apart([(place(tick), _write(tick)) for tick in ticks])
    )


def build_lines(axes: Sequence[Axis], trials: Sequence[Trial], measure: str) -> pd.DataFrame:
    """One row per job and axis, in the order of the axes."""
    rows = []
    for index, trial in enumerate(trials):
        settings = ", ".join(
            f"{sweep_form.title_of(name).lower()} {_write(value)}" for name, value in trial.values.items()
        )
        for axis in axes:
            if axis.places[index] is not None:
                rows.append((axis.title, axis.places[index], trial.name, settings, getattr(trial, measure)))
    return pd.DataFrame(rows, columns=["axis", "place", "job", "settings", "loss"])


def build_spec(axes: Sequence[Axis], loss: str) -> dict[str, Any]:
    """A Vega-Lite chart: axes as rules, jobs as lines with points to hover over, labels beside the axes."""
    titles = [axis.title for axis in axes]
    ticks = [
        {"axis": axis.title, "place": place, "label": label} for axis in axes for place, label in axis.ticks
    ]
    rules = [{"axis": title, "from": 0, "to": 1} for title in titles]
    x, y = _axis_places(titles), _value_places()
    colour = {
        "field": "loss",
        "type": "quantitative",
        "scale": {"range": [LOW, HIGH], "interpolate": "hcl", "zero": False},
        "legend": None,
    }
    dimmed = {"condition": {"param": "hover", "value": 0.95, "empty": True}, "value": 0.12}
    lines = {
        "mark": {"type": "line", "strokeWidth": 2},
        "encoding": {"x": x, "y": y, "color": colour, "detail": {"field": "job"}, "opacity": dimmed},
    }
    ends = {"y": {"field": "from", "type": "quantitative", "axis": None}, "y2": {"field": "to"}}
    axis_rules = {
        "data": {"values": rules},
        "mark": {"type": "rule", "color": QUIET, "opacity": 0.6},
        "encoding": {"x": x, **ends},
    }
    labels = {
        "data": {"values": ticks},
        "mark": {"type": "text", "align": "right", "dx": -8, "dy": -9, "fontSize": 12, "color": QUIET},
        "encoding": {"x": x, "y": y, "text": {"field": "label", "type": "nominal"}},
    }
    points = _hovered_points({"x": x, "y": y, "color": colour, "opacity": dimmed}, loss)
    return {"layer": [axis_rules, lines, points, labels]}


def _axis_places(titles: Sequence[str]) -> dict[str, Any]:
    names = {
        "title": None,
        "orient": "top",
        "domain": False,
        "ticks": False,
        "grid": False,
        "labelAngle": 0,
        "labelPadding": 24,
    }
    names |= {"labelExpr": "split(datum.label, ' ')", "labelFontWeight": "bold", "labelLimit": 120}
    return {
        "field": "axis",
        "type": "nominal",
        "sort": titles,
        "scale": {"type": "point", "padding": 0.35},
        "axis": names,
    }


def _value_places() -> dict[str, Any]:
    return {
        "field": "place",
        "type": "quantitative",
        "axis": None,
        "scale": {"domain": [-0.02, 1.02], "nice": False},
    }


def _hovered_points(encoding: dict[str, Any], loss: str) -> dict[str, Any]:
    tooltip = [
        {"field": "job", "title": "job"},
        {"field": "settings", "title": "settings"},
        {"field": "loss", "title": loss, "format": ".4f"},
    ]
    nearest = {"type": "point", "on": "pointerover", "fields": ["job"], "nearest": True}
    return {
        "mark": {"type": "point", "filled": True, "size": 70},
        "params": [{"name": "hover", "select": nearest}],
        "encoding": {**encoding, "tooltip": tooltip},
    }


def _word_axis(title: str, values: Sequence[Any]) -> Axis:
    words = sorted({_write(value) for value in values if value is not None})
    where = {word: 0.5 if len(words) == 1 else index / (len(words) - 1) for index, word in enumerate(words)}
    places = [None if value is None else where[_write(value)] for value in values]
    return Axis(title, places, [(place, word) for word, place in where.items()])


def _apart(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Without those whose labels would lie on the one before."""
    kept: list[tuple[float, str]] = []
    for place, label in ticks:
        if not kept or place - kept[-1][0] >= LABEL_ROOM:
            kept.append((place, label))
    return kept


def _between(low: float, high: float, *, is_log: bool) -> list[float]:
    """The ends and what lies evenly between them."""
    shares = [index / (TICKS - 1) for index in range(TICKS)]
    if is_log:
        return [low * (high / low) ** share for share in shares]
    return [low + (high - low) * share for share in shares]


def _write(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
