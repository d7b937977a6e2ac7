"""What happened to one's jobs, newest first: /alerts."""

import streamlit as st

from core import alerts
from core.ui import lists, places, show, sign_in
from core.ui.alerts import alert_view

PAGE = "alerts_page"

user = sign_in.require_user()
with show.header("Alerts", "What happened to your jobs while nobody watched.", icon="notifications"):
    if alerts.count_unseen(user):
        see = show.attempt, (lambda: alerts.mark_all_seen(user),)
        st.button(
            "Mark all as seen", key="alerts_seen", icon=":material/done_all:", on_click=see[0], args=see[1]
        )
    places.button("Send them on", "settings", key="alerts_webhook", icon="webhook")
found = lists.page_of(
    lambda limit, offset: alerts.list_alerts(user, alerts.AlertList(limit=limit, offset=offset)), key=PAGE
)
if not found.total:
    show.empty(
        "No alerts",
        "You are told here when a job ends, fails, pauses by itself, stalls, or when its loss runs away.",
        "notifications_none",
    )
for alert in found.items:
    alert_view.show_alert(user, alert)
lists.pages(found, key=PAGE)
