"""A query's plan, drawn: a box per step with its rows and its share of the time, the steps it waits for below it."""

from pathlib import Path
from typing import Any

import streamlit as st

from core.query import Operator, Plan

HERE = Path(__file__).parent


def draw(plan: Plan, *, key: str) -> None:
    _component()(key=key, data={"steps": [_step(step) for step in plan.operators]})


def _step(step: Operator) -> dict[str, Any]:
    return {
        "name": step.name,
        "rows": step.rows,
        "ms": round(step.seconds * 1000, 2),
        "share": round(step.share, 4),
        "details": [[key, text] for key, text in step.details],
        "children": [_step(child) for child in step.children],
    }


def _component() -> Any:
    html, css, js = ((HERE / f"plan.{kind}").read_text() for kind in ("html", "css", "js"))
    return st.components.v2.component("luthier_plan", html=html, css=css, js=js)
