"""Who is signed in at this browser. Pages learn it only from here; tests patch ``current_user``.

The cookie is checked against the sessions table on every rerun, so that signing out elsewhere works on the
next click. The script never sees the session's token: the browser fetches its cookie by posting a single-use
ticket to ``/session/claim``, because only an HTTP answer can set an HttpOnly cookie, and reloads, because
Streamlit's cookies are those of the websocket's handshake.
"""

import json
from typing import NoReturn

import streamlit as st

from core.config import settings
from core.people import sessions
from core.people.users import User

SIGNED_IN = """const to = new URL(window.location.href); to.searchParams.delete("invitation");
window.location.replace(to);"""
SIGNED_OUT = """window.location.replace("/");"""
WAS_HERE = "_was_signed_in"
POST = """<p role="status">%(waiting)s</p><script>(async () => {
  const said = document.currentScript?.previousElementSibling;
  const answer = await fetch("%(path)s", {
    method: "POST", credentials: "same-origin", headers: {"Content-Type": "application/json"},
    body: JSON.stringify(%(body)s)
  }).catch(() => null);
  if (answer?.ok) { %(then)s } else if (said) said.textContent = "%(failed)s";
})();</script>"""


def current_user() -> User | None:
    """The user of the browser's session cookie, None when nobody is signed in."""
    return sessions.user_for(token())


def token() -> str | None:
    """This browser's session token."""
    cookie = st.context.cookies.get(sessions.COOKIE)
    return cookie if isinstance(cookie, str) else None  # in AppTest every cookie is a truthy mock


def sign_in(user: User) -> NoReturn:
    """Give this browser a session and load the page
    that was asked for, without the invitation in its address."""
    _post("/session/claim", {"ticket": sessions.issue_ticket(user)}, then=SIGNED_IN, waiting="Signing in …")


def sign_out() -> NoReturn:
    """End this browser's session."""
    _post("/session/end", {}, then=SIGNED_OUT, waiting="Signing out …")


def leave_if_ended(user: User | None) -> None:
    """When the session ended under an open page, load the page anew:
    nothing of the user's is left on the screen."""
    if user is not None:
        st.session_state[WAS_HERE] = True
    elif st.session_state.get(WAS_HERE):
        st.html("<script>window.location.reload();</script>", unsafe_allow_javascript=True)
        st.stop()


def address() -> str:
    """The client's address, for throttling;
    behind a proxy ``core.server.front_door`` has already put in the real one."""
    return st.context.ip_address or "127.0.0.1"  # Streamlit says None on localhost


def origin() -> str:
    """``http://host:port`` as this browser sees the server, for links and code examples."""
    parts = str(st.context.url or "").split("/")
    return "/".join(parts[:3]) if len(parts) > 2 else f"http://{settings().host}:{settings().port}"


def _post(path: str, body: dict[str, str], *, then: str, waiting: str) -> NoReturn:
    failed = "The server did not answer. Reload the page and try again."
    parts = {"path": path, "body": json.dumps(body), "then": then, "waiting": waiting, "failed": failed}
    st.html(POST % parts, unsafe_allow_javascript=True)
    st.stop()
