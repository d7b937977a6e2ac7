"""What DuckDB's profile of a query says, without a path,
a setting or anything else that is not the caller's business.

Only the keys named here leave the child. A table is called as the query calls it. ``rows`` are those that an
operator gave on, ``seconds`` the time of all its threads together.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

DETAILS = (
    "Table",
    "CTE Name",
    "Join Type",
    "Conditions",
    "Expression",
    "Filters",
    "Groups",
    "Aggregates",
    "Order By",
    "Top",
    "Limit",
    "Offset",
    "Projections",
    "Distinct Targets",
)
MAX_DETAIL, MAX_NODES = 300, 2_000
_REFERENCE = re.compile(r"#(\d{1,4})\b")
_CAST = re.compile(r"CAST\((#\d+) AS [A-Z]+\)")
_REPACKED = re.compile(r"(CAST\()?#\d+( AS [A-Z]+\))?|__internal_\w+\(.*\)")
WRAPPERS = frozenset({"RESULT_COLLECTOR", "EXPLAIN_ANALYZE"})
_TITLES = {
    "PARQUET_SCAN": "Table scan",
    "TABLE_SCAN": "Table scan",
    "READ_PARQUET": "Table scan",
    "DUMMY_SCAN": "One row",
}
Tree = dict[str, Any]


def scanned(profile: str, names: Mapping[str, str]) -> Tree:
    """``{"bytes": n, "tables": [{"table", "rows", "groups", "of_groups", "filtered"}]}``;
    ``names``: file -> table.

    Rows are those that left the scan: with a filter in the scan more were looked at, in ``groups`` of
    ``of_groups`` row groups.
    """
    plan_tree = _load(profile)
    tables: list[Tree] = []
    _note_scans(plan_tree.get("operator") or [], names, tables)
    return {"bytes": int((plan_tree.get("io") or {}).get("total_bytes_read") or 0), "tables": tables}


def tree(profile: str, names: Mapping[str, str]) -> list[Tree]:
    """The operators from the top:
    ``{"operator", "details": [[key, text]], "rows", "estimate", "seconds", "children"}``."""
    budget = [MAX_NODES]
    return _nodes(_load(profile).get("operator") or [], names, budget)


def _load(profile: str) -> Tree:
    try:
        plan_tree = json.loads(profile)
    except (ValueError, RecursionError):
        return {}
    return plan_tree if isinstance(plan_tree, dict) else {}


def _note_scans(nodes: list[Tree], names: Mapping[str, str], tables: list[Tree]) -> None:
    waiting = list(nodes)
    while waiting and len(tables) < MAX_NODES:
        node = waiting.pop()
        waiting += node.get("children") or []
        info = node.get("extra_info") or {}
        if "rows_scanned" in node and (table := names.get(str(info.get("Filename(s)", "")))):
            tables.append(
                {
                    "table": table,
                    "rows": int(node["rows_scanned"]),
                    "groups": int(node.get("row_groups_scanned") or 0),
                    "of_groups": int(node.get("total_row_groups_to_scan") or 0),
                    "filtered": bool(info.get("Filters") or info.get("Dynamic Filters")),
                }
            )


def _nodes(nodes: list[Tree], names: Mapping[str, str], budget: list[int]) -> list[Tree]:
    kept_nodes: list[Tree] = []
    for node in nodes:
        budget[0] -= 1
        if budget[0] < 0:
            break
        children = _nodes(node.get("children") or [], names, budget)
        if node.get("type") in WRAPPERS or _only_repacks(node):
            kept_nodes += children
        else:
            kept_nodes.append(_node(node, children, names))
    return kept_nodes


def _only_repacks(node: Tree) -> bool:
    """A projection of DuckDB's own that makes columns narrower
    and wider again; it says nothing about the query."""
    listed = (node.get("extra_info") or {}).get("Projections") or []
    texts = listed if isinstance(listed, list) else [listed]
    return node.get("type") == "PROJECTION" and all(_REPACKED.fullmatch(str(text)) for text in texts)


def _node(node: Tree, children: list[Tree], names: Mapping[str, str]) -> Tree:
    info = dict(node.get("extra_info") or {})
    table = names.get(str(info.pop("Filename(s)", "")))
    if table:
        info["Table"] = table
    kind = str(node.get("type") or "?")
    below = node.get("children") or []
    columns = _columns(below[0]) if len(below) == 1 else []
    estimate = str(info.get("Estimated Cardinality", ""))
    return {
        "operator": _TITLES.get(kind, kind.replace("_", " ").capitalize()),
        "details": [[key, _named(_text(info[key]), columns)] for key in DETAILS if info.get(key)],
        "rows": int(node.get("intermediate_rows") or 0),
        "estimate": int(estimate) if estimate.isdigit() else None,
        "seconds": float(node.get("timing") or 0.0),
        "children": children,
    }


def _text(value: Any) -> str:
    """A detail in one line."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = " ".join(text.split())
    return text[:MAX_DETAIL] + ("…" if len(text) > MAX_DETAIL else "")


def _columns(node: Tree) -> list[str]:
    """What a step hands up, in order, as far as its profile says."""
    listed = (node.get("extra_info") or {}).get("Projections") or []
    texts = [str(text) for text in listed] if isinstance(listed, list) else [str(listed)]
    if node.get("type") != "PROJECTION":
        return texts if node.get("type") == "TABLE_SCAN" else []
    below = node.get("children") or []
    columns = _columns(below[0]) if len(below) == 1 else []
    return [_named(_CAST.sub(r"\1", text), columns) for text in texts]


def _named(text: str, columns: list[str]) -> str:
    """``#0`` is the first column of the step below."""

    def name(found: re.Match[str]) -> str:
        number = int(found[1])
        return columns[number] if number < len(columns) else found[0]

    return _REFERENCE.sub(name, text)
