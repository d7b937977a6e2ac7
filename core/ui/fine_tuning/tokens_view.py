"""What the model sees: any row as coloured tokens,
and all rows counted, with a way to every row that is a problem.

Rows and totals come from ``fine_tuning.preview``, which asks the code that trains. The part redraws itself
while rows are counted; when that is done the page is drawn again, since the plan knows more then.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from core import datasets
from core.datasets import TrainingView
from core.errors import LuthierError
from core.fine_tuning import NewJob
from core.fine_tuning.before import preview
from core.fine_tuning.before.preview import ShownRow, TaskProgress, Totals
from core.fine_tuning.sources import Sources
from core.people.users import User
from core.ui import dialogs, lists, places, show
from core.ui.datasets import training_view
from core.ui.elements import tokens
from core.ui.fine_tuning.form_data import Data, Handed

ROW = "ft_row"
COUNT_AT_ONCE = 50_000  # rows; more are counted when somebody asks
SECONDS = 1.0
LEGEND = (
    ":green-background[learned]: the model has to produce it · plain: it is only read · "
    ":red[~~cut~~]: beyond the longest row · :blue[**special**]: a token of the template"
)
PROBLEMS_PER_PAGE = 8


def show_data(user: User, data: Data, new: NewJob, sources: Sources | None) -> bool:
    """The row picker with one row, then all rows. ``sources``: base and rows of this request.

    Returns whether every row that was checked can be learned.
    """
    with st.container(border=True, key="ft_sees"):
        _show_row(user, data, new, Handed(sources))
    rows = _view_of(user, user.id, data.version.id, tuple((data.columns or {}).items()))
    with st.container(border=True, key="ft_totals"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown("**All rows**", width="content")
            st.markdown(_count(rows), width="content")
        _show_totals(user, data, new, sources)
    return rows.ok


@st.cache_data(max_entries=100, show_spinner="Checking the rows …")
def _view_of(
    _user: User, user_id: str, version_id: str, columns: tuple[tuple[str, str], ...]
) -> TrainingView:
    """Versions never change, so what was found stays true.

    Of a long table under a mapping the first rows are checked.
    """
    return datasets.view_for_training(_user, version_id, dict(columns) or None)


def _count(rows: TrainingView) -> str:
    if rows.num_bad:
        return (
            f":red-badge[:material/warning: {rows.num_examples:,} of "
            f"{show.count(rows.num_checked, 'row')} usable]"
        )
    return f":green-badge[:material/check_circle: {show.count(rows.num_examples, 'usable row')}]"


@st.fragment
def _show_row(user: User, data: Data, new: NewJob, handed: Handed) -> None:
    count = data.version.num_rows
    if not count:
        return
    st.session_state[ROW] = min(max(1, st.session_state.get(ROW) or 1), count)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="ft_row_bar"):
        st.number_input("Row", min_value=1, max_value=count, step=1, key=ROW, width=150)
        _turn("Previous", "chevron_left", -1, count, key="ft_row_previous")
        _turn("Next", "chevron_right", 1, count, key="ft_row_next")
        st.button(
            "Random", key="ft_row_random", icon=":material/casino:", on_click=_go_to_random, args=(count,)
        )
    line, sources = st.session_state[ROW], handed.take()
    try:
        row = preview.look(user, new, line, sources)
    except LuthierError as error:
        show.error(error)
        return
    if isinstance(row, TaskProgress):
        _wait_for_row(user, new, line, Handed(sources))
        return
    if row.errors:
        _show_wrong(data, row)
        return
    _show_sequences(row)
    as_conversation, as_text = st.tabs(["As a conversation", "As the template renders it"], key="ft_row_as")
    with as_conversation:
        for _, example in datasets.training_preview(user, data.version.id, data.columns, 1, offset=line - 1):
            training_view.show_example(example)
    with as_text:
        for sequence in row.sequences:
            st.code(sequence.text, language=None, wrap_lines=True)


@st.fragment(run_every=SECONDS)
def _wait_for_row(user: User, new: NewJob, line: int, handed: Handed) -> None:
    try:
        row = preview.look(user, new, line, handed.take(), wait=0.2)
    except LuthierError as error:
        show.error(error)
        return
    if not isinstance(row, TaskProgress):
        dialogs.renew()
    st.markdown(":material/progress_activity: The tokenizer is being loaded. It stays loaded for a while.")


def _turn(label: str, icon: str, by: int, count: int, *, key: str) -> None:
    ends = (st.session_state[ROW] == 1) if by < 0 else (st.session_state[ROW] == count)
    st.button(
        f":material/{icon}:", key=key, help=f"{label} row", on_click=_go_by, args=(by, count), disabled=ends
    )


def _go_by(by: int, count: int) -> None:
    st.session_state[ROW] = min(max(1, st.session_state[ROW] + by), count)


def _go_to_random(count: int) -> None:
    st.session_state[ROW] = random.randint(1, count)


def go_to(line: int) -> None:
    st.session_state[ROW] = line


def _show_wrong(data: Data, row: ShownRow) -> None:
    for detail in row.errors:
        st.error(f"{show.code(detail['field'])} {show.plain(detail['message'])}", icon=":material/rule:")
    places.button(
        "Open the row to fix it", "dataset", key="ft_row_open", icon="edit", **_address(data, row.line)
    )


def _show_sequences(row: ShownRow) -> None:
    if not row.trains:
        st.warning(
            (
                f"Nothing of this row is learned: what would be lies beyond its first {row.max_length:,} "
                f"tokens, or it has no answer."
            ),
            icon=":material/block:",
        )
    boundaries = st.toggle("Token boundaries", key="ft_boundaries")
    pair = len(row.sequences) > 1 and bool(row.sequences[0].part)
    if len(row.sequences) > 1 and not pair:
        st.caption(
            "The chat template writes earlier answers otherwise than the last one, so each answer of this "
            "conversation is learned in a sequence of its own."
        )
    places_ = st.columns(2, gap="small") if pair else [st.container() for _ in row.sequences]
    for number, (place, sequence) in enumerate(zip(places_, row.sequences, strict=True), start=1):
        better = sequence.part == "preferred"
        name = sequence.part or ("row" if number == 1 else f"row_{number}")
        with place:
            tokens.show(
                f"ft_tokens_{name}",
                sequence,
                title=_title_of(number, row, pair=pair),
                tone=("better" if better else "worse") if pair else "",
                boundaries=boundaries,
            )
    st.caption(LEGEND)


def _title_of(number: int, row: ShownRow, *, pair: bool) -> str:
    if pair:
        return "Preferred answer" if row.sequences[number - 1].part == "preferred" else "Other answer"
    return f"Sequence {number} of {len(row.sequences)}" if len(row.sequences) > 1 else ""


def _show_totals(user: User, data: Data, new: NewJob, sources: Sources | None) -> None:
    state_key = f"ft_count_{data.version.id}"
    waits = data.version.num_rows > COUNT_AT_ONCE and state_key not in st.session_state
    if waits and preview.known_totals(preview.find(user, new, sources)) is None:
        st.caption(f"{data.version.num_rows:,} rows are not counted by themselves.")
        st.button(
            "Count all rows",
            key="ft_count",
            icon=":material/functions:",
            on_click=_remember,
            args=(state_key, True),
        )
        return
    if st.session_state.get(state_key) is False:
        st.caption("Counting was stopped.")
        st.button(
            "Count again",
            key="ft_count_again",
            icon=":material/functions:",
            on_click=_remember,
            args=(state_key, True),
        )
        return
    try:
        totals = preview.totals(user, new, sources, wait=0.5)
    except LuthierError as error:
        show.error(error)
        return
    if isinstance(totals, Totals):
        _show_found(data, totals)
    else:
        _wait(user, new, state_key, Handed(sources))


def _remember(key: str, value: bool) -> None:
    st.session_state[key] = value


@st.fragment(run_every=SECONDS)
def _wait(user: User, new: NewJob, state_key: str, handed: Handed) -> None:
    try:
        totals = preview.totals(user, new, handed.take())
    except LuthierError as error:
        show.error(error)
        return
    if not isinstance(totals, TaskProgress):
        dialogs.renew()
    share = totals.done / totals.of if totals.of else 0.0
    st.progress(min(share, 1.0), text=f"Counting tokens: {totals.done:,} of {show.count(totals.of, 'row')}")
    if st.button("Stop counting", key="ft_count_stop", icon=":material/stop:"):
        st.session_state[state_key] = False
        preview.cancel_totals(user, new)
        st.rerun()


def _show_found(data: Data, totals: Totals) -> None:
    with st.grid(2, min_column_width=120):
        st.metric(
            "Tokens", show.number(totals.num_tokens), help="As trained: what is cut away is not counted."
        )
        st.metric(
            "Learned",
            f"{totals.share_learned:.0%}",
            help=f"{totals.num_learned:,} tokens that the model has to produce.",
        )
        st.metric(
            "Median row",
            f"{totals.median_length:,}",
            help="Tokens of the row in the middle, before anything is cut.",
        )
        st.metric(
            "Longest row", f"{totals.longest_row:,}", help=f"Tokens. Rows are cut at {totals.max_length:,}."
        )
    if totals.histogram:
        _draw_lengths(totals)
    _show_problems(data, totals)


def _draw_lengths(totals: Totals) -> None:
    bars = pd.DataFrame(totals.histogram)
    bars["end"] = bars["to"] + 1
    bars.loc[bars.index[-1], "end"] = bars["from"].iloc[-1] + (bars["end"].iloc[0] - bars["from"].iloc[0])
    bars["tokens"] = [f"{bar['from']:,} – {bar['to']:,}" for bar in totals.histogram]
    chart = (
        alt.Chart(bars)
        .mark_bar(binSpacing=1)
        .encode(
            x=alt.X(
                "from:Q",
                bin="binned",
                title="tokens in a row",
                axis=alt.Axis(tickCount=5, format=",d", grid=False),
            ),
            x2="end:Q",
            y=alt.Y("rows:Q", title="rows", axis=alt.Axis(tickCount=3, format="~s")),
            tooltip=[
                alt.Tooltip("tokens:N", title="Tokens"),
                alt.Tooltip("rows:Q", title="Rows", format=","),
            ],
        )
    )
    limit = alt.Chart(pd.DataFrame({"at": [totals.max_length]})).mark_rule(strokeDash=[4, 3]).encode(x="at:Q")
    shown = chart + limit if totals.max_length <= int(bars["end"].iloc[-1]) else chart
    st.altair_chart(shown.properties(height=130), key="ft_lengths")


def _show_problems(data: Data, totals: Totals) -> None:
    """Rows that cannot be learned, that teach nothing, or that lose their end; and the longest ones."""
    if totals.num_wrong:
        _show_lines(
            data,
            "wrong",
            f"{show.count(totals.num_wrong, 'row')} cannot be learned",
            totals.wrong,
            "error",
            fix=True,
        )
    if totals.num_empty:
        lines = [{"line": line} for line in totals.empty]
        are = "is" if totals.num_empty == 1 else "are"
        title = f"{show.count(totals.num_empty, 'row')} would teach nothing and {are} left out"
        _show_lines(data, "empty", title, lines, "block")
    if totals.num_cut:
        lines = [{"line": line} for line in totals.cut]
        title = f"{show.count(totals.num_cut, 'row')} would be cut to {totals.max_length:,} tokens"
        _show_lines(data, "cut", title, lines, "content_cut")
    if totals.num_same:
        lines = [{"line": line} for line in totals.same]
        title = f"{show.count(totals.num_same, 'row')} with twice the same answer"
        _show_lines(data, "same", title, lines, "equal")
    if totals.num_typed:
        said = [{"line": one["line"], "message": one["token"]} for one in totals.typed]
        title = f"{show.count(totals.num_typed, 'row')} with control tokens of the base in the text"
        _show_lines(data, "typed", title, said, "data_object")
    if totals.num_apart:
        several = show.count(totals.num_apart, "conversation")
        st.caption(f"{several} become several sequences, one for each answer, as the chat template needs it.")
    if not (totals.num_wrong or totals.num_empty or totals.num_cut):
        st.caption(":green[:material/check_circle:] Every row is learned whole.")
    longest = [{"line": one["line"], "message": show.count(one["tokens"], "token")} for one in totals.longest]
    _show_lines(data, "longest", "The longest rows", longest, "straighten")


def _show_lines(
    data: Data, name: str, title: str, lines: Sequence[Mapping[str, Any]], icon: str, *, fix: bool = False
) -> None:
    with st.expander(title, icon=f":material/{icon}:", key=f"ft_problem_{name}"):
        pages = -(-len(lines) // PROBLEMS_PER_PAGE)
        at = min(lists.current_page(f"ft_problem_{name}_page"), pages)
        for number, one in enumerate(lines[(at - 1) * PROBLEMS_PER_PAGE : at * PROBLEMS_PER_PAGE]):
            _show_line(data, one, key=f"{name}_{number}", fix=fix)
        if pages > 1:
            st.pagination(pages, key=f"ft_problem_{name}_page")
        if len(lines) >= 100:
            st.caption("The first hundred are listed.")


def _show_line(data: Data, one: Mapping[str, Any], *, key: str, fix: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key=f"ft_line_{key}"):
        st.button(
            f"Row {one['line']:,}",
            key=f"ft_look_{key}",
            icon=":material/visibility:",
            on_click=go_to,
            args=(one["line"],),
        )
        field = f"{show.code(one['field'])} " if one.get("field") else ""
        if field or one.get("message"):
            st.markdown(f"{field}{show.plain(str(one.get('message', '')))}", width="stretch")
        if fix:
            places.button("Fix", "dataset", key=f"ft_fix_{key}", icon="edit", **_address(data, one["line"]))


def _address(data: Data, line: int) -> dict[str, Any]:
    return {"id": data.dataset.id, "version": data.version.version, "view": "Rows", "row": line}
