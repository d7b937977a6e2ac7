"""A query's plan, drawn: a box per step with its rows
and its share of the time, the steps it waits for below it."""

from pathlib import Path
from typing import Any

from core.query import Operator, QueryPlan
from core.ui.elements import component

HERE = Path(__file__).parent


def draw(plan: QueryPlan, *, key: str) -> None:
    component.reserve(key, sum(map(_height, plan.operators)))
    component.declare("plan", HERE, stem="plan")(
        key=key, data={"steps": [_step(step) for step in plan.operators]}
    )


def _height(step: Operator) -> float:
    """In rem, with the steps below it."""
    return 3.2 + 1.1 * len(step.details) + sum(map(_height, step.children))


def _step(step: Operator) -> dict[str, Any]:
    return {
        "name": step.name,
        "rows": step.rows,
        "ms": round(step.seconds * 1000, 2),
        "share": round(step.share, 4),
        "details": [[key, text] for key, text in step.details],
        "children": [_step(child) for child in step.children],
    }
