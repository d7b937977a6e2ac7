"""One's own account: name, password, signing out everywhere, appearance."""

import streamlit as st

from core.fields import parse
from core.people import passwords, sessions, users
from core.people.users import AccountChange, User
from core.ui import session, show, sign_in
from core.ui.alerts import webhook_view


def rename(user: User) -> None:
    users.change(user, parse(AccountChange, name=st.session_state.my_name.strip()))
    show.flash("Your name is saved.")
    st.rerun()  # the account menu shows it, too


def change_password(user: User) -> None:
    old, new, again = (st.session_state[key] for key in ("old_password", "new_password", "again_password"))
    passwords.require_same(new, again)
    wanted = parse(AccountChange, password=new, old_password=old)
    users.change(user, wanted, keep_cookie=session.token())
    st.toast(
        "Your password is changed. Other browsers and API tokens are signed out.",
        icon=":material/check_circle:",
    )


user = sign_in.require_user()
show.header(
    "Settings", "You are an admin of this server." if user.is_admin else "Your own account.", icon="settings"
)

with st.container(width=640):
    st.subheader("Profile", anchor=False)
    with st.form("profile"):
        st.text_input("E-mail", value=user.email, key="my_email", disabled=True)
        st.text_input("Name", value=user.name, key="my_name", max_chars=100, autocomplete="name")
        if st.form_submit_button("Save", key="save_name"):
            with show.guarded():
                rename(user)

    st.subheader("Password", anchor=False)
    with st.form("password", clear_on_submit=True):
        st.text_input(
            "Present password", type="password", key="old_password", autocomplete="current-password"
        )
        st.text_input(
            "New password",
            type="password",
            key="new_password",
            autocomplete="new-password",
            help=passwords.HELP,
        )
        st.text_input(
            "New password again", type="password", key="again_password", autocomplete="new-password"
        )
        if st.form_submit_button("Change password", key="save_password"):
            with show.guarded():
                change_password(user)

    st.subheader("Alerts", anchor=False)
    webhook_view.show_webhook(user)

    st.subheader("Sessions", anchor=False)
    with st.container(border=True):
        st.caption(
            "Ends every browser session and API token of yours, this one too. API keys stay: "
            "revoke those on their page."
        )
        if st.button("Sign out everywhere", key="end_all", icon=":material/logout:"):
            show.confirm(
                "end_all",
                "Sign out everywhere?",
                "You will have to sign in again in every browser. Programs with API keys go on.",
                lambda: sessions.end_all(user),
                yes="Sign out everywhere",
            )

    st.subheader("Appearance", anchor=False)
    st.caption(
        "Luthier follows your system's light or dark mode. The ⋮ menu at the top right lets you choose one "
        "yourself."
    )
