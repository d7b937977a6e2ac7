"""The grid: one page of rows under a strip of statistics per column.

It draws what it is given and reports what was clicked.

Cells go to the browser as text, so that no number loses digits there; null stays null, apart from the empty
text.
"""

import datetime as dt
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.cells import json_safe
from core.sql_types import kind
from core.ui.elements import component

HERE = Path(__file__).parent
CUT = 300  # characters of a cell; the drawer shows all of it
SHORT = {
    "VARCHAR": "text",
    "BIGINT": "integer",
    "DOUBLE": "decimal",
    "BOOLEAN": "true/false",
    "DATE": "date",
    "TIMESTAMP": "date, time",
    "TIMESTAMP WITH TIME ZONE": "date, time, zone",
    "JSON": "JSON",
}
SHORT_KINDS = {"LIST": "list", "STRUCT": "object", "MAP": "map", "UNION": "mixed", "ENUM": "category"}


@dataclass(frozen=True)
class GridColumn:
    """One column: ``kind`` number, nested or empty; ``strip`` as ``core.ui.datasets.rows.rows_strip`` makes
    it; ``sort`` asc, desc or None."""

    name: str
    type: str
    full_type: str
    kind: str
    sort: str | None
    searched: bool
    strip: dict[str, Any] | None


@dataclass(frozen=True)
class Sheet:
    """``rows`` are [line, cell, …]; ``first`` is the place
    of the first among ``total``; ``open``: the line that is shown whole."""

    label: str
    columns: list[GridColumn]
    rows: list[list[Any]]
    total: int
    first: int
    page: str  # another one scrolls back to the top
    empty: str
    open: int | None
    words: list[str]


def show(key: str, sheet: Sheet, *, on_act: Callable[[dict[str, Any]], None]) -> None:
    """Draw it.

    ``on_act`` is called before the next run with what was clicked, columns being told by their number:

    {"sort"}, {"bar", "number", "extend"}, {"value", "number"}, {"nulls"} or {"row"} (a line).
    """
    data = {name: value for name, value in asdict(sheet).items() if name != "columns"}
    data["columns"] = [asdict(column) for column in sheet.columns]
    component.reserve(key, _height(sheet))
    component.declare("grid", HERE, stem="grid")(
        key=key, data=data, on_acted_change=lambda: component.tell(key, on_act)
    )


def _height(sheet: Sheet) -> float:
    """In rem; no cell has more than one line."""
    head = 7.6 if any(column.strip for column in sheet.columns) else 2.3
    return head + 2.27 * max(len(sheet.rows), 2.6)


def text(value: Any) -> str | None:
    """A cell as the grid shows it."""
    if value is None or isinstance(value, str):
        return value if value is None else _cut(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ").replace("+00:00", " UTC")
    if isinstance(value, list) and value and all(isinstance(one, dict) and "role" in one for one in value):
        return _cut("  ▸  ".join(f"{one['role']}: {one.get('content') or ''}" for one in value))
    if isinstance(value, (list, dict, tuple)):
        return _cut(json.dumps(json_safe(value), ensure_ascii=False))
    return _cut(str(json_safe(value)))


def short_type(type_: str) -> str:
    """A type for people, short enough for the head of a column."""
    if type_ in SHORT:
        return SHORT[type_]
    return SHORT_KINDS.get(kind(type_), type_.lower())


def _cut(text: str) -> str:
    cut = text[:CUT]
    return (
        (cut + "…" if len(text) > CUT else cut)
        .replace("\r\n", " ↵ ")
        .replace("\n", " ↵ ")
        .replace("\t", " ⇥ ")
    )


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return repr(value).removesuffix(".0") if abs(value) < 1e15 else repr(value)
