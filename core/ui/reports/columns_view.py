"""The Columns tab: what may be wrong on top, then a card per column;
each part of a card opens the rows that it stands for.

What is not computed yet shows its progress, and the page is drawn again when it is there. Until then the
footer of the file says what it knows. Token lengths are counted under the tokenizer of a model that the user
chooses.
"""

import json
from functools import partial
from typing import Any

import streamlit as st

from core import datasets, models
from core.datasets import Dataset, Profile, Quality, TokenLengths, Version
from core.models import ModelList
from core.people.users import User
from core.sql_types import holds_text
from core.ui import dialogs, show
from core.ui.datasets.rows import rows_strip
from core.ui.elements import column_cards
from core.ui.reports import column_words, quality_view

PER_PAGE = 24
OPEN = ("waiting", "running")
WORDS = {
    "profile": "Looking at the columns",
    "quality": "Looking at the quality",
    "tokens": "Counting tokens",
}


def show_columns_tab(user: User, dataset: Dataset, version: Version) -> None:
    profile = datasets.profile(user, dataset.id, version=version.version)
    quality = datasets.quality(user, version.id)
    if profile.status == "none":  # a version from before there were reports
        datasets.start_report(user, version.id, "profile")
    if quality.status == "none":
        datasets.start_report(user, version.id, "quality")
    quality_view.show_card(user, version, quality)
    above = st.container()
    tokens = _show_toolbar(user, version)
    running = [
        kind
        for kind, one in (("profile", profile), ("quality", quality), ("tokens", tokens))
        if one and one.status in OPEN
    ]
    if running:
        with above:
            _show_progress(user, dataset, version, running)
    _show_state(user, version, profile, tokens)
    _show_cards(version, profile, quality, tokens)


