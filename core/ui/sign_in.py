"""The form in front of every page: signing in, registering,
and the welcome of a server that has no account yet.

The widgets are streamlit-authenticator's; what stands behind them is ours. Its own controllers compare plain
bcrypt, trim passwords, never end a lockout and keep a cookie that JavaScript can read. So ``Accounts`` asks
``core.people.users`` instead, and ``SessionCookie`` leads to ``core.ui.session``. Only its form to register
is drawn anew: it has no place for an error beside the field it is about. Rules about addresses, passwords,
throttling and invitations are ``core.people.users``'s.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit_authenticator import Authenticate

from core import fields
from core.errors import Detail, EmailTaken, LuthierError, ValidationError
from core.people import passwords, users
from core.ui import session, show

MARK = Path(__file__).parent / "logo_mark.svg"
LOGIN_FIELDS = {"Form name": "Sign in", "Username": "E-mail", "Password": "Password", "Login": "Sign in"}
LABELS = {
    "first": "First name",
    "last": "Last name",
    "email": "E-mail",
    "password": "Password",
    "again": "Repeat password",
}
AUTOCOMPLETE = {"first": "given-name", "last": "family-name", "email": "email"}
FIELDS = {"name": "first"}  # what an error calls a field -> the field of the form, where they differ


class Accounts:
    """What the widgets call an authentication controller:
    it answers by ``core.people.users`` and raises its errors."""

    def __init__(self) -> None:
        self.user: users.User | None = None

    def login(self, username: str | None = None, password: str | None = None, *_: Any, **__: Any) -> bool:
        credentials = fields.parse(users.Credentials, email=username or "", password=password or "")
        self.user = users.sign_in(credentials, address=session.address())
        return True

    def register(self, *, first: str, last: str, email: str, password: str, again: str) -> users.User:
        """Raises ValidationError about all fields that are wrong, and what ``users.register`` raises."""
        name = f"{first.strip()} {last.strip()}".strip()
        try:
            new = fields.parse(
                users.Registration, email=email, password=password, name=name, invitation=_invitation()
            )
        except ValidationError as err:
            differ = [] if password == again else [Detail("again", passwords.DIFFER)]
            raise ValidationError(details=[*err.details, *differ]) from err
        passwords.require_same(password, again)
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
        self.attrs = {"login_sleep_time": 0}
        self.api_key = self.path = self.encryptor = None
        self.secret_key = ""
        self.authentication_controller = accounts
        self.cookie_controller = SessionCookie(accounts)

    def login_form(self) -> None:
        with show.guarded():
            self.login(fields=LOGIN_FIELDS, key="sign_in")

    def register_form(self) -> None:
        """Asks for all of ``LABELS``; what is wrong with a field is said right below it."""
        with st.form("register"):
            st.subheader("Create your account")
            typed, places = draw_register_fields()
            is_sent = st.form_submit_button(
                "Create account", key="register_send", type="primary", width="stretch"
            )
            below = st.empty()
        if is_sent:
            try:
                session.sign_in(self.authentication_controller.register(**typed))
            except LuthierError as err:
                show_errors(err, places, below)


def draw_register_fields() -> tuple[dict[str, str], dict[str, DeltaGenerator]]:
    """What was typed, and the place below each field, both by the names of ``LABELS``."""
    typed: dict[str, str] = {}
    places: dict[str, DeltaGenerator] = {}
    for row in (("first", "last"), ("email",), ("password", "again")):
        for name, column in zip(row, st.columns(len(row)), strict=True):
            with column:
                is_secret = name in ("password", "again")
                typed[name] = st.text_input(
                    LABELS[name],
                    key=f"register_{name}",
                    type="password" if is_secret else "default",
                    help=passwords.HELP if name == "password" else None,
                    autocomplete="new-password" if is_secret else AUTOCOMPLETE[name],
                )
                places[name] = st.empty()
    return typed, places


def show_errors(err: LuthierError, places: Mapping[str, DeltaGenerator], below: DeltaGenerator) -> None:
    """Each at the field it is about; ``below`` the form what is about none."""
    found: dict[str, list[str]] = {}
    if isinstance(err, EmailTaken):
        found["email"] = [err.message]
    elif isinstance(err, ValidationError):
        for detail in err.details:
            found.setdefault(FIELDS.get(detail.field, detail.field), []).append(detail.message)
    if not found or not found.keys() <= places.keys():
        with below.container():
            show.error(err)
    for name, messages in found.items():
        if name in places:
            places[name].error(show.plain(" ".join(_as_sentence(message) for message in messages)))


def _as_sentence(message: str) -> str:
    """Messages about a field go on after its name; here they stand alone."""
    return message[:1].upper() + message[1:] + ("" if message.endswith((".", "!", "?")) else ".")


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
