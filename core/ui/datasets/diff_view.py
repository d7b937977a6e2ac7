"""Comparing two versions: choosing them and the key, counts,
schema changes, and the rows side by side with what changed marked.

What is compared lives in the address: ``from`` and ``to`` (ids of versions), ``key`` (once per column),
``match`` (key, row or whole).
"""

import json
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from core import datasets
from core.datasets import Dataset, DatasetList, Diff, Version
from core.fields import parse
from core.listing import ListQuery
from core.people.users import User
from core.ui import digits, show

BEFORE, AFTER = "before", "after"
# Backgrounds that keep the text readable in the light and the dark theme
TINTS = {
    BEFORE: "background-color: rgba(220, 60, 60, .22)",
    AFTER: "background-color: rgba(40, 160, 90, .24)",
}
WAYS = {"key": "Key columns", "row": "Row number", "whole": "Whole rows"}
LONGEST_CELL = 2_000
SHOWN_ROWS = 50


class VersionPair(NamedTuple):
    """What is compared, and the dataset that the page belongs to: that of ``new``."""

    dataset: Dataset
    old: Version
    new: Version


class Match(NamedTuple):
    """How rows of two versions meet: by the columns of ``key``, by their numbers, or, without either, as
    whole rows."""

    key: list[str]
    by_row: bool = False


def find_pair(user: User) -> VersionPair:
    """The versions in the address.

    Without ``to`` it is the newest, without ``from`` the one before. Raises NotFound, Conflict.
    """
    address = st.query_params
    new = (
        datasets.get_version(user, address["to"])
        if address.get("to")
        else datasets.version_of(user, address.get("id", ""))
    )
    dataset = datasets.get(user, new.dataset_id)
    if address.get("from"):
        return VersionPair(dataset, datasets.get_version(user, address["from"]), new)
    return VersionPair(dataset, previous(readable_versions(user, dataset.id), new) or new, new)


def readable_versions(user: User, dataset_id: str) -> list[Version]:
    """Those with rows, newest first."""
    versions = datasets.list_versions(user, dataset_id, parse(ListQuery, limit=100)).items
    return [version for version in versions if version.status == "ready" and not version.removed_at]


def previous(versions: list[Version], version: Version) -> Version | None:
    """What a version is compared with first: the version
    of its dataset that it was made from, else the one before it."""
    older = [other for other in versions if other.version < version.version]
    return next((other for other in older if other.id in version.parents), older[0] if older else None)


def choose_sides(user: User, pair: VersionPair) -> None:
    choices = datasets.list_datasets(
        user, parse(DatasetList, limit=100, sort="-updated_at", status="ready")
    ).items
    names = {dataset.id: dataset.name for dataset in choices} | {pair.dataset.id: pair.dataset.name}
    for version in (pair.old, pair.new):
        names.setdefault(version.dataset_id, datasets.get(user, version.dataset_id).name)
    left, middle, right = st.columns([10, 1, 10], vertical_alignment="bottom")
    with left:
        _choose_side(user, "from", "From", pair.old, names)
    with middle:
        st.button(
            "",
            icon=":material/swap_horiz:",
            key="diff_swap",
            help="The other way round",
            on_click=_swap,
            args=(pair,),
        )
    with right:
        _choose_side(user, "to", "To", pair.new, names)


def _choose_side(user: User, side: str, label: str, chosen: Version, names: dict[str, str]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key=f"diff_side_{side}"):
        st.selectbox(
            label,
            list(names),
            index=list(names).index(chosen.dataset_id),
            format_func=names.__getitem__,
            key=f"diff_{side}_dataset_{chosen.id}",
            on_change=_take_dataset,
            args=(user, side, f"diff_{side}_dataset_{chosen.id}"),
        )
        versions = readable_versions(user, chosen.dataset_id)
        ids = [version.id for version in versions]
        labels = {version.id: _label(version) for version in (*versions, chosen)}
        st.selectbox(
            "Version",
            list(labels),
            index=ids.index(chosen.id) if chosen.id in ids else len(labels) - 1,
            format_func=labels.__getitem__,
            key=f"diff_{side}_{chosen.id}",
            on_change=_take_version,
            args=(side, f"diff_{side}_{chosen.id}"),
        )


def _label(version: Version) -> str:
    note = f" · {version.note}" if version.note else ""
    return f"{version.version} · {show.count(version.num_rows, 'row')}{note}"[:80]


def _take_version(side: str, widget: str) -> None:
    st.query_params[side] = st.session_state[widget]