def _show_toolbar(user: User, version: Version) -> TokenLengths | None:
    """The search, and the tokenizer whose lengths are shown; None while none is chosen."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="columns_toolbar"):
        st.text_input(
            "Search columns",
            key="columns_q",
            type="search",
            placeholder="Search columns",
            icon=":material/search:",
            label_visibility="collapsed",
            width=280,
        )
        if not any(holds_text(column["type"]) for column in version.columns):
            return None
        choices = models.list_models(user, ModelList(limit=100, sort="name")).items
        names = {model.latest_version_id: model.name for model in choices if model.latest_version_id}
        chosen = st.selectbox(
            "Token lengths",
            list(names),
            index=None,
            format_func=lambda id: names.get(id, id),
            placeholder="Token lengths under …",
            key="columns_tokens",
            label_visibility="collapsed",
            width=260,
            help="Counts the texts of each row with this model's tokenizer. A chat counts all its messages.",
        )
    return _token_lengths(user, version, chosen) if chosen else None


def _token_lengths(user: User, version: Version, model_version_id: str) -> TokenLengths:
    lengths = datasets.token_lengths(user, version.id, model_version_id)
    if lengths.status == "none":
        datasets.start_token_lengths(user, version.id, model_version_id)
        lengths = datasets.token_lengths(user, version.id, model_version_id)
    return lengths


@st.fragment(run_every=1.0)
def _show_progress(user: User, dataset: Dataset, version: Version, kinds: list[str]) -> None:
    """Bars of what is computed; the page is drawn again when one is done."""
    for kind in kinds:
        report = _report(user, dataset, version, kind)
        if report is None or report.status not in OPEN:
            dialogs.renew()
        share = min(max(report.progress, 0.0), 1.0)
        st.progress(
            share,
            text=f"{WORDS[kind]} … {share:.0%}"
            if report.status == "running"
            else f"{WORDS[kind]}: {show.turn(report.ahead)}",
        )


def _report(
    user: User, dataset: Dataset, version: Version, kind: str
) -> Profile | Quality | TokenLengths | None:
    if kind == "profile":
        return datasets.profile(user, dataset.id, version=version.version)
    if kind == "quality":
        return datasets.quality(user, version.id)
    chosen = st.session_state.get("columns_tokens")
    return datasets.token_lengths(user, version.id, chosen) if chosen else None


def _show_state(user: User, version: Version, profile: Profile, tokens: TokenLengths | None) -> None:
    words = f"{show.count(len(profile.columns), 'column')} over {show.count(profile.num_rows, 'row')}"
    if profile.status in OPEN:
        words += "; nulls and bounds come from the file's footer until all is computed"
    st.caption(words)
    if profile.status == "failed":
        with st.container(horizontal=True, vertical_alignment="center"):
            st.warning(
                "The columns could not be looked at; what follows comes from the file's footer.",
                icon=":material/warning:",
            )
            again = {"user": user, "version_id": version.id, "kind": "profile"}
            st.button(
                "Try again",
                key="profile_again",
                icon=":material/refresh:",
                on_click=quality_view.start,
                kwargs=again,
            )
    if tokens and tokens.status == "failed":
        with st.container(horizontal=True, vertical_alignment="center"):
            message = show.plain(tokens.error or "The tokens could not be counted.")
            st.warning(message, icon=":material/warning:")
            st.button(
                "Try again",
                key="tokens_again",
                icon=":material/refresh:",
                on_click=_count_again,
                args=(user, version.id),
            )
    if tokens and tokens.status == "ready":
        _show_token_words(tokens)


def _count_again(user: User, version_id: str) -> None:
    chosen = st.session_state.get("columns_tokens")
    if chosen:
        show.attempt(partial(datasets.start_token_lengths, user, version_id, chosen))


def _show_token_words(tokens: TokenLengths) -> None:
    parts = [
        f"{show.plain(name)} {counts['total']:,}" for name, counts in tokens.columns.items() if counts["rows"]
    ]
    sampled = tokens.num_rows_measured < tokens.num_rows
    some = f", counted in {tokens.num_rows_measured:,} rows spread over the whole" if sampled else ""
    st.caption(
        f"Tokens: {'; '.join(parts[:6]) or 'no text'}{some}. Lengths stand in the details of each column."
    )


def _show_cards(version: Version, profile: Profile, quality: Quality, tokens: TokenLengths | None) -> None:
    text = (st.session_state.get("columns_q") or "").strip().lower()
    columns = [column for column in profile.columns if text in column["name"].lower()]
    if not columns:
        st.caption("No column has such a name.")
        return
    pages = -(-len(columns) // PER_PAGE)
    at = min(st.session_state.get("columns_page") or 1, pages)
    shown = columns[(at - 1) * PER_PAGE : at * PER_PAGE]
    findings = {
        name: [f for f in quality.findings if f["column"] == name]
        for name in (column["name"] for column in shown)
    }
    counted = tokens.columns if tokens else {}
    cards = [
        column_words.card(
            column, profile.num_rows, findings=findings[column["name"]], tokens=counted.get(column["name"])
        )
        for column in shown
    ]
    column_cards.show(
        "column_cards", cards, on_act=lambda acted: _act(acted, version, {c["name"]: c for c in shown})
    )
    if pages > 1:
        st.pagination(pages, key="columns_page")


def _act(acted: dict[str, Any], version: Version, columns: dict[str, dict[str, Any]]) -> None:
    """What a click on a card means: the Rows tab with a filter."""
    if "finding" in acted:
        return quality_view.open_finding(version, str(acted["finding"]))
    if "line" in acted:
        return quality_view.go_to_rows(
            version, page=1 + (int(acted["line"]) - 1) // 50, row=int(acted["line"])
        )
    kind = next((kind for kind in ("bar", "value", "nulls") if kind in acted), "")
    column = columns.get(acted.get(kind, ""))
    if column is None:
        return None
    if kind == "bar":
        wanted = rows_strip.with_bar(column, {}, int(acted["number"]), extend=False)
    elif kind == "value":
        wanted = rows_strip.with_value(column, {}, int(acted["number"]))
    else:
        wanted = rows_strip.with_nulls({})
    where = json.dumps({column["name"]: wanted}, ensure_ascii=False, separators=(",", ":"))
    return quality_view.go_to_rows(version, where=where)
