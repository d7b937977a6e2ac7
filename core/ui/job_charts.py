"""The pictures of a fine-tuning job: loss, learning rate, speed, memory.

Takes series that the service has already reduced (600 points at most each), so a redraw every second stays cheap. Colours come from
the theme, so light and dark both work. Leaves to ``core.fine_tuning`` what was measured, and to ``job_monitor`` where it is drawn.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

Points = Sequence[Sequence[float]]
Series = Mapping[str, Points]

TRAINING, SMOOTHED, VALIDATION = "training", "training, smoothed", "validation"
LOSS_HEIGHT, LINE_HEIGHT = 370, 210  # pixels with axes and legend, kept while the chart loads: nothing jumps
SMOOTH_FROM = 40  # points; below, the raw curve is readable
SMOOTHING = 0.85  # weight of the past in the running mean, as in TensorBoard
MAX_POINTS = 600  # per series; more is invisible and slow


def show_loss(series: Series, *, last_step: int, log_scale: bool, waiting: bool) -> None:
    """Training and validation loss over steps; many points get a running mean drawn over a pale raw curve."""
    curves = build_loss_curves(series)
    if not curves:
        show_nothing(height=LOSS_HEIGHT, waiting=waiting)
        return
    st.vega_lite_chart(
        build_frame(curves),
        build_loss_spec(list(curves), last_step=last_step, log_scale=log_scale, dots=len(curves.get(VALIDATION, ())) <= 60),
        height=LOSS_HEIGHT,
        key="job_loss_chart",
        alt="Training and validation loss over steps",
    )


def show_line(series: Series, name: str, *, title: str, format: str, last_step: int, area: bool = False) -> None:
    """One series over steps as a small chart."""
    frame = pd.DataFrame(series[name], columns=["step", "value"])
    st.vega_lite_chart(
        frame,
        build_line_spec(title=title, format=format, last_step=last_step, area=area),
        height=LINE_HEIGHT,
        key=f"job_{name}_chart",
        alt=f"{title} over steps",
    )


def show_nothing(*, height: int, waiting: bool) -> None:
    """The place of a chart that has no point yet, or never got one."""
    if waiting:
        st.skeleton(height=height)
    else:
        st.caption("Nothing was measured.")


def axis_end(step: int, total_steps: int) -> int:
    """Where the axis of steps ends: the next 1, 2 or 5 times a power of ten beyond ``step``, and at last the job's own end.

    So curves grow into free space, the first steps of a long job can be seen, and the axis rarely jumps.
    """
    steps = (factor * 10**power for power in range(1, 9) for factor in (1, 2, 5))
    return min(next((end for end in steps if end >= 1.1 * step), total_steps), total_steps or 10**9)


def build_loss_curves(series: Series) -> dict[str, Points]:
    """The curves by their name in the legend, in drawing order."""
    raw, validation = series.get("train_loss") or (), series.get("valid_loss") or ()
    curves: dict[str, Points] = {}
    if raw:
        curves[TRAINING] = raw
    if len(raw) >= SMOOTH_FROM:
        curves[SMOOTHED] = smooth(raw)
    if validation:
        curves[VALIDATION] = validation
    return curves


def smooth(points: Points, weight: float = SMOOTHING) -> list[tuple[float, float]]:
    """The running mean ``weight · past + (1 − weight) · value``, freed of its start at zero (Kingma & Ba 2015, section 3)."""
    mean, found = 0.0, []
    for index, (step, value) in enumerate(points, start=1):
        mean = weight * mean + (1 - weight) * value
        found.append((step, mean / (1 - weight**index)))
    return found


def build_frame(curves: Mapping[str, Points]) -> pd.DataFrame:
    rows = [(step, value, name) for name, points in curves.items() for step, value in points]
    return pd.DataFrame(rows, columns=["step", "loss", "curve"])


def build_loss_spec(names: Sequence[str], *, last_step: int, log_scale: bool, dots: bool) -> dict[str, Any]:
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
    layers += [_line_layer(name, width=2, opacity=1, point=dots and name == VALIDATION) for name in names if _is_bold(name, names)]
    shared = {"x": _steps(last_step), "y": y, "color": colour, "tooltip": tooltip}
    return {"encoding": shared, "layer": layers}


def _is_bold(name: str, names: Sequence[str]) -> bool:
    return name != TRAINING or SMOOTHED not in names


def _line_layer(name: str, *, width: float, opacity: float, point: bool, colour_of: str | None = None) -> dict[str, Any]:
    mark = {"type": "line", "strokeWidth": width, "opacity": opacity, "interpolate": "linear"}
    if point:
        mark["point"] = {"size": 30, "filled": True}
    layer: dict[str, Any] = {"mark": mark, "transform": [{"filter": {"field": "curve", "equal": name}}]}
    if colour_of:  # the pale raw curve borrows the colour of its running mean and stays out of the legend
        layer["encoding"] = {"color": {"datum": colour_of}}
    return layer


def build_line_spec(*, title: str, format: str, last_step: int, area: bool) -> dict[str, Any]:
    mark = {"type": "area", "line": True, "opacity": 0.25} if area else {"type": "line", "strokeWidth": 2}
    value = {"field": "value", "type": "quantitative", "title": None, "axis": {"format": format}, "scale": {"zero": area}}
    tooltip = [{"field": "step", "title": "step", "format": ","}, {"field": "value", "title": title, "format": format}]
    return {"mark": mark, "encoding": {"x": _steps(last_step), "y": value, "tooltip": tooltip}}


def _steps(last_step: int) -> dict[str, Any]:
    """The axis of steps, from 0 to ``last_step``."""
    scale: dict[str, Any] = {"nice": False, "zero": True}
    if last_step > 0:
        scale["domain"] = [0, last_step]
    return {"field": "step", "type": "quantitative", "title": "step", "scale": scale, "axis": {"format": ",d", "tickMinStep": 1}}