def _take_dataset(user: User, side: str, widget: str) -> None:
    def take() -> None:
        st.query_params[side] = datasets.version_of(user, st.session_state[widget]).id

    show.attempt(take)


def _swap(pair: VersionPair) -> None:
    st.query_params["from"], st.query_params["to"] = pair.new.id, pair.old.id


def choose_match(user: User, pair: VersionPair) -> Match:
    """How rows meet: as the address says, else in the way in which the fewest rows differ."""
    theirs = {column["name"] for column in pair.old.columns}
    shared = [column["name"] for column in pair.new.columns if column["name"] in theirs]
    likely = [name for name in _likely_keys(user, user.id, pair.old.id, pair.new.id) if name in shared]
    asked = [name for name in st.query_params.get_all("key") if name in shared]
    way = "key" if asked else st.query_params.get("match")
    if way not in WAYS:
        with st.spinner("Comparing all rows …"):
            asked, by_row = _guess(user, user.id, pair.old.id, pair.new.id)
        way = "key" if asked else "row" if by_row else "whole"
    with st.container(horizontal=True, vertical_alignment="bottom", key="diff_match"):
        widget = f"diff_way_{pair.old.id}_{pair.new.id}"
        st.segmented_control(
            "Rows meet by",
            list(WAYS),
            default=way,
            required=True,
            format_func=WAYS.__getitem__,
            key=widget,
            on_change=_take_way,
            args=(widget,),
        )
        key = (
            _choose_key([*likely, *(name for name in shared if name not in likely)], likely, asked, pair)
            if (way == "key")
            else []
        )
    return Match(key, way == "row")


def _choose_key(options: list[str], likely: list[str], chosen: list[str], pair: VersionPair) -> list[str]:
    widget = f"diff_key_{pair.old.id}_{pair.new.id}"
    return st.multiselect(
        "Key",
        options,
        default=chosen,
        format_func=lambda name: f"{name}  (looks unique)" if name in likely else name,
        key=widget,
        placeholder="Choose columns that name each row",
        on_change=_take_key,
        args=(widget,),
        max_selections=16,
    )


def _take_way(widget: str) -> None:
    st.query_params["match"] = st.session_state[widget]
    st.query_params.pop("key", None)


def _take_key(widget: str) -> None:
    st.query_params["match"] = "key"
    st.query_params["key"] = st.session_state[widget]


@st.cache_data(max_entries=100, show_spinner=False)
def _likely_keys(_user: User, user_id: str, from_id: str, to_id: str) -> list[str]:
    return datasets.suggest_keys(_user, from_id, to_id)


@st.cache_data(max_entries=100, show_spinner=False)
def _guess(_user: User, user_id: str, from_id: str, to_id: str) -> tuple[list[str], bool]:
    return datasets.guess_match(_user, from_id, to_id)


def show_diff(user: User, pair: VersionPair, match: Match) -> None:
    if pair.old.id == pair.new.id:
        show.empty(
            "The same version twice", "Choose another version on one of the sides.", icon="content_copy"
        )
        return
    with st.spinner("Comparing all rows …"):
        diff = datasets.diff_versions(
            user, pair.old.id, pair.new.id, key=match.key, by_row=match.by_row, limit=SHOWN_ROWS
        )
    _show_counts(diff)
    _show_schema(diff)
    if diff.is_same:
        show.empty(
            "No differences", "Both versions hold the same rows. Their order does not count.", icon="done_all"
        )
        return
    if diff.added or diff.removed or diff.changed:
        _show_rows(diff, pair)


def _show_counts(diff: Diff) -> None:
    tiles = [("Added", diff.added, "green"), ("Removed", diff.removed, "red")]
    tiles += [("Changed", diff.changed, "orange")] if diff.key or diff.by_row else []
    with st.container(horizontal=True, key="diff_counts"):
        for label, count, colour in [*tiles, ("Unchanged", diff.unchanged, "gray")]:
            st.metric(f":{colour}[●] {label}", f"{count:,}", border=True)


def _show_schema(diff: Diff) -> None:
    schema = build_schema(diff.columns)
    if schema:
        more = f" and {len(schema) - 60} more" if len(schema) > 60 else ""
        st.markdown("**Columns** " + " ".join(schema[:60]) + more)
        if diff.columns["added"] or diff.columns["removed"]:
            st.caption("Rows are compared in the columns that both versions have.")


