"""The entry script: page settings, logo, navigation, the account menu and the sign-in gate.

It must not lie beside ``pages/``: until the first ``st.navigation`` call of a process Streamlit serves scripts in a neighbouring
``pages/`` folder without running this one. Every page calls ``require_user`` as well.
"""

from pathlib import Path

import streamlit as st

from core.ui import places, session, show
from core.users import User

HERE = Path(__file__).parent
ABOUT = "**Luthier**: your team's data becomes models you can call."


def page(name: str, title: str, icon: str, *, default: bool = False, hidden: bool = False, help: str | None = None) -> st.Page:
    return st.Page(
        places.path(name),
        title=title,
        icon=f":material/{icon}:",
        url_path=None if default else name,
        default=default,
        visibility="hidden" if hidden else "visible",
        help=help,
    )


def sections(user: User | None) -> dict[str, list[st.Page]]:
    """The menu. Pages about one object are hidden: they are reached from their lists and by link."""
    return {
        "": [page("home", "Home", "home", default=True)],
        "Data": [
            page("datasets", "Datasets", "database", help="Upload files, look at them, keep versions."),
            page("dataset", "Dataset", "table_view", hidden=True),
            page("sql", "SQL", "terminal", help="Question your datasets; keep an answer as a new version."),
        ],
        "Models": [
            page("fine_tuning", "Fine-tuning", "model_training", help="Start a fine-tuning and follow those that run."),
            page("job", "Fine-tuning job", "monitoring", hidden=True),
            page("models", "Models", "deployed_code", help="Base models and the models you have made."),
            page("model", "Model", "deployed_code", hidden=True),
            page("chat", "Chat", "forum", help="Talk to any model."),
        ],
        "Access": [
            page("api_keys", "API keys", "key", help="Keys for your own programs."),
            page("usage", "Usage", "bar_chart", help="Tokens, requests and training time."),
            page("settings", "Settings", "settings", help="Your name, your password, your sessions."),
            page("admin", "Admin", "admin_panel_settings", hidden=not (user and user.is_admin), help="People and the server."),
        ],
    }


def show_account(user: User) -> None:
    """Who is signed in, and the way out. No menu: its popup has the main area's text colour, unreadable on a dark sidebar."""
    with st.sidebar, st.container(key="account", gap="xsmall"):
        st.markdown(f":material/account_circle: {show.plain(user.name or user.email)}")
        if st.button("Sign out", key="sign_out", icon=":material/logout:"):
            session.sign_out()


st.set_page_config(page_title="Luthier", page_icon=str(HERE / "logo_mark.svg"), layout="wide", menu_items={"About": ABOUT})
user = session.current_user()
if user is not None:
    st.logo(str(HERE / "logo.svg"), icon_image=str(HERE / "logo_mark.svg"), size="large", link=None)
chosen_page = st.navigation(sections(user), position="sidebar" if user else "hidden")
session.require_user()
if user is not None:
    show_account(user)
chosen_page.run()
