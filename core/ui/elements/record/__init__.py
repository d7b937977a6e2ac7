"""The fields of one row, whole: nested values as a tree,
long text readable, all of it to be copied as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.cells import json_safe
from core.ui.elements import component, grid

HERE = Path(__file__).parent
MAX_TEXT = 100_000  # characters of one text that are drawn
MAX_ITEMS = 500  # of one list
MAX_COPY = 1_000_000  # characters
Node = list[Any]


def show(key: str, data: dict[str, Any], columns: Sequence[dict[str, str]], *, whole: dict[str, Any]) -> None:
    """Draw ``data``, a part of the row ``whole``; ``columns`` tell the types."""
    types = {column["name"]: grid.short_type(column["type"]) for column in columns}
    fields = [
        {"name": name, "type": types.get(name, ""), "value": node(value)} for name, value in data.items()
    ]
    text = json.dumps(json_safe(whole), ensure_ascii=False, indent=2)
    component.reserve(key, sum(4.2 + min(len(str(value)) // 80, 8) * 1.4 for value in data.values()))
    component.declare("record", HERE, stem="record")(
        key=key, data={"fields": fields, "json": text if len(text) <= MAX_COPY else None}
    )


def node(value: Any) -> Node:
    """A value as ``record.js`` draws it: [kind, content], and what was left out."""
    if isinstance(value, dict):
        return ["object", [[str(name), node(part)] for name, part in value.items()]]
    if isinstance(value, (list, tuple)):
        parts = [node(part) for part in value[:MAX_ITEMS]]
        return (
            ["list", parts, f"… and {len(value) - MAX_ITEMS:,} more"]
            if len(value) > MAX_ITEMS
            else ["list", parts]
        )
    if value is None:
        return ["null", ""]
    if isinstance(value, bool):
        return ["boolean", str(value).lower()]
    if isinstance(value, str):
        return ["string", value[:MAX_TEXT], _left_out(value)] if len(value) > MAX_TEXT else ["string", value]
    kind = "number" if isinstance(value, (int, float)) else "string"
    return [kind, grid.text(value)]


def _left_out(value: str) -> str:
    return f"… and {len(value) - MAX_TEXT:,} characters more; a download has them all."
