"""The form in front of every page: signing in, registering,
and the welcome of a server that has no account yet.

The widgets are streamlit-authenticator's; what stands behind them is ours. Its own controllers compare plain
bcrypt, trim passwords, never end a lockout and keep a cookie that JavaScript can read. So ``Accounts`` asks
``core.people.users`` instead, and ``SessionCookie`` leads to ``core.ui.session``. Rules about addresses,
passwords, throttling and invitations are ``core.people.users``'s.
"""

from pathlib import Path
from typing import Any

import streamlit as st
from streamlit_authenticator import Authenticate

from core import fields
from core.people import passwords, users
from core.ui import session, show

MARK = Path(__file__).parent / "logo_mark.svg"
LOGIN_FIELDS = {"Form name": "Sign in", "Username": "E-mail", "Password": "Password", "Login": "Sign in"}
REGISTER_FIELDS = {
    "Form name": "Create your account",
    "First name": "First name",
    "Last name": "Last name",
    "Email": "E-mail",
    "Password": "Password",
    "Repeat password": "Repeat password",
    "Register": "Create account",
}


class Accounts:
    """What the widgets call an authentication controller:
    it answers by ``core.people.users`` and raises its errors."""

    def __init__(self) -> None:
        self.user: users.User | None = None

    def login(self, username: str | None = None, password: str | None = None, *_: Any, **__: Any) -> bool:
        credentials = fields.parse(users.Credentials, email=username or "", password=password or "")
        self.user = users.sign_in(credentials, address=session.address())
        return True

    def register_user(
        self, first: str, last: str, email: str, _: str, password: str, again: str, *__: Any
    ) -> users.User:
        passwords.require_same(password, again)
        name = f"{first.strip()} {last.strip()}".strip()
        new = fields.parse(
            users.Registration, email=email, password=password, name=name, invitation=_invitation()
        )
        self.user = users.register(new, address=session.address())
        return self.user


class SessionCookie:
    """What the widgets call a cookie controller.

    There is never a cookie to read here: the form is drawn only without a session.
    """

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts

    def get_cookie(self) -> None:
        return None

    def set_cookie(self) -> None:
        if self.accounts.user is not None:
            session.sign_in(self.accounts.user)

    def delete_cookie(self) -> None:
        session.sign_out()


class Authenticator(Authenticate):
    """streamlit-authenticator's widgets over our accounts and sessions (0.4.2;
    its own ``__init__`` would start an iframe)."""

    def __init__(self) -> None:
        accounts = Accounts()
        self.attrs = {"login_sleep_time": 0, "password_instructions": passwords.HELP}
        self.api_key = self.path = self.encryptor = None
        self.secret_key = ""
        self.authentication_controller = accounts
        self.cookie_controller = SessionCookie(accounts)

    def login_form(self) -> None:
        with show.guarded():
            self.login(fields=LOGIN_FIELDS, key="sign_in")

    def register_form(self) -> None:
        with show.guarded():
            user = self.register_user(
                fields=REGISTER_FIELDS,
                captcha=False,
                password_hint=False,
                merge_username_email=True,
                key="register",
            )
            if isinstance(user, users.User):
                session.sign_in(user)


def require_user() -> users.User:
    """The user, or the sign-in form instead of the page. Every page's first call."""
    user = session.current_user()
    if user is None:
        draw()
        st.stop()
    return user


def draw() -> None:
    """The whole page of somebody who is not signed in.

    The address stays, so the deep link opens afterwards.
    """
    authenticator = Authenticator()
    with st.container(horizontal_alignment="center"):
        with st.container(width=460, key="gate"):
            st.space("medium")
            with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
                st.image(str(MARK), width=40)
                st.markdown("## Luthier", anchors=False, width="content")
            st.caption("Your team's data becomes models you can call.")
            _draw_forms(authenticator)


def _draw_forms(authenticator: Authenticator) -> None:
    if not users.has_any():
        st.info(
            "Welcome. This server has no account yet: the one you create now will be its **admin**.",
            icon=":material/waving_hand:",
        )
        authenticator.register_form()
        return
    if not users.registration_open_to_me(_invitation()):
        if _invitation():
            st.warning(
                "This invitation has been used, has expired or was revoked. Ask an admin for a new link."
            )
        authenticator.login_form()
        st.caption("New here? Ask an admin for an invitation link.")
        return
    first, second = ("Create account", "Sign in") if _invitation() else ("Sign in", "Create account")
    forms = {"Sign in": authenticator.login_form, "Create account": authenticator.register_form}
    for tab, name in zip(st.tabs([first, second]), (first, second), strict=True):
        with tab:
            forms[name]()


def _invitation() -> str | None:
    return st.query_params.get("invitation") or None
