"""A query's plan, drawn: a box per step with its rows
and its share of the time, the steps it waits for below it."""

from pathlib import Path
from typing import Any

from core.query import Operator, QueryPlan
from core.ui.elements import component

HERE = Path(__file__).parent


def draw(plan: QueryPlan, *, key: str) -> None:
    component.declare("plan", HERE, stem="plan")(
        key=key, data={"steps": [_step(step) for step in plan.operators]}
    )


def _step(step: Operator) -> dict[str, Any]:
    return {
        "name": step.name,
        "rows": step.rows,
        "ms": round(step.seconds * 1000, 2),
        "share": round(step.share, 4),
        "details": [[key, text] for key, text in step.details],
        "children": [_step(child) for child in step.children],
    }
