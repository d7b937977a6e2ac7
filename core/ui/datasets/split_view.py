"""Cutting a version into train, validation and test, and looking for rows that two versions share."""

from typing import Any

import pandas as pd
import streamlit as st

from core import datasets
from core.datasets import Dataset, DatasetList, LeakReport, NewSplit, SplitCounts, Version
from core.errors import LuthierError
from core.fields import parse
from core.people.users import User
from core.ui import dialogs, digits, places, show

MADE, ASKED = "_made_by_split", "_asked_split"
FIRST_SHARES = {"train": 80, "validation": 10, "test": 10}
STRATA_TYPES = ("VARCHAR", "BOOLEAN", "INTEGER", "BIGINT", "SMALLINT", "TINYINT")


@dialogs.dialog("Split into train, validation and test", icon=":material/call_split:", width="large")
def ask_to_split(user: User, dataset: Dataset, version: Version) -> None:
    """Keys: ``split_train``, ``split_validation``, ``split_test`` (percent),
    ``split_seed``, ``split_stratify``, ``split_by``."""
    if new := st.session_state.pop(ASKED, None):
        _make(user, version, new)
    if dataset_ids := st.session_state.get(MADE):
        _show_made(user, dataset_ids)
        return
    with st.container(key="split_form"):
        _show_form(user, dataset, version)


def _show_form(user: User, dataset: Dataset, version: Version) -> None:
    st.caption(
        f"Version {version.version} of {show.plain(dataset.name)}, {show.count(version.num_rows, 'row')}. "
        f"Cut by what is in a row and the seed: equal rows are always in the same part, "
        "and a row stays in its part in later versions."
    )
    left, middle, right = st.columns(3)
    for place, (part, share) in zip((left, middle, right), FIRST_SHARES.items(), strict=True):
        place.number_input(
            f"{part.capitalize()} %", 0.0, 100.0, float(share), 5.0, key=f"split_{part}", format="%g"
        )
    names = [column["name"] for column in version.columns]
    few = [column["name"] for column in version.columns if column["type"] in STRATA_TYPES]
    left, right = st.columns([2, 1])
    left.selectbox(
        "The same shares of each value of",
        ["", *few],
        format_func=lambda name: name or "No column",
        key="split_stratify",
        help="Stratified: every part gets its share of every value. For a column with few values.",
    )
    right.number_input("Seed", 0, 2**31 - 1, 0, key="split_seed")
    st.multiselect(
        "Rows belong together when they are equal in",
        names,
        key="split_by",
        placeholder="All columns",
        help=(
            "For example the question alone, so that the same question with two answers is not on both sides."
        ),
    )
    try:
        new = _chosen()
        with st.spinner("Counting …"):
            _show_counts(datasets.count_split(user, version.id, new), version.num_rows)
    except LuthierError as err:
        show.error(err)
        return
    st.button("Make the parts", key="split_submit", type="primary", on_click=_begin, args=(new,))


def _chosen() -> NewSplit:
    chosen = st.session_state
    shares = {part: round((chosen[f"split_{part}"] or 0.0) / 100, 6) for part in FIRST_SHARES}
    return parse(
        NewSplit,
        **shares,
        seed=int(chosen.split_seed or 0),
        stratify=chosen.split_stratify or None,
        by=list(chosen.split_by),
    )


def _begin(new: NewSplit) -> None:
    """The run that follows makes the parts, without the form: pressed twice, they are made once."""
    st.session_state[ASKED] = new


def _make(user: User, version: Version, new: NewSplit) -> None:
    """In the place of the form; when it fails, the form comes back below the reason."""
    # an element, not a container: it takes the form away at once
    said = st.markdown(":material/call_split: Making the parts")
    with st.spinner("All rows are read …", show_time=True), show.guarded():
        st.session_state[MADE] = [dataset.id for dataset in datasets.split(user, version.id, new)]
    said.empty()


def forget_made() -> None:
    """Before the dialog opens: it does not show what an earlier one has made."""
    st.session_state.pop(MADE, None)
    st.session_state.pop(ASKED, None)


def is_asked_for() -> bool:
    """Whether the parts are to be made in this run: then the dialog is open."""
    return ASKED in st.session_state


