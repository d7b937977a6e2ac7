"""What the caller has used: tokens, requests, training and query time, storage."""

from datetime import timedelta

import streamlit as st

from core.clock import now
from core.people import usage
from core.people.usage import GroupBy
from core.ui import show
from core.ui.people import usage_view
from core.ui.sign_in import require_user

PERIODS = {"7": "Last 7 days", "30": "Last 30 days", "90": "Last 90 days", "365": "Last year"}
GROUPS: dict[GroupBy, str] = {"day": "Day", "model": "Model", "key": "API key", "kind": "Kind"}

user = require_user()
show.header("Usage", "What you have used on this server, from pages and keys alike.", icon="bar_chart")

with st.container(horizontal=True, vertical_alignment="bottom"):
    period = st.selectbox(
        "Period",
        list(PERIODS),
        index=1,
        format_func=PERIODS.__getitem__,
        key="period",
        bind="query-params",
        width=180,
    )
    group = st.segmented_control(
        "By",
        list(GROUPS),
        default="day",
        required=True,
        format_func=GROUPS.__getitem__,
        key="by",
        bind="query-params",
    )

with show.guarded():
    since = now() - timedelta(days=int(period))
    lines = usage.summary(user, since=since, group_by=group or "day")
    if lines:
        usage_view.show_totals(lines)
        usage_view.show_chart(lines, group or "day")
        usage_view.show_table(lines, GROUPS[group or "day"])
    else:
        show.empty(
            "Nothing used in this time",
            "Chat with a model, run a query or fine-tune: it is counted here.",
            icon="bar_chart",
        )
