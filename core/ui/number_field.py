"""One optional number of an input model, drawn as its JSON schema describes it.

Empty means: decided elsewhere.
"""

from collections.abc import Mapping
from typing import Any

import streamlit as st

BROWSERS_COUNT_TO = 2**53


def pick_number(
    schema: Mapping[str, Any], *, key: str, value: Any, placeholder: str, **more: Any
) -> int | float | None:
    """``schema`` is a property of ``model_json_schema()``
    that allows a number; limits, title and help are its own."""
    kind = number_kind(schema)
    assert kind is not None, f"{key} is no number"
    is_whole = kind["type"] == "integer"
    cast: type[int] | type[float] = int if is_whole else float
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    settings: dict[str, Any] = {
        "value": cast(value) if is_number else None,
        "step": 1 if is_whole else 0.1,
        "format": None if is_whole else "%g",
        "placeholder": placeholder,
        "help": schema.get("description"),
        "key": key,
        **_limits(kind, cast),
        **more,
    }
    number: int | float | None = st.number_input(schema.get("title", key), **settings)
    return number


def number_kind(schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The branch of the schema that is a number, None if there is none."""
    return next(
        (kind for kind in schema.get("anyOf", [schema]) if kind.get("type") in ("integer", "number")), None
    )


def _limits(kind: Mapping[str, Any], cast: type[int] | type[float]) -> dict[str, int | float]:
    """Inclusive limits; an exclusive one is left to the service, which says so."""
    ends = {"min_value": kind.get("minimum", kind.get("exclusiveMinimum")), "max_value": kind.get("maximum")}
    return {name: cast(end) for name, end in ends.items() if end is not None and abs(end) < BROWSERS_COUNT_TO}
