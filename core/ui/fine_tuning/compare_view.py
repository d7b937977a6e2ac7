"""The comparison of runs: curves over a common axis, a table
of what came out, and the settings in which they differ.

A run has one colour in all that is drawn; validation is dashed. Live while one of the runs is.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from core import fine_tuning
from core.fine_tuning import Comparison, Job
from core.people.users import User
from core.training import Hyperparameters
from core.ui import digits, show
from core.ui.fine_tuning.jobs import job_charts

EVERY = 3.0  # seconds
HEIGHT = 400
AXES = {"Step": "step", "Tokens": "tokens", "Time": "seconds"}
SHOWN = {"Both": ("train_loss", "valid_loss"), "Training": ("train_loss",), "Validation": ("valid_loss",)}
# Ten that stay apart on white and on black
COLOURS = [
    "#6366f1",
    "#f59e0b",
    "#10b981",
    "#ef4444",
    "#06b6d4",
    "#d946ef",
    "#84cc16",
    "#f97316",
    "#64748b",
    "#0ea5e9",
]
DASHES = {"training": [1, 0], "validation": [5, 4]}


def labels(jobs: Sequence[Job]) -> dict[str, str]:
    """Each run's name; those of the same name get the end of their id behind it."""
    counts = Counter(job.name for job in jobs)
    return {job.id: job.name if counts[job.name] == 1 else f"{job.name} · {job.id[-5:]}" for job in jobs}


def show_comparison(user: User, job_ids: list[str]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key="compare_controls"):
        axis = st.segmented_control(
            "Over", list(AXES), default="Step", required=True, key="compare_axis", bind="query-params"
        )
        which = st.segmented_control("Loss", list(SHOWN), default="Both", required=True, key="compare_loss")
        scale = st.segmented_control(
            "Scale", ["Linear", "Log"], default="Linear", required=True, key="compare_scale"
        )
        smoothing = st.slider(
            "Smoothing", 0.0, 0.99, job_charts.SMOOTHING, 0.01, key="compare_smoothing", width=220
        )
    is_live = any(fine_tuning.get(user, job_id).status in fine_tuning.ACTIVE for job_id in job_ids)
    draw = st.fragment(_draw, run_every=EVERY if is_live else None)
    draw(
        user,
        job_ids,
        by=AXES[axis or "Step"],
        which=which or "Both",
        is_log=scale == "Log",
        smoothing=smoothing,
    )


def _draw(user: User, job_ids: list[str], *, by: Any, which: str, is_log: bool, smoothing: float) -> None:
    with show.guarded():
        comparison = fine_tuning.compare(user, job_ids, by=by)
        names = labels(comparison.jobs)
        with st.container(border=True, key="compare_chart_box"):
            show_curves(comparison, names, by=by, series=SHOWN[which], is_log=is_log, smoothing=smoothing)
        st.subheader("What came out", anchor=False)
        with st.container(key="compare_outcomes_box"):
            st.dataframe(
                build_outcomes(comparison, names),
                placeholder=digits.NULL,
                hide_index=True,
                key="compare_outcomes",
                column_config=_columns(),
            )
        st.subheader("Settings", anchor=False)
        everything = st.toggle("Show also what is the same", key="compare_all")
        settings = build_settings(comparison, names, everything=everything)
        if settings.empty:
            st.caption("All settings are the same.")
        else:
            with st.container(key="compare_settings_box"):
                st.dataframe(settings, placeholder=digits.NULL, hide_index=True, key="compare_settings")


def show_curves(
    comparison: Comparison,
    names: dict[str, str],
    *,
    by: str,
    series: Sequence[str],
    is_log: bool,
    smoothing: float,
) -> None:
    frame = build_frame(comparison, names, series=series, smoothing=smoothing)
    if frame.empty:
        over = "" if by == "step" else " over this axis; runs of older versions have steps only"
        st.caption(f"Nothing was measured{over}.")
        return
    spec = build_spec([names[job.id] for job in comparison.jobs], by=by, is_log=is_log)
    st.vega_lite_chart(frame, spec, height=HEIGHT, key="compare_chart", alt="Losses of the chosen runs")
    if set(frame["kind"]) == set(DASHES):
        st.caption("Solid lines: training. Dashed lines: validation.")


