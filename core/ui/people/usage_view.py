"""Usage as the page draws it: totals, a bar per group, and the numbers."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.people.usage import UsageLine
from core.ui import digits, show

# The words of the table; a phone has no room for longer ones in the legend.
TOKENS = {"prompt_tokens": "Read", "completion_tokens": "Written", "trained_tokens": "Trained"}


def show_totals(lines: Sequence[UsageLine]) -> None:
    tokens = sum(line.prompt_tokens + line.completion_tokens for line in lines)
    with st.grid(4, min_column_width=150):
        st.metric("Requests", show.number(sum(line.requests for line in lines)), border=True)
        st.metric("Chat tokens", show.number(tokens), border=True)
        st.metric("Training time", show.duration(sum(line.training_seconds for line in lines)), border=True)
        st.metric(
            "Stored",
            show.bytes_(sum(line.stored_bytes for line in lines)),
            border=True,
            help="Uploads less deletions.",
        )


def show_chart(lines: Sequence[UsageLine], group: str) -> None:
    """Tokens per group, stacked; nothing when no token was used."""
    rows = [
        {"group": line.label, "kind": title, "tokens": getattr(line, field)}
        for line in lines
        for field, title in TOKENS.items()
        if getattr(line, field)
    ]
    if not rows:
        return
    x = {
        "field": "group",
        "title": None,
        "sort": None if group == "day" else "-y",
        "axis": {"labelAngle": 0, "labelOverlap": True},
    }
    spec = {
        "mark": {"type": "bar", "cornerRadiusEnd": 2, "width": {"band": 0.7}},
        "encoding": {
            "x": {**x, "type": "ordinal"},
            "y": {
                "field": "tokens",
                "type": "quantitative",
                "title": "tokens",
                "axis": {"format": "~s", "tickCount": 5},
            },
            "color": {"field": "kind", "type": "nominal", "title": None, "legend": {"orient": "top"}},
            "tooltip": [
                {"field": "group", "title": "Group"},
                {"field": "kind", "title": "Kind"},
                {"field": "tokens", "format": ","},
            ],
        },
    }
    with st.container(border=True):
        st.markdown("**Tokens**")
        st.vega_lite_chart(pd.DataFrame(rows), spec, height=260, key="usage_chart")


def show_table(lines: Sequence[UsageLine], title: str) -> None:
    table = pd.DataFrame(
        {
            title: [line.label for line in lines],
            "Requests": [line.requests for line in lines],
            "Read": [line.prompt_tokens for line in lines],
            "Written": [line.completion_tokens for line in lines],
            "Trained": [line.trained_tokens for line in lines],
            "Training": [show.duration(line.training_seconds) for line in lines],
            "Queries": [show.duration(line.query_seconds) for line in lines],
            "Stored": [show.bytes_(line.stored_bytes) for line in lines],
        }
    )
    st.dataframe(table, placeholder=digits.NULL, hide_index=True, key="usage_table")
