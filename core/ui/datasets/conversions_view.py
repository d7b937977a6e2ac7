"""Versions that are being made: a bar each, with its cancel,
also when the dataset has older versions to look at meanwhile.

The work goes on without the page. When a conversion fails, its upload waits again and says why
(``waiting_uploads``).
"""

from functools import partial

import streamlit as st

from core import datasets, uploads
from core.datasets import Dataset, Version
from core.people.users import User
from core.ui import dialogs, show
from core.ui.uploads import waiting_uploads


def show_conversions(user: User, dataset_id: str | None = None) -> None:
    """Of one dataset, or of all; the page is drawn again when one ends.

    Keys, by version: ``converting_{id}``, ``cancel_{id}``.
    """
    running = datasets.list_converting(user, dataset_id)
    if running:
        _follow(user, dataset_id, [version.id for version in running])


@st.fragment(run_every=1.0)
def _follow(user: User, dataset_id: str | None, drawn: list[str]) -> None:
    now = datasets.list_converting(user, dataset_id)
    if [version.id for version in now] != drawn:
        dialogs.renew()
    for version in now:
        with st.container(horizontal=True, vertical_alignment="center", key=f"converting_{version.id}"):
            _show_bar(user, version)


def _show_bar(user: User, version: Version) -> None:
    share = min(max(version.progress or 0.0, 0.0), 1.0)
    name = show.plain(datasets.get(user, version.dataset_id).name)
    number = f", version {version.version}" if version.version > 1 else ""
    st.progress(share, text=f"Converting {name}{number}: {share:.0%}")
    cancel = partial(datasets.cancel_ingest, user, version.id)
    st.button("Cancel", key=f"cancel_{version.id}", on_click=show.attempt, args=(cancel,))


def show_failed_try(user: User, dataset: Dataset) -> None:
    """A next version that could not be made, while its upload waits
    for another try; older versions are as they were."""
    for upload in uploads.list_uploads(user):
        failed = datasets.get_version(user, upload.version_id) if upload.version_id else None
        if failed is not None and failed.dataset_id == dataset.id and dataset.version:
            st.error(
                f"Version {failed.version} could not be made. {show.plain(upload.error or '')}",
                icon=":material/error:",
            )
            waiting_uploads.show_way_back(user, dataset.id)
            return
