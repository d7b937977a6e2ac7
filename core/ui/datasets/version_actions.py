"""What can be done with a version: look at it, compare it,
download it, delete it; and the bar of ways to a new one from it."""

import streamlit as st

from core import datasets
from core.datasets import Dataset, Version
from core.errors import LuthierError
from core.people.users import User
from core.ui import places, show
from core.ui.datasets import dataset_actions, lineage_view, split_view
from core.ui.datasets.uses_words import say_uses


def show_bar(user: User, dataset: Dataset, shown: Version) -> None:
    """Ways to new versions and datasets from the one that is shown."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="versions_bar"):
        places.button("Edit rows", "edit", key="versions_edit", icon="edit", id=dataset.id)
        if st.button("Split", icon=":material/call_split:", key="versions_split"):
            split_view.forget_made()
            split_view.ask_to_split(user, dataset, shown)
        elif split_view.is_asked_for():
            split_view.ask_to_split(user, dataset, shown)
        if st.button("Look for leaks", icon=":material/water_drop:", key="versions_leaks"):
            split_view.ask_for_leaks(user, dataset, shown)
        show_lineage = st.toggle("Lineage", key="lineage", bind="query-params")
    if show_lineage:
        with st.container(border=True, key="lineage_picture"), show.guarded():
            lineage_view.show_lineage(user, dataset)


def show_actions(
    user: User, dataset: Dataset, version: Version, *, before: Version | None, is_shown: bool
) -> None:
    with st.container(
        horizontal=True, vertical_alignment="center", gap="small", key=f"version_actions_{version.version}"
    ):
        if not is_shown:
            _look_at(version, "Look at it", key=f"look_{version.version}", icon="visibility")
        if before is not None:
            sides = {"from": before.id, "to": version.id}
            places.link("diff", f"Compare with {before.version}", icon="difference", **sides)
        with st.popover(
            "Download", icon=":material/download:", type="tertiary", key=f"version_download_{version.version}"
        ):
            dataset_actions.show_downloads(dataset, version)
        if st.button(
            "Delete", icon=":material/delete:", type="tertiary", key=f"delete_version_{version.version}"
        ):
            ask_to_delete(user, version)


def show_parents(user: User, version: Version) -> None:
    if not version.parents:
        return
    with st.container(
        horizontal=True, vertical_alignment="center", gap="small", key=f"parents_{version.version}"
    ):
        st.caption("Made from", width="content")
        for name, parent in _parents_of(user, version):
            _look_at(
                parent,
                f"{show.plain(name)} · version {parent.version}",
                key=f"parent_{version.version}_{parent.id}",
            )


def _look_at(version: Version, label: str, *, key: str, icon: str | None = None) -> None:
    """No link: one to the page that the reader is on looks chosen."""
    if st.button(label, key=key, icon=f":material/{icon}:" if icon else None, type="tertiary"):
        places.go("dataset", id=version.dataset_id, version=version.version)


def _parents_of(user: User, version: Version) -> list[tuple[str, Version]]:
    """(name of its dataset, version) of each parent."""
    parents = [datasets.get_version(user, parent) for parent in version.parents]
    names = {
        dataset_id: datasets.get(user, dataset_id).name
        for dataset_id in {parent.dataset_id for parent in parents}
    }
    return [(names[parent.dataset_id], parent) for parent in parents]


def ask_to_delete(user: User, version: Version) -> None:
    """Say what uses the version, then ask. Keys: ``delete_version_yes`` and ``_no``."""

    def delete() -> None:
        datasets.delete_version(user, version.id)
        show.flash(f"The files of version {version.version} are deleted.", icon="delete")

    try:
        text = (
            f"Its rows will be gone for good. Number, note and where it came from stay in the "
            f"list.{say_uses(user, version.id)}"
        )
    except LuthierError as err:
        show.error(err)
        return
    show.confirm("delete_version", f"Delete the files of version {version.version}?", text, delete)
