"""The versions of a dataset: where each came from, and the way to a new one."""

import streamlit as st

from core import datasets
from core.datasets import Dataset, Version
from core.fields import parse
from core.listing import ListQuery
from core.ui import dataset_actions, dataset_view, lists, places, show, upload
from core.ui.ingest_options import choose_options
from core.users import User


def show_versions(user: User, dataset: Dataset, shown: Version) -> None:
    found = lists.page_of(
        lambda limit, offset: datasets.list_versions(user, dataset.id, parse(ListQuery, limit=limit, offset=offset)),
        key="versions_page",
    )
    for version in found.items:
        _show_version(dataset, version, is_shown=version.id == shown.id)
    lists.pages(found, key="versions_page")
    with st.expander("Upload a new version", icon=":material/upload:", key="new_version"):
        options = choose_options("version_options")
        arrived = upload.field(
            "upload_version", title=f"A new file for {dataset.name}", dataset_id=dataset.id, multiple=False, options=options
        )
    if arrived:
        places.go("dataset", id=dataset.id)


def _show_version(dataset: Dataset, version: Version, *, is_shown: bool) -> None:
    with st.container(border=True, key=f"version_{version.version}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**Version {version.version}**", width="content")
            st.markdown(_badge(version) + (" :blue-badge[:material/visibility: Shown]" if is_shown else ""), width="content")
            st.caption(_facts(version), width="content")
        if version.detected:
            st.caption(
                "Read as "
                + ", ".join(f"{name.replace('_', ' ')} {show.plain(str(value))}" for name, value in version.detected.items())
            )
        if version.note:
            st.text(version.note)
        if version.sql:
            with st.expander("Made by this query", icon=":material/terminal:"):
                st.code(version.sql, language="sql", wrap_lines=True)
                places.link("sql", "Open in SQL", icon="terminal", sql=version.sql)
        if version.status == "ready" and not is_shown:
            with st.container(horizontal=True):
                places.link("dataset", "Look at it", icon="visibility", id=dataset.id, version=version.version)
                st.link_button(
                    "Parquet",
                    dataset_actions.download_path(dataset, version, "parquet"),
                    icon=":material/download:",
                    type="tertiary",
                )
        for error in version.errors[:5]:
            st.caption(f":red[{show.plain(str(error['message']))}]")


def _badge(version: Version) -> str:
    return dataset_view.format_badge(version.format) if version.status == "ready" else show.badge_text(version.status)


def _facts(version: Version) -> str:
    parts = [
        f"{show.count(version.num_rows, 'row')} · {show.count(version.num_columns, 'column')}" if version.status == "ready" else "",
        show.bytes_(version.size_bytes) if version.size_bytes else "",
        show.plain(version.filename) if version.filename else "",
        show.ago(version.created_at),
    ]
    return " · ".join(part for part in parts if part)
