"""Alerts in the app: the bell in the sidebar of every page,
a toast when one comes while a page is open, and how one is drawn."""

import streamlit as st

from core import alerts
from core.alerts import Alert
from core.people.users import User
from core.ui import places, show

EVERY = 10.0  # seconds
TOLD = "_told_alert"  # the newest alert that this browser has shown
DELIVERIES = {
    "waiting": "Being sent to your webhook",
    "sent": "Sent to your webhook",
    "failed": "Could not be sent to your webhook",
}


@st.fragment(run_every=EVERY)
def show_bell(user: User) -> None:
    """Call it inside the sidebar."""
    unseen = alerts.count_unseen(user)
    with st.container(key="bell"):
        label = f"**Alerts ({unseen if unseen < 100 else '99+'})**" if unseen else "Alerts"
        places.link("alerts", label, icon="notifications_active" if unseen else "notifications")
    _tell(user)


def show_alert(user: User, alert: Alert) -> None:
    kind = alerts.ALERT_KINDS[alert.kind]
    with st.container(border=True, gap="xsmall", key=f"alert_{alert.id}"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            new = "" if alert.seen_at else " :blue-badge[new]"
            st.markdown(f":{kind.colour}[:material/{kind.icon}:] **{kind.title}**{new}", width="content")
            st.caption(show.ago(alert.created_at), width="content")
        st.markdown(show.plain(alert.message))
        if sent := _delivery(alert):
            st.caption(sent)
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            places.link("job", show.plain(alert.job_name) or "The job", icon="monitoring", id=alert.job_id)
            if not alert.seen_at:
                st.button(
                    "Mark as seen",
                    key=f"seen_{alert.id}",
                    icon=":material/done:",
                    type="tertiary",
                    on_click=show.attempt,
                    args=(lambda: alerts.mark_seen(user, alert.id),),
                )


def _delivery(alert: Alert) -> str:
    words = [DELIVERIES.get(alert.delivery, "")]
    if alert.delivery_error and alert.delivery != "sent":
        words.append(show.plain(alert.delivery_error))
    return " · ".join(word for word in words if word)


def _tell(user: User) -> None:
    """A toast for each alert since the last look; at the first look none, the bell lists what was there."""
    last_id = st.session_state.get(TOLD)
    fresh = alerts.newest(user, after=last_id)
    if last_id is not None:
        for alert in fresh:
            st.toast(
                f"{show.plain(alert.message)}  \n[Open the job](/job?id={alert.job_id})",
                icon=f":material/{alerts.ALERT_KINDS[alert.kind].icon}:",
                duration="long",
            )
    st.session_state[TOLD] = fresh[-1].id if fresh else last_id or f"{alerts.PREFIX}0"
