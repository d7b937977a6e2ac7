"""The entry script: page settings, logo, navigation, the account menu and the sign-in gate.

It must not lie beside ``pages/``: until the first ``st.navigation`` call of a process Streamlit serves
scripts in a neighbouring ``pages/`` folder without running this one. Every page calls ``require_user`` as
well.
"""

from pathlib import Path

import streamlit as st

from core.people.users import User
from core.ui import dialogs, menu, session, sign_in
from core.ui.alerts import alert_view

HERE = Path(__file__).parent
SHOWN_PAGE = "_shown_page"
ABOUT = "**Luthier**: your team's data becomes models you can call."


def show_account(user: User) -> None:
    """Who is signed in, and the way out.

    No menu: its popup has the main area's text colour, unreadable on a dark sidebar.
    """
    with st.sidebar, st.container(key="account", gap="xsmall"):
        alert_view.show_bell(user)
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            st.markdown(":material/account_circle:", width="content")
            st.text(user.name or user.email)  # markdown would make a link of an address
        if st.button("Sign out", key="sign_out", icon=":material/logout:"):
            session.sign_out()


def scroll_up(page: str) -> None:
    """A page opens at its top: the browser would keep the scroll position
    of the page whose button led to it."""
    place = st.empty()  # in each run: what follows stands at the same place, so that it can be taken away
    if st.session_state.get(SHOWN_PAGE, page) != page:
        script = """document.querySelector('[data-testid="stMain"]')?.scrollTo(0, 0);"""
        place.html(f"<script>{script} // {page}</script>", unsafe_allow_javascript=True)
    st.session_state[SHOWN_PAGE] = page


st.set_page_config(
    page_title="Luthier", page_icon=str(HERE / "logo_mark.svg"), layout="wide", menu_items={"About": ABOUT}
)
dialogs.begin_run()
user = session.current_user()
session.leave_if_ended(user)
if user is not None:
    st.logo(str(HERE / "logo.svg"), icon_image=str(HERE / "logo_mark.svg"), size="large", link=None)
chosen_page = st.navigation(menu.build_menu(user), position="sidebar" if user else "hidden")
sign_in.require_user()
if user is not None:
    show_account(user)
    st.html(HERE / "contrast.css")
    scroll_up(chosen_page.title)
chosen_page.run()