def _show_counts(counts: SplitCounts, total: int) -> None:
    with st.container(horizontal=True, key="split_counts"):
        for part, count in counts.rows.items():
            st.metric(
                part.capitalize(),
                f"{count:,}",
                f"{count / max(total, 1):.1%}",
                delta_color="off",
                delta_arrow="off",
                border=True,
            )
    if counts.strata:
        table = pd.DataFrame(counts.strata)
        st.dataframe(
            table,
            placeholder=digits.NULL,
            hide_index=True,
            height=min(36 * (len(table) + 1) + 2, 220),
            key="split_strata",
        )


def _show_made(user: User, dataset_ids: list[str]) -> None:
    parts = [datasets.get(user, dataset_id) for dataset_id in dataset_ids]
    st.success(f"{show.count(len(parts), 'part')} made.", icon=":material/check_circle:")
    for dataset in parts:
        places.link(
            "dataset",
            f"{show.plain(dataset.name)} · {show.count(dataset.num_rows, 'row')}",
            icon="table_view",
            id=dataset.id,
        )
    ready = [dataset.latest_version_id for dataset in parts if dataset.latest_version_id]
    if len(ready) > 1:
        with st.spinner("Looking for rows that two parts share …"), show.guarded():
            show_report(user, datasets.leaks(user, ready))
    if st.button("Done", key="split_done"):
        st.rerun()


@dialogs.dialog("Look for leaks", icon=":material/water_drop:", width="large")
def ask_for_leaks(user: User, dataset: Dataset, version: Version) -> None:
    """Keys: ``leaks_with``, ``leaks_columns``."""
    st.caption(
        "Rows that this version shares with another one, exactly or nearly: "
        "a model that learned the one knows the answers of the other."
    )
    choices = datasets.list_datasets(
        user, parse(DatasetList, limit=100, sort="-updated_at", status="ready")
    ).items
    names = {
        str(one.latest_version_id): f"{one.name} · version {one.version}"
        for one in choices
        if one.latest_version_id != version.id
    }
    chosen = st.multiselect(
        "Compare with", list(names), format_func=names.__getitem__, key="leaks_with", max_selections=5
    )
    columns = st.multiselect(
        "In the columns",
        [column["name"] for column in version.columns],
        key="leaks_columns",
        placeholder="All that they share",
    )
    if not chosen:
        return
    with show.guarded(), st.spinner("Comparing all rows …"):
        show_report(user, datasets.leaks(user, [*chosen, version.id], columns=columns))


def show_report(user: User, report: LeakReport) -> None:
    if report.is_clean:
        st.markdown(":green-badge[:material/verified: No row is on two sides]")
    titles: dict[str, str] = {}
    for version_id in {side for leak in report.leaks for side in (leak.a, leak.b)}:
        version = datasets.get_version(user, version_id)
        titles[version_id] = f"{datasets.get(user, version.dataset_id).name} · version {version.version}"
    for leak in report.leaks:
        if leak.exact or leak.near:
            counts = [
                f"**{leak.exact:,}** exactly" if leak.exact else "",
                f"**{leak.near:,}** nearly" if leak.near else "",
            ]
            counted = " and ".join(filter(None, counts))
            st.markdown(
                f":orange[:material/warning:] {show.plain(titles[leak.b])}: "
                f"{counted} also in {show.plain(titles[leak.a])}"
            )
            _show_examples(leak.examples)
    compared = ", ".join(show.code(name) for name in report.columns[:12])
    near = (
        f" Near duplicates in {', '.join(show.code(name) for name in report.text_columns[:6])}."
        if report.text_columns
        else ""
    )
    part = (
        " Of the larger versions only a part of the texts was compared for near duplicates."
        if report.is_sampled
        else ""
    )
    st.caption(f"Compared in {compared}{' …' if len(report.columns) > 12 else ''}.{near}{part}")


def _show_examples(examples: list[dict[str, Any]]) -> None:
    lines = [
        (f"{one['similarity']:.0%}", one["b_line"], one["b"], one["a_line"], one["a"]) for one in examples
    ]
    table = pd.DataFrame(lines, columns=["alike", "row", "text", "row there", "text there"])
    st.dataframe(table, placeholder=digits.NULL, hide_index=True, height=min(36 * (len(table) + 1) + 2, 260))
