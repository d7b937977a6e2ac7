"""Where one's alerts are sent, on the settings page."""

from contextlib import suppress

import streamlit as st

from core.alerts import ALERT_KINDS, KINDS, webhooks
from core.alerts.webhooks import NewWebhook, Webhook
from core.errors import NotFound
from core.fields import parse
from core.people.users import User
from core.ui import show

HELP = (
    "A POST with JSON for each alert, for a chat, a pager or your own script. "
    "Inside your network an admin must allow the host."
)
SIGNED = (
    "Each body is signed: the header `X-Luthier-Signature` is `sha256=` and the hex HMAC-SHA256 of the "
    "body under this secret."
)


def show_webhook(user: User) -> None:
    hook: Webhook | None = None
    with suppress(NotFound):
        hook = webhooks.get(user)
    st.caption(HELP)
    with st.form("webhook"):
        st.text_input(
            "Address",
            value=hook.url if hook else "",
            key="webhook_url",
            placeholder="https://",
            max_chars=2000,
        )
        st.multiselect(
            "Which alerts",
            KINDS,
            default=hook.kinds if hook else KINDS,
            format_func=lambda kind: ALERT_KINDS[kind].title,
            key="webhook_kinds",
        )
        if st.form_submit_button("Save", key="webhook_save"):
            with show.guarded():
                webhooks.put(
                    user,
                    parse(
                        NewWebhook,
                        url=st.session_state.webhook_url.strip(),
                        kinds=st.session_state.webhook_kinds,
                    ),
                )
                show.flash("Alerts are sent there from now on.")
                st.rerun()
    if hook:
        _show_secret(user, hook)


def _show_secret(user: User, hook: Webhook) -> None:
    if hook.last_error:
        st.warning(
            f"The last alert was not delivered. {show.plain(hook.last_error)}", icon=":material/warning:"
        )
    with st.expander("Signature", icon=":material/key:", key="webhook_signature"):
        st.markdown(SIGNED)
        st.code(hook.secret, language=None)
    with st.container(horizontal=True):
        if st.button("Send a test", key="webhook_test", icon=":material/send:"):
            with show.guarded(), st.spinner("Sending …"):
                result = webhooks.send_test(user)
                if result.ok:
                    st.success(f"It was received: {result.status}.", icon=":material/check_circle:")
                else:
                    st.error(show.plain(result.error or "It was not received."), icon=":material/error:")
        if st.button("Remove", key="webhook_remove", icon=":material/delete:"):
            show.confirm(
                "webhook_remove",
                "Remove the webhook?",
                "Alerts stay in the app and are sent nowhere. Another webhook gets another secret.",
                lambda: webhooks.remove(user),
                yes="Remove",
            )
