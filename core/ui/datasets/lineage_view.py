"""The lineage of a dataset as a picture: versions in their datasets,
what made one from another, jobs and models behind them.

Drawn with Graphviz by the browser. Every node has its own light background and dark text; lines and captions
are in a grey that can be read on the background of both themes.
"""

import streamlit as st

from core import datasets
from core.datasets import Dataset, Lineage
from core.datasets.lineage import Edge, Node
from core.people.users import User
from core.ui import show

GREY = "#8a8f98"
INK = "#1f2430"
GROUNDS = {"version": "#e3e6fd", "job": "#fdecc8", "model": "#d3f0dd"}
OTHER = "#eef0f4"  # versions of other datasets
LONGEST = 34


def show_lineage(user: User, dataset: Dataset) -> None:
    lineage = datasets.lineage(user, dataset.id)
    if len(lineage.nodes) < 2:
        st.caption("Nothing has been made from this version yet, and it was made from nothing else.")
        return
    st.graphviz_chart(build_dot(lineage, dataset.id, dataset.version), width="content")
    st.caption(
        (
            ":blue-badge[versions] :gray-badge[of other datasets] :orange-badge[fine-tunings] "
            ":green-badge[models] A dashed line only says what came next."
        )
        + (" The oldest are left out." if lineage.is_cut else "")
    )


def build_dot(lineage: Lineage, dataset_id: str, newest: int | None) -> str:
    """The picture in Graphviz's language; every text of a user is quoted."""
    lines = [
        "digraph lineage {",
        'rankdir=TB; bgcolor="transparent"; nodesep=0.35; ranksep=0.45; margin=0.05;',
        (
            f'node [shape=box, style="rounded,filled", fontname="Inter, sans-serif", fontsize=11, '
            f'fontcolor="{INK}", penwidth=1, color="{GREY}", margin="0.14,0.07"];'
        ),
        (
            f'edge [fontname="Inter, sans-serif", fontsize=10, color="{GREY}", fontcolor="{GREY}", '
            f"arrowsize=0.7];"
        ),
        *(_node(node, n, dataset_id, newest) for n, node in enumerate(lineage.nodes)),
    ]
    places = {node.id: n for n, node in enumerate(lineage.nodes)}
    lines += [_edge(edge, places) for edge in lineage.edges]
    return "\n".join([*lines, "}"])


def _node(node: Node, n: int, dataset_id: str, newest: int | None) -> str:
    ground = OTHER if node.kind == "version" and node.of != dataset_id else GROUNDS[node.kind]
    status = "" if node.status in ("ready", "succeeded") or node.kind == "job" else f" ({_said(node.status)})"
    name, _, number = node.title.rpartition(" · ")
    text = f"{_cut(name or node.title)}\n{_cut(f'{number} · {node.text}' if name else node.text)}{status}"
    is_newest = node.kind == "version" and node.of == dataset_id and node.number == newest
    extra = ', penwidth=2, color="#5b5bd6"' if is_newest else ""
    faded = ', style="rounded,filled,dashed"' if node.status == "removed" else ""
    return (
        f"n{n} [label={_quoted(text)}, tooltip={_quoted(node.title)}, "
        f"fillcolor={_quoted(ground)}{extra}{faded}];"
    )


def _edge(edge: Edge, places: dict[str, int]) -> str:
    look = "style=dashed, arrowhead=none" if edge.how == "then" else f"label={_quoted(' ' + edge.how)}"
    return f"n{places[edge.from_]} -> n{places[edge.to]} [{look}];"


def _said(status: str) -> str:
    return {"removed": "files removed"}.get(status, status)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _quoted(text: str) -> str:
    """A DOT string: only quotes and backslashes mean something in it, and a line break is written as one."""
    plain = show.REORDERING.sub("", text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
