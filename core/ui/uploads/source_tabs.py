"""The ways to bring in data: files, a pasted table, an address, a folder of the server.

What comes in is looked at before it becomes a dataset.

One file that came alone opens its review; several wait in a list below. With a dataset, what comes in becomes
its next version.
"""

import json
from dataclasses import dataclass

import streamlit as st

from core import uploads
from core.config import settings
from core.datasets import Dataset
from core.errors import LuthierError
from core.people.users import User
from core.ui import places, show
from core.ui.elements import upload
from core.ui.uploads import waiting_uploads
from core.uploads import Entry

FILES, PASTE, ADDRESS, SERVER = "Files", "Paste", "From an address", "From the server"


@dataclass(frozen=True)
class UploadWay:
    """Whose uploads, what of, and how the widgets are called."""

    user: User
    dataset: Dataset | None
    prefix: str

    @property
    def dataset_id(self) -> str | None:
        return self.dataset.id if self.dataset else None

    def key(self, name: str) -> str:
        return f"{self.prefix}{name}"


def show_ways(user: User, dataset: Dataset | None = None) -> None:
    """Ways to new datasets, or to the next version of one, and what waits already.

    Keys: ``ways_in``, ``upload``, ``paste_…``, ``address…``, ``folder…``, ``waiting``. With a dataset
    ``version_`` stands before them, and the field is ``upload_version``.
    """
    way = UploadWay(user, dataset, "version_" if dataset else "")
    files, paste, address, server = st.tabs(
        [FILES, PASTE, ADDRESS, SERVER], key=way.key("ways_in"), on_change="rerun"
    )
    for tab, draw in (
        (files, _show_files),
        (paste, _show_paste),
        (address, _show_address),
        (server, _show_server),
    ):
        if tab.open:
            with tab, show.guarded():
                draw(way)
    waiting_uploads.show_waiting(user, dataset_id=way.dataset_id)


def _show_files(way: UploadWay) -> None:
    new = way.dataset is None
    arrived = upload.field(
        "upload" if new else "upload_version",
        title="Drop files here" if new else f"A new file for {way.dataset.name if way.dataset else ''}",
        dataset_id=way.dataset_id,
        multiple=new,
    )
    if len(arrived) == 1 and arrived[0].alone:
        places.go("review", id=arrived[0].upload_id)
    for one in arrived:
        st.toast(f"{show.plain(one.name)} has arrived.", icon=":material/check_circle:")


