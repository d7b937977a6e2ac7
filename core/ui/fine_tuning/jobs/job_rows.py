"""The rows that the model finds hardest, each one click away from its place in the dataset."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import streamlit as st

from core import datasets, fine_tuning
from core.errors import NotFound
from core.fine_tuning import HardRow
from core.people.users import User
from core.ui import lists, places, show

PER_PAGE = 10
EXCERPT = 240  # characters of a cell
SPLITS = {"Training": "train", "Validation": "validation"}
HELP = (
    "Rows whose loss stays high are often wrong, contradictory or unlike the others: "
    "the first to look at when results disappoint."
)


def show_rows(user: User, job: fine_tuning.Job) -> None:
    chosen = st.segmented_control(
        "Rows of",
        list(SPLITS),
        default="Training",
        required=True,
        key="job_rows_split",
        label_visibility="collapsed",
    )
    split: Any = SPLITS[chosen or "Training"]
    page = lists.page_of(
        lambda limit, offset: fine_tuning.hardest_rows(user, job.id, split=split, limit=limit, offset=offset),
        key=f"job_rows_{split}",
        per_page=PER_PAGE,
    )
    if not page.total:
        st.caption(_why_nothing(job, split))
        return
    st.caption(f"{HELP} Losses as of step {page.items[0].step:,}.")
    version = _version(user, job, split)
    for row in page.items:
        _show_row(row, version)
    lists.pages(page, key=f"job_rows_{split}")


def _show_row(row: HardRow, version: datasets.Version | None) -> None:
    with st.container(border=True, gap="xsmall", key=f"hard_row_{row.line}"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.markdown(f"**{row.loss:.3f}** :gray[{describe(row)}]", width="content")
            if version is not None and row.data is not None:
                to: dict[str, Any] = {
                    "id": version.dataset_id,
                    "version": version.version,
                    "view": "Rows",
                    "row": row.line,
                }
                places.link(
                    "dataset",
                    f"Row {row.line:,}",
                    icon="table_rows",
                    help="Open the row in its dataset",
                    **to,
                )
            else:
                st.caption(f"Row {row.line:,}", width="content")
        if row.data is None:
            st.caption("Its text is gone: the dataset version was deleted.")
        else:
            st.markdown(
                "  \n".join(
                    f":gray[{show.plain(name)}] {_excerpt(value)}" for name, value in _parts(row.data)
                )
            )


def describe(row: HardRow) -> str:
    """``at first 4.103, 24 tokens``"""
    return f"at first {row.first:.3f}, {show.count(row.tokens, 'token')} to learn"


def _parts(data: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """(name, value) of each column; of a conversation (who, what) of each message."""
    for name, value in data.items():
        if (
            isinstance(value, list)
            and value
            and all(isinstance(one, dict) and "content" in one for one in value)
        ):
            yield from ((str(one.get("role") or name), one["content"]) for one in value)
        else:
            yield name, value


def _excerpt(value: Any) -> str:
    text = value if isinstance(value, str) else "" if value is None else str(value)
    text = " ".join(text.split())
    return show.plain(text if len(text) <= EXCERPT else text[:EXCERPT] + " …")


def _version(user: User, job: fine_tuning.Job, split: str) -> datasets.Version | None:
    version_id = (job.validation_version_id if split == "validation" else None) or job.dataset_version_id
    with suppress(NotFound):
        return datasets.get_version(user, version_id) if version_id else None
    return None


def _why_nothing(job: fine_tuning.Job, split: str) -> str:
    if split == "validation" and not job.validation_version_id and not job.validation_fraction:
        return "This job keeps no rows for validation."
    if job.status in fine_tuning.ACTIVE:
        return "The losses by row appear after the first evaluation."
    return "No losses by row were written during this training."
