"""One dataset: its rows, its columns, its versions,
what a model would read of it, and how to use it from elsewhere.

The address holds what is shown: ``id``, ``version``, ``view`` (the tab), and what each tab keeps there
itself.
"""

from collections.abc import Callable

import streamlit as st

from core import datasets
from core.datasets import Dataset, Version
from core.errors import LuthierError
from core.people.users import User
from core.ui import places, show
from core.ui.datasets import conversions_view, dataset_actions, dataset_view, training_view, versions_view
from core.ui.datasets.rows import edit_view, rows_view
from core.ui.reports import columns_view
from core.ui.sign_in import require_user


def show_header(user: User, dataset: Dataset, version: Version | None) -> None:
    show.header(dataset.name, icon="table_view")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if dataset.status != "ready":
            show.badge(dataset.status)
        if version is not None:
            st.markdown(dataset_view.format_badge(version.format), width="content")
        if dataset.id in datasets.doubled(user):
            help_ = f"Another dataset has this name. In SQL, write the id of the one you mean: {dataset.id}"
            st.badge("Name used twice", icon=":material/content_copy:", color="orange", help=help_)
        st.caption(dataset_view.facts(dataset), width="content")
    if dataset.description:
        st.text(dataset.description)
    if version is not None:
        dataset_actions.show_bar(user, dataset, version)


def choose_version(user: User, dataset: Dataset) -> Version | None:
    """The version in the address, else the newest that is ready; None while there is none."""
    wanted = places.query("version")
    try:
        if wanted:
            return datasets.version_of(user, dataset.id, int(wanted) if wanted.isdecimal() else -1)
        return datasets.version_of(user, dataset.id)
    except LuthierError as err:
        if wanted:
            show.error(err)
            places.link("dataset", "Go to the newest version", icon="arrow_forward", id=dataset.id)
        return None


def show_tabs(user: User, dataset: Dataset, version: Version) -> None:
    """Only the open tab is computed."""
    tabs = st.tabs(list(TABS), key="view", on_change="rerun", bind="query-params")
    for tab, draw in zip(tabs, TABS.values(), strict=True):
        if tab.open:
            with tab, show.guarded():
                draw(user, dataset, version)


TABS: dict[str, Callable[[User, Dataset, Version], None]] = {
    "Rows": rows_view.show_rows,
    "Columns": columns_view.show_columns_tab,
    "Versions": versions_view.show_versions,
    "Training view": training_view.show_training,
    "Use it": dataset_actions.show_uses,
}

user = require_user()
try:
    dataset = datasets.get(user, places.query("id") or "")
except LuthierError:
    if dataset_actions.was_just_deleted(places.query("id") or ""):
        places.go("datasets")
    show.header("Dataset", icon="table_view")
    show.empty(
        "There is no such dataset",
        "It may have been deleted, or the link is not complete.",
        icon="search_off",
    )
    places.link("datasets", "All datasets", icon="arrow_back")
    st.stop()

edit_view.forget_saved(dataset.id)
places.link("datasets", "All datasets", icon="arrow_back")
version = choose_version(user, dataset)
show_header(user, dataset, version)
with show.guarded():
    conversions_view.show_conversions(user, dataset.id)
    conversions_view.show_failed_try(user, dataset)
dataset_view.show_errors(dataset)
if version is not None:
    if version.version != dataset.version:
        st.info(
            f"You are looking at version {version.version}; the newest is {dataset.version}.",
            icon=":material/history:",
        )
    show_tabs(user, dataset, version)
elif dataset.status == "failed":
    dataset_actions.show_after_failure(user, dataset)
