"""The pictures of a fine-tuning job: loss, learning rate, speed, memory.

Takes series that the service has already reduced (600 points at most each), so a redraw every second stays
cheap. Colours come from the theme, so light and dark both work. ``core.fine_tuning`` knows what was
measured, ``job_monitor`` decides where it is drawn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

import pandas as pd
import streamlit as st

Points = Sequence[Sequence[float]]
Series = Mapping[str, Points]

TRAINING, SMOOTHED, VALIDATION = "training", "training, smoothed", "validation"
LOSS_HEIGHT, LINE_HEIGHT = 340, 210  # pixels with axes and legend, kept while the chart loads: nothing jumps
SMOOTH_FROM = 40  # points; below, the raw curve is readable
SMOOTHING = 0.85  # weight of the past in the running mean, as in TensorBoard
LOSS_CHART, BRUSH = "job_loss_chart", "zoom"
MAX_POINTS = 600  # per series; more is invisible and slow
FAR_OUT = 3.0  # times the distance of the quartiles beyond them (Tukey 1977, section 2D)
FEWEST_FOR_QUARTILES = 5  # points


@dataclass(frozen=True)
class Small:
    """One of the small charts: a series, its title, how its values are written (d3), filled below or not.

    ``optional``: without a value it is not drawn at all. ``robust``: single values far from all others, as of
    a first step that loads or a last one of two rows, do not stretch the axis.
    """

    name: str
    title: str
    format: str
    area: bool = False
    optional: bool = False
    robust: bool = False


SMALL = (
    Small("learning_rate", "Learning rate", ".1e", area=True),
    Small("tokens_per_second", "Tokens per second", ",.0f", robust=True),
    Small("grad_norm", "Gradient norm", ".2f"),
    Small("memory_bytes", "Memory", ".2s", area=True),
    Small("trained_tokens", "Tokens seen", ".3s", area=True, optional=True),
    Small("cpu_utilisation", "Processor, share of all cores", ".0%", area=True, optional=True),
    Small("gpu_memory_bytes", "GPU memory", ".2s", area=True, optional=True),
    Small("gpu_utilisation", "GPU utilisation", ".0%", area=True, optional=True),
)


def show_loss(
    series: Series,
    *,
    first_step: int = 0,
    last_step: int,
    log_scale: bool,
    waiting: bool,
    smoothing: float = SMOOTHING,
    key: str = LOSS_CHART,
    on_select: Callable[[], None] | None = None,
) -> None:
    """Training and validation loss over steps; many points get a running mean drawn over a pale raw curve.

    ``on_select`` is called when a stretch of steps was brushed; what it finds is under ``key`` in the
    session.
    """
    curves = build_loss_curves(series, smoothing)
    if not curves:
        show_nothing(height=LOSS_HEIGHT, waiting=waiting)
        return
    st.vega_lite_chart(
        build_frame(curves),
        build_loss_spec(
            list(curves),
            first_step=first_step,
            last_step=last_step,
            log_scale=log_scale,
            dots=len(curves.get(VALIDATION, ())) <= 60,
            brush=on_select is not None,
        ),
        height=LOSS_HEIGHT,
        key=key,
        on_select=on_select or "ignore",
        alt="Training and validation loss over steps",
    )


def show_line(series: Series, small: Small, *, first_step: int = 0, last_step: int) -> None:
    """One series over steps as a small chart; what validation measured of it is drawn with it."""
    measured = series.get(f"valid_{small.name}")
    curves = {TRAINING: series.get(small.name) or ()} | ({VALIDATION: measured} if measured else {})
    rows = [(step, value, curve) for curve, points in curves.items() for step, value in points]
    within = find_range([value for _, value, _ in rows]) if small.robust else None
    st.vega_lite_chart(
        pd.DataFrame(rows, columns=["step", "value", "curve"]),
        build_line_spec(
            small, first_step=first_step, last_step=last_step, both=bool(measured), within=within
        ),
        height=LINE_HEIGHT,
        key=f"job_{small.name}_chart",
        alt=f"{small.title} over steps",
    )
    if within:
        st.caption(describe_beyond([(step, value) for step, value, _ in rows], within))


def find_range(values: Sequence[float]) -> tuple[float, float] | None:
    """Lowest and highest of the values that are near the others, when some are far from them; else None."""
    if len(values) < FEWEST_FOR_QUARTILES:
        return None
    lower, middle, upper = quantiles(values, n=4, method="inclusive")
    far = FAR_OUT * max(upper - lower, 0.05 * abs(middle))
    near = [value for value in values if lower - far <= value <= upper + far]
    return (min(near), max(near)) if len(near) < len(values) else None


def describe_beyond(points: Points, within: tuple[float, float]) -> str:
    """``1 of 50 points is beyond the axis: 12,345 at step 1.``"""
    beyond = [(step, value) for step, value in points if not within[0] <= value <= within[1]]
    step, value = max(beyond, key=lambda point: abs(point[1]))
    are = "is" if len(beyond) == 1 else "are"
    largest = "" if len(beyond) == 1 else "the largest, "
    told = f"{largest}{value:,.0f} at step {step:,}"
    return f"{len(beyond):,} of {len(points):,} points {are} beyond the axis: {told}."


def show_nothing(*, height: int, waiting: bool) -> None:
    """The place of a chart that has no point yet, or never got one."""
    if waiting:
        st.skeleton(height=height)
    else:
        st.caption("Nothing was measured.")


def axis_end(step: int, total_steps: int) -> int:
    """Where the axis of steps ends: the next 1, 2 or 5 times a power
    of ten beyond ``step``, and at last the job's own end.

    So curves grow into free space, the first steps of a long job can be seen, and the axis rarely jumps.
    """
    steps = (factor * 10**power for power in range(1, 9) for factor in (1, 2, 5))
    return min(next((end for end in steps if end >= 1.1 * step), total_steps), total_steps or 10**9)


def build_loss_curves(series: Series, smoothing: float = SMOOTHING) -> dict[str, Points]:
    """The curves by their name in the legend, in drawing order."""
    raw, validation = series.get("train_loss") or (), series.get("valid_loss") or ()
    curves: dict[str, Points] = {}
    if raw:
        curves[TRAINING] = raw
    if len(raw) >= SMOOTH_FROM and smoothing > 0:
        curves[SMOOTHED] = smooth(raw, smoothing)
    if validation:
        curves[VALIDATION] = validation
    return curves


def smooth(points: Points, weight: float = SMOOTHING) -> list[tuple[float, float]]:
    """The running mean ``weight · past + (1 − weight) · value``,
    freed of its start at zero (Kingma & Ba 2015, section 3)."""
    mean, smoothed = 0.0, []
    for index, (step, value) in enumerate(points, start=1):
        mean = weight * mean + (1 - weight) * value
        smoothed.append((step, mean / (1 - weight**index)))
    return smoothed


def build_frame(curves: Mapping[str, Points]) -> pd.DataFrame:
    rows = [(step, value, name) for name, points in curves.items() for step, value in points]
    return pd.DataFrame(rows, columns=["step", "loss", "curve"])


def build_loss_spec(
    names: Sequence[str],
    *,
    first_step: int = 0,
    last_step: int,
    log_scale: bool,
    dots: bool,
    brush: bool = False,
) -> dict[str, Any]:
    colour = {
        "field": "curve",
        "type": "nominal",
        "scale": {"domain": [VALIDATION, SMOOTHED if SMOOTHED in names else TRAINING]},
        "legend": {
            "title": None,
            "orient": "top",
            "values": [name for name in names if _is_bold(name, names)],
            "symbolOpacity": 1,
            "symbolType": "stroke",
            "symbolStrokeWidth": 3,
        },
    }
    y = {
        "field": "loss",
        "type": "quantitative",
        "title": "loss",
        "scale": {"type": "log"} if log_scale else {"zero": False, "nice": True},
    }
    tooltip = [
        {"field": "curve", "title": "curve"},
        {"field": "step", "title": "step", "format": ","},
        {"field": "loss", "title": "loss", "format": ".4f"},
    ]
    layers: list[dict[str, Any]] = []
    if SMOOTHED in names:
        layers.append(_line_layer(TRAINING, width=1, opacity=0.3, point=False, colour_of=SMOOTHED))
    layers += [
        _line_layer(name, width=2, opacity=1, point=dots and name == VALIDATION)
        for name in names
        if _is_bold(name, names)
    ]
    if brush:
        layers[-1]["params"] = [{"name": BRUSH, "select": {"type": "interval", "encodings": ["x"]}}]
    shared = {"x": _steps(first_step, last_step), "y": y, "color": colour, "tooltip": tooltip}
    return {"encoding": shared, "layer": layers}


def _is_bold(name: str, names: Sequence[str]) -> bool:
    return name != TRAINING or SMOOTHED not in names


def _line_layer(
    name: str, *, width: float, opacity: float, point: bool, colour_of: str | None = None
) -> dict[str, Any]:
    mark = {"type": "line", "strokeWidth": width, "opacity": opacity, "interpolate": "linear"}
    if point:
        mark["point"] = {"size": 30, "filled": True}
    layer: dict[str, Any] = {"mark": mark, "transform": [{"filter": {"field": "curve", "equal": name}}]}
    if colour_of:  # the pale raw curve has the colour of its running mean and is not in the legend
        layer["encoding"] = {"color": {"datum": colour_of}}
    return layer


def build_line_spec(
    small: Small,
    *,
    first_step: int,
    last_step: int,
    both: bool,
    within: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """``within``: the ends of the axis of values, where they do not follow from the values."""
    mark: dict[str, Any] = {"type": "line", "strokeWidth": 2, "clip": True}
    if small.area:
        mark = {"type": "area", "line": True, "opacity": 0.25, "clip": True}
    axis = {"format": small.format}
    value = {
        "field": "value",
        "type": "quantitative",
        "title": None,
        "axis": axis,
        "scale": {"domain": list(within), "nice": True} if within else {"zero": small.area},
    }
    tooltip = [
        {"field": "step", "title": "step", "format": ","},
        {"field": "value", "title": small.title, "format": small.format},
    ]
    encoding: dict[str, Any] = {"x": _steps(first_step, last_step), "y": value, "tooltip": tooltip}
    if both:
        legend = {"title": None, "orient": "top"}
        encoding["color"] = {
            "field": "curve",
            "type": "nominal",
            "scale": {"domain": [VALIDATION, TRAINING]},
            "legend": legend,
        }
    return {"mark": mark, "encoding": encoding}


def _steps(first_step: int, last_step: int) -> dict[str, Any]:
    """The axis of steps."""
    scale: dict[str, Any] = {"nice": False, "zero": first_step == 0}
    if last_step > first_step:
        scale["domain"] = [first_step, last_step]
    return {
        "field": "step",
        "type": "quantitative",
        "title": "step",
        "scale": scale,
        "axis": {"format": ",d", "tickMinStep": 1},
    }
