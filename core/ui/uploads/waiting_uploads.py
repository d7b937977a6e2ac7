"""Uploads that are not datasets yet: unfinished, being fetched, waiting for a decision, or failed and why.

Drawn below the tabs that bring in data. What this browser is sending right now has its bar in the upload
field, so it is not repeated here.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import NoReturn

import streamlit as st

from core import datasets, uploads
from core.clock import now
from core.errors import LuthierError
from core.people.users import User
from core.ui import dialogs, places, show
from core.ui.uploads import review_import
from core.uploads import Upload

IMPORTING = "_import_as_detected"
FRESH = timedelta(seconds=10)
SHOWN, UNSCROLLED = 30, 4
SOURCES = {"text": "pasted", "folder": "from the server", "api": "by the API"}


def show_waiting(user: User, *, dataset_id: str | None = None) -> None:
    """The user's waiting uploads; of one dataset when it is named, else all of them.

    Keys: ``waiting``, ``waiting_{id}``.
    """
    known = _list(user, dataset_id)
    waiting = [upload for upload in known if not _is_being_sent(upload)]
    is_live = any(upload.state == "receiving" for upload in known)
    if not waiting and not is_live:
        return
    with st.container(key="waiting", gap="small"):
        wanted = st.session_state.pop(IMPORTING, None)
        if wanted:
            _import_as_detected(user, [upload for upload in waiting if upload.id in wanted])
        if waiting:
            _show_heading(waiting)
        st.fragment(_show_cards, run_every=2.0 if is_live else None)(
            user, dataset_id, [_sight(upload) for upload in waiting]
        )


@st.fragment(run_every=1.5)
def show_arrival(user: User, upload_id: str) -> None:
    """How much of it is here; the page is drawn again when that is all, or nothing more is to come."""
    upload = uploads.get(user, upload_id)
    if upload.state != "receiving":
        dialogs.renew()
    _show_progress(upload)


def show_way_back(user: User, dataset_id: str) -> None:
    """Below a dataset whose import failed: its upload is still there, to be read with other options."""
    for upload in uploads.list_uploads(user):
        if upload.version_id and datasets.get_version(user, upload.version_id).dataset_id == dataset_id:
            places.button(
                "Review it again", "review", key="review_again", icon="fact_check", primary=True, id=upload.id
            )
            return


def _list(user: User, dataset_id: str | None) -> list[Upload]:
    return [upload for upload in uploads.list_uploads(user) if dataset_id in (None, upload.dataset_id)]


def _is_being_sent(upload: Upload) -> bool:
    """Whether an upload field shows it already; one whose sending failed is listed here."""
    if upload.error:
        return False
    just_begun = upload.received_bytes == 0 and now() - upload.created_at < FRESH
    return (
        upload.source in ("browser", "api")
        and upload.state == "receiving"
        and (upload.is_moving or just_begun)
    )


def _sight(upload: Upload) -> tuple[str, str]:
    return upload.id, upload.state


def _show_heading(waiting: Sequence[Upload]) -> None:
    ready = [upload.id for upload in waiting if upload.state == "received"]
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(f"Waiting ({len(waiting)})", anchor=False, width="content")
        if len(ready) > 1:
            st.button(
                "Import all as detected",
                key="import_all",
                icon=":material/download_done:",
                on_click=_ask,
                args=(ready,),
            )


def _show_cards(user: User, dataset_id: str | None, drawn: Sequence[tuple[str, str]]) -> None:
    waiting = [upload for upload in _list(user, dataset_id) if not _is_being_sent(upload)]
    if [_sight(upload) for upload in waiting] != list(drawn):
        st.rerun()
    with st.container(height="content" if len(waiting) <= UNSCROLLED else 380, border=False, gap="small"):
        for upload in waiting[:SHOWN]:
            with st.container(border=True, gap="xsmall", key=f"waiting_{upload.id}"):
                _show_card(user, upload)
    if len(waiting) > SHOWN:
        st.caption(f"and {len(waiting) - SHOWN:,} more: they come up as these are imported or discarded.")


def _show_card(user: User, upload: Upload) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        with st.container(gap=None, width="stretch"):
            st.markdown(f":material/draft: **{show.plain(upload.filename)}**")
            st.caption(_facts(upload))
        with st.container(horizontal=True, width="content", gap="xsmall"):
            if upload.state == "received":
                places.button("Review", "review", key=f"review_{upload.id}", icon="fact_check", id=upload.id)
                st.button("Import as detected", key=f"import_{upload.id}", on_click=_ask, args=([upload.id],))
            word = "Discard" if upload.state != "receiving" or upload.source != "url" else "Cancel"
            st.button(
                word, key=f"discard_{upload.id}", type="tertiary", on_click=_discard, args=(user, upload)
            )
    if upload.state == "receiving":
        _show_progress(upload)
    elif upload.error:
        st.error(show.plain(upload.error), icon=":material/error:")


def _show_progress(upload: Upload) -> None:
    share = min(upload.received_bytes / upload.size_bytes, 1.0) if upload.size_bytes else None
    amount = (
        f"{share:.0%} of {show.bytes_(upload.size_bytes)}"
        if share is not None
        else show.bytes_(upload.received_bytes)
    )
    if upload.source == "url":
        st.progress(share or 0.0, text=f"Fetching: {amount}")
        return
    is_on_its_way = upload.is_moving or upload.source == "folder"
    st.progress(share or 0.0, text=f"{amount} has arrived{'' if is_on_its_way else ', then it stopped'}")
    if not is_on_its_way:
        st.caption(show.plain(upload.error or "Choose the same file again: it goes on where it stopped."))


def _facts(upload: Upload) -> str:
    same = upload.same_as
    parts = [
        show.bytes_(upload.size_bytes) if upload.size_bytes else "",
        show.plain(upload.location or "") if upload.source == "url" else SOURCES.get(upload.source, ""),
        f"the bytes of version {same['version']} of {show.plain(same['name'])}" if same else "",
        "a new version" if upload.dataset_id else "",
        show.ago(upload.created_at),
    ]
    return " · ".join(part for part in parts if part)


def _ask(upload_ids: list[str]) -> None:
    """The run that follows imports: its buttons are gone meanwhile, so nothing is imported twice."""
    st.session_state[IMPORTING] = upload_ids


def _import_as_detected(user: User, chosen: Sequence[Upload]) -> NoReturn:
    bar, results = st.progress(0.0, text="Importing …"), []
    for n, upload in enumerate(chosen):
        bar.progress(
            n / len(chosen), text=f"Importing {show.plain(upload.filename)} ({n + 1} of {len(chosen)}) …"
        )
        try:
            results.append(review_import.commit_as_detected(user, upload))
        except LuthierError as err:
            show.flash(f"{upload.filename}: {err.message}", icon="error")
    if len(chosen) == 1 and results:
        review_import.open_result(results[0])
    if results:
        show.flash(f"{show.count(len(results), 'upload')} imported.")
    st.rerun()


def _discard(user: User, upload: Upload) -> None:
    show.attempt(lambda: uploads.cancel(user, upload.id))