def build_frame(
    comparison: Comparison, names: dict[str, str], *, series: Sequence[str], smoothing: float
) -> pd.DataFrame:
    """All training curves are smoothed or none:
    a short run beside long ones would look wilder than it was."""
    is_smooth = smoothing > 0 and any(
        len(curves.get("train_loss") or ()) >= job_charts.SMOOTH_FROM for curves in comparison.curves.values()
    )
    rows = []
    for job in comparison.jobs:
        for name in series:
            points: Any = comparison.curves[job.id].get(name) or []
            is_training = name == "train_loss"
            if is_training and is_smooth:
                points = job_charts.smooth(points, smoothing)
            kind = "training" if is_training else "validation"
            rows += [(x, value, names[job.id], kind) for x, value in points]
    return pd.DataFrame(rows, columns=["x", "loss", "run", "kind"])


def build_spec(runs: Sequence[str], *, by: str, is_log: bool) -> dict[str, Any]:
    title = {"step": "step", "tokens": "tokens seen", "seconds": "seconds of training"}[by]
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(runs))]
    y_scale: dict[str, Any] = {"type": "log"} if is_log else {"zero": False, "nice": True}
    legend = {"title": None, "orient": "top", "columns": 2, "labelLimit": 260}
    return {
        "mark": {"type": "line", "strokeWidth": 2},
        "encoding": {
            "x": {"field": "x", "type": "quantitative", "title": title, "axis": {"format": "~s"}},
            "y": {"field": "loss", "type": "quantitative", "title": "loss", "scale": y_scale},
            "color": {
                "field": "run",
                "type": "nominal",
                "scale": {"domain": list(runs), "range": colours},
                "legend": legend,
            },
            "strokeDash": {
                "field": "kind",
                "type": "nominal",
                "scale": {"domain": list(DASHES), "range": list(DASHES.values())},
                "legend": None,  # said below: beside the names of the runs it has no room on a phone
            },
            "tooltip": [
                {"field": "run", "title": "run"},
                {"field": "kind", "title": "rows"},
                {"field": "x", "title": title, "format": ",.0f"},
                {"field": "loss", "title": "loss", "format": ".4f"},
            ],
        },
    }


def build_outcomes(comparison: Comparison, names: dict[str, str]) -> pd.DataFrame:
    rows = [
        {
            "Run": names[outcome.job_id],
            "State": show.look_of(outcome.status).label,
            "Best validation loss": outcome.best_loss,
            "At step": outcome.best_step,
            "Validation loss": outcome.valid_loss,
            "Training loss": outcome.train_loss,
            "Steps": outcome.steps,
            "Tokens": outcome.trained_tokens,
            "Tokens/s": outcome.tokens_per_second,
            "Seconds": outcome.seconds,
            "Open": f"/job?id={outcome.job_id}",
        }
        for outcome in comparison.outcomes
    ]
    return pd.DataFrame(rows)


def build_settings(comparison: Comparison, names: dict[str, str], *, everything: bool) -> pd.DataFrame:
    rows = [
        [_title(setting.name), *(_text(value) for value in setting.values)]
        for setting in comparison.settings
        if everything or setting.differs
    ]
    return pd.DataFrame(rows, columns=["Setting", *(names[job.id] for job in comparison.jobs)])


def _columns() -> dict[str, Any]:
    number = st.column_config.NumberColumn
    return {
        **{
            name: number(name, format="%.4f")
            for name in ("Best validation loss", "Validation loss", "Training loss")
        },
        **{name: number(name, format="localized") for name in ("Steps", "Tokens", "At step")},
        **{name: number(name, format="%.0f") for name in ("Tokens/s", "Seconds")},
        "Open": st.column_config.LinkColumn("Open", display_text="Open", width="small"),
    }


def _title(name: str) -> str:
    field = Hyperparameters.model_fields.get(name)
    return (field.title if field else None) or name.replace("_", " ").capitalize()


def _text(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
