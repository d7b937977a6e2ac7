"""What a card says about a column: from its profile, its findings and its token lengths.

Text only; ``column_cards`` draws it.
"""

from collections.abc import Sequence
from typing import Any

from core.sql_types import is_list, is_number, kind
from core.ui import show
from core.ui.datasets.rows import rows_strip
from core.ui.datasets.rows.rows_strip import share
from core.ui.elements import grid

TOPS = 4
MAX_TEXT = 300
SHARES = {"p5": "5%", "p25": "25%", "p50": "50%", "p75": "75%", "p95": "95%", "p99": "99%"}
Section = dict[str, Any]


def card(
    column: dict[str, Any],
    num_rows: int,
    *,
    findings: Sequence[dict[str, Any]] = (),
    tokens: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The data of one card."""
    strip = rows_strip.strip(column, num_rows, {}) or {}
    tops = [] if strip.get("bars") else _tops(column, num_rows)
    sections = [_values(column), _lengths(column), _tokens(tokens), _commonest(column), _examples(column)]
    return {
        "name": column["name"],
        "type": grid.short_type(column["type"]),
        "full_type": column["type"],
        "counts": _counts(column, strip, num_rows),
        "nulls": strip.get("nulls"),
        "bars": strip.get("bars"),
        "ends": _ends(column, strip),
        "tops": tops,
        "other": _others(column, num_rows, tops) if tops else None,
        "note": _note(column, strip),
        "flags": [_flag(finding) for finding in findings],
        "sections": [section for section in sections if section],
    }


def _counts(column: dict[str, Any], strip: dict[str, Any], num_rows: int) -> list[str]:
    parts = [strip["distinct"]] if strip.get("distinct") else []
    if column.get("empty"):
        what = "empty list" if is_list(column["type"]) else "empty text"
        parts.append(f"{share(column['empty'], num_rows)} {what}")
    if column.get("nulls") == 0:
        parts.append("no nulls")
    return parts


def _ends(column: dict[str, Any], strip: dict[str, Any]) -> list[str] | None:
    """Of numbers the bounds themselves: the last bar of whole ones ends one behind the largest."""
    if strip.get("ends") and is_number(column["type"]):
        return [_number(column["min"]), _number(column["max"])]
    return strip.get("ends")


def _tops(column: dict[str, Any], num_rows: int) -> list[dict[str, Any]]:
    return [
        {
            "text": _short(one["value"]),
            "is_odd": one["value"] == "",
            "share": one["count"] / max(num_rows, 1),
            "percent": share(one["count"], num_rows),
            "count": show.count(one["count"], "row"),
        }
        for one in column.get("top_values", [])[: TOPS + (column.get("distinct") == TOPS + 1)]
    ]


def _others(column: dict[str, Any], num_rows: int, tops: Sequence[Any]) -> str | None:
    shown = sum(one["count"] for one in column["top_values"][: len(tops)])
    rest, others = num_rows - (column.get("nulls") or 0) - shown, (column.get("distinct") or 0) - len(tops)
    return f"{show.count(others, 'other')}, {share(rest, num_rows)}" if others > 0 and rest > 0 else None


def _note(column: dict[str, Any], strip: dict[str, Any]) -> str:
    """Where there is nothing to draw: a word on why, or a value."""
    if strip.get("note") and not strip["note"].startswith("every"):
        return str(strip["note"])
    examples = column.get("examples") or []
    if examples:
        return f"such as {_short(examples[0], 140)}"
    low, high = column.get("min"), column.get("max")
    return f"from {_short(low)} to {_short(high)}" if low is not None else ""


def _flag(finding: dict[str, Any]) -> dict[str, str]:
    rows = show.count(finding["num_rows"], "row")
    return {
        "key": finding["key"],
        "severity": finding["severity"],
        "text": f"{finding['title']} · {rows}",
        "help": finding["help"],
    }


def _values(column: dict[str, Any]) -> Section | None:
    pairs = [["Type", column["type"][:200]]]
    named = (("Smallest", "min"), ("Mean", "mean"), ("Largest", "max"))
    if is_number(column["type"]) or kind(column["type"]).startswith(("DATE", "TIME")):
        pairs += [[label, _number(column[name])] for label, name in named if column.get(name) is not None]
    pairs += [
        [f"{SHARES[name]} up to", _number(value)] for name, value in (column.get("quantiles") or {}).items()
    ]
    for label, name in (
        ("Zeros", "zeros"),
        ("Negative", "negatives"),
        ("Nulls", "nulls"),
        ("Empty", "empty"),
        ("NaN or infinite, left out above", "not_finite"),
    ):
        if column.get(name):
            pairs.append([label, f"{column[name]:,}"])
    return {"title": "Values", "pairs": pairs}


def _lengths(column: dict[str, Any]) -> Section | None:
    lengths = column.get("lengths")
    if not lengths:
        return None
    unit = "items" if is_list(column["type"]) else "characters"
    pairs = [[f"{SHARES[name]} up to", _number(lengths[name])] for name in SHARES if name in lengths]
    return {
        "title": f"Length in {unit}",
        "pairs": [["Mean", _number(lengths["mean"])], *pairs, ["Longest", _number(lengths["max"])]],
    }


def _tokens(tokens: dict[str, Any] | None) -> Section | None:
    if not tokens or not tokens.get("rows"):
        return None
    histogram = tokens["histogram"]
    counts, edges = histogram["counts"], histogram["edges"]
    bars = [
        {
            "height": max(count / max(counts), 0.04) if count else 0,
            "label": f"{edges[i]:,.0f} to {edges[i + 1]:,.0f} tokens: {show.count(count, 'row')}",
        }
        for i, count in enumerate(counts)
    ]
    pairs: list[list[Any]] = [["All together", f"{tokens['total']:,}"], ["Mean", _number(tokens["mean"])]]
    pairs += [[f"{SHARES[name]} up to", f"{value:,.0f}"] for name, value in tokens["quantiles"].items()]
    longest = tokens["longest"]
    pairs.append(["Longest", f"{longest['tokens']:,} in row {longest['line']:,}", longest["line"]])
    return {
        "title": "Length in tokens",
        "bars": bars,
        "ends": [f"{edges[0]:,.0f}", f"{edges[-1]:,.0f}"],
        "pairs": pairs,
    }


def _commonest(column: dict[str, Any]) -> Section | None:
    values = column.get("top_values") or []
    if len(values) <= TOPS and not column.get("histogram"):
        return None
    return (
        {
            "title": "Commonest values",
            "pairs": [[_short(one["value"], 60), f"{one['count']:,}"] for one in values],
        }
        if values
        else None
    )


def _examples(column: dict[str, Any]) -> Section | None:
    examples = column.get("examples")
    return (
        {"title": "Examples", "list": [_short(value, MAX_TEXT) for value in examples]} if examples else None
    )


def _number(value: Any) -> str:
    if isinstance(value, float):
        return (
            f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.4g}"
        )
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value).replace("T", " ")


def _short(value: Any, most: int = 80) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = "empty text" if value == "" else _number(value) if isinstance(value, float) else str(value)
    text = " ".join(text.split()) or text
    return text if len(text) <= most else text[: most - 1] + "…"