def build_schema(columns: dict[str, list[dict[str, str]]]) -> list[str]:
    """A badge per column that came, went or has another type.

    A type may hold names of the data: those of a struct's fields.
    """
    added = [
        f":green-badge[:material/add: {show.plain(c['name'])} {_type(c['type'])}]" for c in columns["added"]
    ]
    removed = [
        f":red-badge[:material/remove: {show.plain(c['name'])} {_type(c['type'])}]"
        for c in columns["removed"]
    ]
    changed = [
        (
            f":orange-badge[:material/change_circle: {show.plain(c['name'])}: "
            f"{_type(c['from'])} → {_type(c['to'])}]"
        )
        for c in columns["changed"]
    ]
    return added + removed + changed


def _type(type_: str) -> str:
    return show.plain(type_.lower())


def _show_rows(diff: Diff, pair: VersionPair) -> None:
    counts = {"Changed": diff.changed, "Added": diff.added, "Removed": diff.removed}
    options = [name for name, count in counts.items() if count]
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        chosen = st.segmented_control(
            "Rows",
            options,
            default=options[0],
            required=True,
            format_func=lambda name: f"{name} {counts[name]:,}",
            key=f"diff_rows_{'_'.join(options)}",
            label_visibility="collapsed",
        )
        st.link_button(
            "All differences as CSV",
            download_path(pair, Match(diff.key, diff.by_row)),
            icon=":material/download:",
            type="tertiary",
        )
    if chosen == "Changed":
        _show_changed(diff)
    else:
        _show_alone(diff.samples[str(chosen).lower()], counts[str(chosen)])


def download_path(pair: VersionPair, match: Match) -> str:
    how = [("match", "row")] if match.by_row else [("key", name) for name in match.key]
    return "/download/changes?" + urlencode([("from", pair.old.id), ("to", pair.new.id), *how])


def _show_changed(diff: Diff) -> None:
    samples = diff.samples["changed"]
    touched = [name for name in diff.changed_columns if name not in diff.key]
    counted = ", ".join(
        f"{show.code(name)} {count:,}×" for name, count in list(diff.changed_columns.items())[:8]
    )
    st.caption(f"Changed columns: {counted}{' …' if len(diff.changed_columns) > 8 else ''}")
    names = [*diff.key, *touched]
    others = [name for name in samples[0]["to"] if name not in names and name in samples[0]["from"]]
    if others and st.toggle(
        "Show the other columns", key="diff_all_columns", help="Those in which no row differs."
    ):
        names += others
    lines: list[dict[str, Any]] = []
    marks: list[dict[str, str]] = []
    for sample in samples:
        for side, data, line in (
            (BEFORE, sample["from"], sample["from_line"]),
            (AFTER, sample["to"], sample["to_line"]),
        ):
            lines.append({"": side, "row": line} | {name: _cell(data.get(name)) for name in names})
            marks.append({name: TINTS[side] if name in sample["columns"] else "" for name in names})
    table = pd.DataFrame(lines, columns=["", "row", *names])
    style = pd.DataFrame(marks, columns=names).reindex(columns=table.columns, fill_value="")
    config = {
        "": st.column_config.TextColumn("", pinned=True, width=70),
        "row": st.column_config.NumberColumn("Row", width=70),
    }
    marked = table.style.apply(lambda _: style, axis=None)
    st.dataframe(
        marked,
        hide_index=True,
        placeholder=digits.NULL,
        key="diff_changed",
        height=_height(len(lines)),
        column_config=config,
    )
    _say_more(len(samples), diff.changed)


def _show_alone(samples: list[dict[str, Any]], count: int) -> None:
    names = list(samples[0]["data"])
    rows = [
        {"row": one["line"], "times": one["times"]} | {name: _cell(one["data"][name]) for name in names}
        for one in samples
    ]
    table = pd.DataFrame(rows, columns=["row", "times", *names])
    if (table["times"] == 1).all():
        table = table.drop(columns="times")
    config = {
        "row": st.column_config.NumberColumn("Row", width=70),
        "times": st.column_config.NumberColumn("Times", width=70),
    }
    st.dataframe(
        table,
        hide_index=True,
        placeholder=digits.NULL,
        key="diff_alone",
        column_config=config,
        height=_height(len(rows)),
    )
    _say_more(int(sum(one["times"] for one in samples)), count)


def _say_more(shown: int, count: int) -> None:
    if count > shown:
        st.caption(f"The first {shown:,} of {count:,}. The CSV has all of them.")


def _cell(value: Any) -> str | None:
    """Every cell as text: a column whose type changed holds two kinds of values."""
    if value is None:
        return None
    if isinstance(value, (dict, list)):
        value = json.dumps(value, ensure_ascii=False)
    return str(value)[:LONGEST_CELL]


def _height(rows: int) -> int:
    return min(36 * (rows + 1) + 2, 560)
