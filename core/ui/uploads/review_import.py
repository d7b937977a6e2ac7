"""The import at the end of a review: as a new dataset under a name,
or as the next version of one, with everything that was chosen."""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from core import uploads
from core.datasets import Dataset, Version
from core.errors import LuthierError
from core.people.users import User
from core.readers import kind_of
from core.ui import places, show
from core.ui.uploads.review_state import PREFIX, Review
from core.uploads import Upload

IMPORTING, DISCARDED, MADE = "_importing", "_discarded_upload", "_made_of_upload"
REPLACE, APPEND = "Replace its rows", "Append to its rows"


def is_asked_for(upload: Upload) -> bool:
    """Whether the import was just pressed, so that this run makes it."""
    return st.session_state.get(IMPORTING) == upload.id


def show_import(review: Review) -> None:
    """Make what was asked for, in the place of the form, and leave for it. Comes back when that failed: then
    the form is drawn again, with what was typed."""
    request: _Asked = st.session_state.pop(f"{IMPORTING}_as")
    st.session_state.pop(IMPORTING)
    # an element, not a container: it takes the form away at once
    said = st.markdown(f":material/download_done: Importing **{show.plain(review.upload.filename)}**")
    with st.spinner("The whole file is read and checked …", show_time=True), show.guarded():
        result = _import_all(review, request) if request.act == "all" else _import_one(review, request)
        if isinstance(result, list):
            show.flash(f"{show.count(len(result), 'dataset')} made of {review.upload.filename}.")
            places.go("datasets")
        open_result(result)
    said.empty()


def show_bar(review: Review) -> None:
    """Name or note, and the buttons. Keys: ``review_`` and name | mode, note; import, all."""
    with st.container(border=True, key="review_bar"):
        _show_same(review.upload)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            if review.upload.dataset_id:
                _ask_for_version()
            else:
                st.text_input(
                    "Name of the dataset",
                    value=_stem(review.upload),
                    max_chars=200,
                    key=f"{PREFIX}name",
                    width="stretch",
                )
            _button(review, "Import", "import")
            if review.tables and not review.upload.dataset_id:
                kind = "sheets" if review.tables_field == "sheet" else "files"
                _button(review, f"Import all {len(review.tables)} {kind}", "all")


def show_discard(user: User, upload: Upload) -> None:
    """The button that drops the upload; its bytes are removed. Key: ``review_discard``."""
    st.button(
        "Discard", key=f"{PREFIX}discard", icon=":material/delete:", on_click=_discard, args=(user, upload)
    )


def was_just_discarded(upload_id: str) -> bool:
    """Whether the upload is gone because the reader has just discarded it."""
    return bool(upload_id) and st.session_state.pop(DISCARDED, None) == upload_id


def commit_as_detected(user: User, upload: Upload) -> Dataset | Version:
    """Without a review: everything as detected, or as for the target's newest version."""
    return uploads.commit(user, upload.id)


def open_result(result: Dataset | Version) -> None:
    """Leave for the dataset; when nothing was made because the bytes were there already, say so."""
    if isinstance(result, Version):
        if result.same_as:
            show.flash(
                f"Nothing new: these are the bytes of version {result.version}, so no copy was made.",
                icon="content_copy",
            )
        places.go("dataset", id=result.dataset_id, version=result.version if result.same_as else None)
    places.go("dataset", id=result.id)


def _show_same(upload: Upload) -> None:
    if upload.same_as:
        where = f"version {upload.same_as['version']} of {show.plain(upload.same_as['name'])}"
        st.info(
            f"You have these very bytes already: {where}. Importing them again takes no more space.",
            icon=":material/content_copy:",
        )


def _ask_for_version() -> None:
    st.segmented_control(
        "The new version", [REPLACE, APPEND], default=REPLACE, required=True, key=f"{PREFIX}mode"
    )
    st.text_input(
        "Note", max_chars=500, key=f"{PREFIX}note", placeholder="What changed (optional)", width="stretch"
    )


def _button(review: Review, label: str, act: str) -> None:
    is_main = act == "import"
    st.button(
        label,
        key=f"{PREFIX}{act}",
        type="primary" if is_main else "secondary",
        icon=":material/download_done:" if is_main else ":material/dynamic_feed:",
        disabled=review.look.error is not None,
        on_click=_begin,
        args=(review.upload.id, act),
    )


@dataclass(frozen=True)
class _Asked:
    act: str
    values: dict[str, Any]


def _begin(upload_id: str, act: str) -> None:
    """The run that follows imports, without the buttons: pressed twice, it is imported once."""
    if st.session_state.get(IMPORTING) == upload_id:
        return
    st.session_state[IMPORTING] = upload_id
    st.session_state[f"{IMPORTING}_as"] = _Asked(act, _form())


def _form() -> dict[str, Any]:
    state = st.session_state
    return {
        "name": (state.get(f"{PREFIX}name") or "").strip() or None,
        "note": (state.get(f"{PREFIX}note") or "").strip(),
        "append": state.get(f"{PREFIX}mode") == APPEND,
    }


def _import_one(review: Review, request: _Asked) -> Dataset | Version:
    values = dict(request.values)
    if review.upload.dataset_id:
        values.pop("name")
    return uploads.commit(review.user, review.upload.id, options=review.options, **values)


def _import_all(review: Review, request: _Asked) -> list[Dataset | Version]:
    """Each sheet or file as a dataset of its own.

    When one cannot be read, those before it stay and so does the upload; trying again goes on after them.
    """
    results: dict[str, Dataset | Version] = st.session_state.setdefault(f"{MADE}_{review.upload.id}", {})
    bar = st.progress(0.0)
    for n, table in enumerate(review.tables):
        if table in results:
            continue
        bar.progress(n / len(review.tables), text=f"{n + 1} of {len(review.tables)}: {show.plain(table)}")
        one = uploads.duplicate(review.user, review.upload.id)
        options = review.options.model_copy(update={review.tables_field: table, "types": None, "names": None})
        name = f"{request.values['name'] or _stem(review.upload)} {table}"[:200]
        try:
            results[table] = uploads.commit(review.user, one.id, name=name, options=options)
        except LuthierError as err:
            uploads.cancel(review.user, one.id)
            raise type(err)(f"{table}: {err.message}{_said_made(results)}") from err
    uploads.cancel(review.user, review.upload.id)
    return list(results.values())


def _said_made(results: dict[str, Dataset | Version]) -> str:
    return (
        f" What came before it is imported already ({', '.join(results)}); trying again goes on from here."
        if results
        else ""
    )


def _discard(user: User, upload: Upload) -> None:
    show.attempt(lambda: uploads.cancel(user, upload.id))
    st.session_state[DISCARDED] = upload.id
    show.flash(f"{upload.filename} is discarded.", icon="delete")


def _stem(upload: Upload) -> str:
    return kind_of(upload.filename).stem
