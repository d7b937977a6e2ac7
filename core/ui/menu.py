"""The pages and their places in the menu: one literal list.

Pages about one object are hidden: they are reached from their lists and by link. Hiding is no protection,
services authorize.
"""

from dataclasses import dataclass

import streamlit as st

from core.people.users import User
from core.ui import places


@dataclass(frozen=True)
class MenuEntry:
    """One page: its file in ``pages/``, which is its address as well, and how the menu shows it."""

    name: str
    title: str
    icon: str
    section: str = ""
    help: str | None = None
    in_menu: bool = True
    admin_only: bool = False


ENTRIES = (
    MenuEntry("home", "Home", "home"),
    MenuEntry("datasets", "Datasets", "database", "Data", "Upload files, look at them, keep versions."),
    MenuEntry("dataset", "Dataset", "table_view", "Data", in_menu=False),
    MenuEntry("review", "Review", "fact_check", "Data", in_menu=False),
    MenuEntry("edit", "Edit rows", "edit", "Data", in_menu=False),
    MenuEntry("diff", "Compare versions", "difference", "Data", in_menu=False),
    MenuEntry("sql", "SQL", "terminal", "Data", "Question your datasets; keep an answer as a new version."),
    MenuEntry(
        "fine_tuning",
        "Fine-tuning",
        "model_training",
        "Models",
        "Start a fine-tuning and follow those that run.",
    ),
    MenuEntry("job", "Fine-tuning job", "monitoring", "Models", in_menu=False),
    MenuEntry("sweep", "Sweep", "scatter_plot", "Models", in_menu=False),
    MenuEntry("compare", "Compare runs", "compare_arrows", "Models", in_menu=False),
    MenuEntry("models", "Models", "deployed_code", "Models", "Base models and the models you have made."),
    MenuEntry("model", "Model", "deployed_code", "Models", in_menu=False),
    MenuEntry("chat", "Chat", "forum", "Models", "Talk to any model."),
    MenuEntry("api_keys", "API keys", "key", "Access", "Keys for your own programs."),
    MenuEntry("usage", "Usage", "bar_chart", "Access", "Tokens, requests and training time."),
    MenuEntry(
        "guide", "Guide", "menu_book", "Access", "How training works, several devices, the command line."
    ),
    MenuEntry("alerts", "Alerts", "notifications", "Access", in_menu=False),
    MenuEntry("settings", "Settings", "settings", "Access", "Your name, your password, your sessions."),
    MenuEntry(
        "admin",
        "Admin",
        "admin_panel_settings",
        "Access",
        "People, base models and the server.",
        admin_only=True,
    ),
)


def build_menu(user: User | None) -> dict[str, list[st.Page]]:
    """Every page, by section, as ``st.navigation`` takes them."""
    menu: dict[str, list[st.Page]] = {}
    for entry in ENTRIES:
        menu.setdefault(entry.section, []).append(_page(entry, is_visible=is_visible(entry, user)))
    return menu


def is_visible(entry: MenuEntry, user: User | None) -> bool:
    return entry.in_menu and (not entry.admin_only or (user is not None and user.is_admin))


def _page(entry: MenuEntry, *, is_visible: bool) -> st.Page:
    is_home = entry is ENTRIES[0]
    return st.Page(
        places.path(entry.name),
        title=entry.title,
        icon=f":material/{entry.icon}:",
        url_path=None if is_home else entry.name,
        default=is_home,
        visibility="visible" if is_visible else "hidden",
        help=entry.help,
    )
