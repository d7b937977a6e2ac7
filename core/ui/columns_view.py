"""The summary of a version's columns: a card each with counts and a small chart."""

from typing import Any

import pandas as pd
import streamlit as st

from core import datasets
from core.datasets import Dataset, Profile, Version
from core.ui import show
from core.users import User

PER_PAGE = 24


def show_columns_tab(user: User, dataset: Dataset, version: Version) -> None:
    show_columns(datasets.profile(user, dataset.id, version=version.version))


def show_columns(profile: Profile) -> None:
    columns = list(profile.columns)
    st.caption(f"{show.count(len(columns), 'column')} over {show.count(profile.num_rows, 'row')}; distinct counts are approximate.")
    if len(columns) > PER_PAGE:
        text = st.text_input("Search", key="columns_q", placeholder="Search columns", label_visibility="collapsed") or ""
        columns = [c for c in columns if text.lower() in c["name"].lower()]
        at = st.pagination(max(1, -(-len(columns) // PER_PAGE)), key="columns_page")
        columns = columns[(at - 1) * PER_PAGE : at * PER_PAGE]
    with st.grid(3, min_column_width=270):
        for column in columns:
            with st.container(border=True, height="stretch"):
                _show_column(column, profile.num_rows)


def _show_column(column: dict[str, Any], num_rows: int) -> None:
    st.markdown(f"**{show.plain(column['name'])}** :gray-badge[{show.plain(str(column['type']))[:40]}]")
    st.caption(" · ".join(_counts(column, num_rows)))
    if column.get("histogram"):
        _show_histogram(column)
        st.caption(_range(column))
    elif column.get("top_values"):
        _show_top_values(column["top_values"], num_rows)
    elif column.get("min") is not None and column["type"] != "VARCHAR":
        st.caption(_range(column))


def _counts(column: dict[str, Any], num_rows: int) -> list[str]:
    nulls, found = column.get("nulls") or 0, []
    if column.get("distinct") is not None:
        found.append(f"{column['distinct']:,} distinct")
    found.append(f"{nulls / num_rows:.1%} empty" if nulls and num_rows else "none empty")
    return found


def _range(column: dict[str, Any]) -> str:
    parts = [(name, column.get(name)) for name in ("min", "mean", "max")]
    return " · ".join(f"{name} {show.plain(_short(value))}" for name, value in parts if value is not None)


def _show_histogram(column: dict[str, Any]) -> None:
    edges, counts = column["histogram"]["edges"], column["histogram"]["counts"]
    is_time = str(column["type"]).startswith(("DATE", "TIMESTAMP"))  # their edges are seconds since 1970
    bars = pd.DataFrame({"from": edges[:-1], "to": edges[1:], "count": counts})
    if is_time:
        bars = pd.DataFrame({**bars, **{side: pd.to_datetime(bars[side], unit="s", errors="coerce") for side in ("from", "to")}})
    form = {"type": "temporal"} if is_time else {"type": "quantitative", "format": ",.5~g"}
    spec = {
        "mark": {"type": "rect", "stroke": "transparent", "strokeWidth": 1},
        "encoding": {
            "x": {"field": "from", "type": form["type"], "axis": None},
            "x2": {"field": "to"},
            "y": {"field": "count", "type": "quantitative", "axis": None, "scale": {"zero": True}},
            "y2": {"datum": 0},
            "tooltip": [
                {"field": "from", "title": "from", **form},
                {"field": "to", "title": "to", **form},
                {"field": "count", "title": "rows", "type": "quantitative", "format": ","},
            ],
        },
        "view": {"stroke": None},
    }
    st.vega_lite_chart(bars, spec, height=90, key=f"histogram_{column['name']}")


def _show_top_values(values: list[Any], num_rows: int) -> None:
    table = pd.DataFrame(
        {
            "value": [_short(one["value"]) for one in values[:5]],
            "rows": [one["count"] / max(num_rows, 1) for one in values[:5]],
        }
    )
    config = {
        "value": st.column_config.TextColumn("Most frequent"),
        "rows": st.column_config.ProgressColumn("Share", min_value=0, max_value=1, format="percent", width="small"),
    }
    st.dataframe(table, hide_index=True, column_config=config)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = "(empty)" if value in (None, "") else str(value)
    return text if len(text) <= 80 else text[:79] + "…"