def _show_paste(way: UploadWay) -> None:
    text = st.text_area(
        "A table",
        height=150,
        key=way.key("paste_text"),
        placeholder=(
            "Cells copied from a spreadsheet, CSV, JSON or JSON Lines. The first row holds the names."
        ),
        label_visibility="collapsed",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button(
            "Look at it", key=way.key("paste_go"), type="primary", icon=":material/fact_check:"
        )
        if text and text.strip():
            st.caption(
                f"{show.count(len(text.strip().splitlines()), 'line')} of {KINDS[kind_of_text(text)]}",
                width="content",
            )
    if pressed and not (text or "").strip():
        st.warning("Paste something first: a table with a row of names.", icon=":material/content_paste:")
    elif pressed:
        new_upload = uploads.from_text(
            way.user, text or "", filename=f"pasted.{kind_of_text(text or '')}", dataset_id=way.dataset_id
        )
        places.go("review", id=new_upload.id)


KINDS = {
    "tsv": "tab-separated values, as copied from a spreadsheet",
    "csv": "delimited text",
    "json": "JSON",
    "jsonl": "JSON Lines",
}


def kind_of_text(text: str) -> str:
    """``tsv``, ``csv``, ``json`` or ``jsonl``, by how the text begins; the readers decide."""
    lines = [line for line in text.strip().splitlines()[:20] if line.strip()]
    if not lines:
        return "csv"
    if lines[0].lstrip()[:1] in "{[":
        return "jsonl" if len(lines) > 1 and all(_is_json(line) for line in lines[:2]) else "json"
    tabbed = sum("\t" in line for line in lines)
    return "tsv" if tabbed > len(lines) / 2 else "csv"


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _show_address(way: UploadWay) -> None:
    if not uploads.url_allowed():
        st.info(
            (
                "Fetching from addresses is off on this server. An admin allows hosts with the setting "
                "`LUTHIER_URL_HOSTS`, such as `data.example.com`."
            ),
            icon=":material/link_off:",
        )
        return
    with st.form(way.key("address_form"), border=False, enter_to_submit=True):
        address = st.text_input(
            "Address of a file", key=way.key("address"), placeholder="https://…/table.csv"
        )
        st.caption(f"Allowed: {show.plain(', '.join(settings().url_host_list))}")
        pressed = st.form_submit_button(
            "Fetch it", key=way.key("address_go"), type="primary", icon=":material/cloud_download:"
        )
    if pressed:
        new_upload = uploads.from_url(way.user, (address or "").strip(), dataset_id=way.dataset_id)
        show.flash(
            f"{new_upload.filename} is being fetched; it waits below when it is here.", icon="cloud_download"
        )
        st.rerun()


def _show_server(way: UploadWay) -> None:
    folders = uploads.folders()
    if not folders:
        st.info(
            (
                "No folder of the server is open for import. An admin lists some with the setting "
                "`LUTHIER_IMPORT_FOLDERS`."
            ),
            icon=":material/folder_off:",
        )
        return
    folder = (
        st.selectbox("Folder", folders, key=way.key("folder"), on_change=_go_to, args=(way, ""))
        if len(folders) > 1
        else folders[0]
    )
    path = st.session_state.get(way.key("folder_path"), "")
    entries = uploads.list_folder(way.user, folder, path)
    _show_way_down(way, folder, path, entries)
    files = {entry.path: entry for entry in entries if not entry.is_folder}
    if not files:
        st.caption("No file here that can be read.")
        return
    chosen = st.multiselect(
        "Files",
        list(files),
        format_func=lambda path: f"{files[path].name} · {show.bytes_(files[path].size_bytes)}",
        key=way.key("folder_files"),
        max_selections=1 if way.dataset else None,
        placeholder=f"Choose among {show.count(len(files), 'file')}",
    )
    if st.button(
        "Take them in",
        key=way.key("folder_go"),
        type="primary",
        icon=":material/drive_folder_upload:",
        disabled=not chosen,
    ):
        _take(way, folder, chosen)


def _show_way_down(way: UploadWay, folder: str, path: str, entries: list[Entry]) -> None:
    """Where we are, the folders below, and the way back up."""
    below = [entry for entry in entries if entry.is_folder]
    if not path and not below:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.caption(
            f":material/folder_open: {show.plain('/'.join(part for part in (folder, path) if part))}",
            width="content",
        )
        if path:
            above = path.rpartition("/")[0]
            st.button(
                "Up",
                key=way.key("folder_up"),
                icon=":material/arrow_upward:",
                on_click=_go_to,
                args=(way, above),
            )
        for n, entry in enumerate(below[:40]):
            st.button(
                show.plain(entry.name),
                key=way.key(f"folder_{n}"),
                icon=":material/folder:",
                on_click=_go_to,
                args=(way, entry.path),
            )


def _go_to(way: UploadWay, path: str) -> None:
    st.session_state[way.key("folder_path")] = path
    st.session_state.pop(way.key("folder_files"), None)


def _take(way: UploadWay, folder: str, paths: list[str]) -> None:
    new_uploads = []
    for path in paths:
        try:
            new_uploads.append(uploads.from_folder(way.user, folder, path, dataset_id=way.dataset_id))
        except LuthierError as err:
            show.flash_error(err)
    if len(new_uploads) == 1:
        places.go("review", id=new_uploads[0].id)
    st.session_state.pop(way.key("folder_files"), None)
    st.rerun()
