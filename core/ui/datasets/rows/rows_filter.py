"""The filter form, one column and condition at a time, and the chips of what is in force."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import datasets
from core.datasets import Dataset, Version
from core.errors import LuthierError, ValidationError
from core.people.users import User
from core.sql_types import is_moment, is_nested, is_number
from core.ui import show
from core.ui.datasets.rows import rows_address
from core.ui.datasets.rows.rows_address import RowsAddress

WRONG = "_rows_filter_wrong"
CHIP = 70  # characters


@dataclass(frozen=True)
class FieldCondition:
    """How one field of a filter is asked for: ``entry`` text, pair, many, or nothing."""

    label: str
    entry: str = ""
    said: str = ""


CONDITIONS = {
    "contains": FieldCondition("contains", "text"),
    "not_contains": FieldCondition("does not contain", "text"),
    "starts_with": FieldCondition("starts with", "text"),
    "equals": FieldCondition("is", "text"),
    "not_equals": FieldCondition("is not", "text"),
    "range": FieldCondition("is between", "pair"),
    "outside": FieldCondition("is not between", "pair"),
    "one_of": FieldCondition("is one of", "many"),
    "none_of": FieldCondition("is none of", "many"),
    "null": FieldCondition("is null"),
    "filled": FieldCondition("is not null"),
    "blank": FieldCondition("is the empty text"),
}
TEXT = (
    "contains",
    "not_contains",
    "starts_with",
    "equals",
    "not_equals",
    "one_of",
    "none_of",
    "null",
    "filled",
    "blank",
)
ORDERED = ("range", "outside", "equals", "not_equals", "one_of", "none_of", "null", "filled")
CHOSEN = ("one_of", "none_of", "null", "filled")
NESTED = ("contains", "not_contains", "null", "filled")
SAID = {
    "contains": "contains “{}”",
    "not_contains": "without “{}”",
    "starts_with": "starts with “{}”",
    "equals": "is {}",
    "not_equals": "is not {}",
    "min": "≥ {}",
    "max": "≤ {}",
    "above": "> {}",
    "below": "< {}",
}


@st.fragment
def show_form(
    user: User, dataset: Dataset, version: Version, address: RowsAddress, profile: dict[str, Any]
) -> None:
    """A fragment: choosing a column or a condition reads no rows."""
    types = {column["name"]: column["type"] for column in version.columns}
    column = st.selectbox("Column", list(types), key="filter_column")
    if column is None:
        return
    condition = st.selectbox(
        "Condition",
        conditions_of(types[column]),
        format_func=lambda name: CONDITIONS[name].label,
        key=f"filter_op_{kind_of(types[column])}",
    )
    _show_entry(CONDITIONS[condition].entry, column, types[column], profile.get(column, {}))
    wrong = st.session_state.get(WRONG, {}).get((column, condition))
    if wrong:
        st.error(show.plain(wrong), icon=":material/error:")
    chosen = (user, dataset, address, column, types[column], condition)
    if st.button("Add filter", key="filter_add", type="primary", on_click=_add, args=chosen) and not wrong:
        st.rerun()


def kind_of(type_: str) -> str:
    if is_number(type_):
        return "number"
    if is_moment(type_):
        return "moment"
    if type_ == "BOOLEAN":
        return "truth"
    return "nested" if is_nested(type_) or type_ == "JSON" else "text"


def conditions_of(type_: str) -> list[str]:
    return list(
        {"number": ORDERED, "moment": ORDERED, "truth": CHOSEN, "nested": NESTED, "text": TEXT}[
            kind_of(type_)
        ]
    )


def words(wanted: dict[str, Any]) -> str:
    """A column's filter as a sentence."""
    parts = [SAID[name].format(_short(value)) for name, value in wanted.items() if name in SAID]
    for name, template in (("one_of", "is {}"), ("none_of", "is not {}")):
        if name in wanted:
            parts.append(template.format(" or ".join(map(_short, wanted[name]))))
    if "outside" in wanted:
        parts.append("is not between {} and {}".format(*map(_short, wanted["outside"])))
    if "is_null" in wanted:
        parts.append("is null" if wanted["is_null"] else "is not null")
    return ", ".join(parts)


def show_chips(user: User, version: Version, address: RowsAddress) -> DeltaGenerator | None:
    """What narrows and orders the rows, each with its way out. Returns the place beside them for how many
    rows that leaves."""
    view = address.view
    chips: list[tuple[str, str, dict[str, Any]]] = [
        (f"drop_filter_{n}", f"{name} {words(rows_address.filter_of(view, name))}", {"column": name})
        for n, name in enumerate(view.where)
    ]
    if view.finding:
        chips.insert(
            0, ("drop_finding", f"Finding: {_finding_title(user, version, view.finding)}", {"finding": None})
        )
    if view.search:
        chips.insert(0, ("drop_search", f"Text has “{view.search}”", {"q": None}))
    if view.order_by:
        chips.append(("drop_sort", f"Sorted by {_order_words(view.order_by, version)}", {"sort": None}))
    if not chips:
        return None
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="rows_chips"):
        for key, text, change in chips:
            label, why = (
                show.plain(text if len(text) <= CHIP else text[: CHIP - 1] + "…"),
                f"Remove: {show.plain(text)}",
            )
            st.button(
                label,
                key=key,
                icon=":material/close:",
                icon_position="right",
                help=why,
                on_click=_drop,
                args=(address, change),
            )
        if len(chips) > 1:
            st.button("Clear all", key="drop_all", type="tertiary", on_click=_clear)
        return st.empty()


def _drop(address: RowsAddress, change: dict[str, Any]) -> None:
    if "column" in change:
        rows_address.change_filter(address.view, change["column"], None)
    else:
        rows_address.change(**change)


def _clear() -> None:
    rows_address.change(q=None, where=None, sort=None, finding=None)


def _order_words(order_by: str, version: Version) -> str:
    names = {column["name"] for column in version.columns}
    return f"{order_by} ↑" if order_by in names else f"{order_by.removeprefix('-')} ↓"


def _finding_title(user: User, version: Version, key: str) -> str:
    try:
        return datasets.finding(user, version.id, key).title
    except LuthierError:
        return key


def _show_entry(entry: str, column: str, type_: str, profile: dict[str, Any]) -> None:
    if entry == "text":
        hint = {"DATE": "2026-01-31", "TIMESTAMP": "2026-01-31 12:00:00"}.get(type_, "")
        st.text_input("Value", key="filter_value", placeholder=hint)
    elif entry == "pair" and kind_of(type_) == "moment":
        low, high = _days(profile)
        first, second = st.columns(2)
        first.date_input("From", None, min_value=low, max_value=high, key="filter_from", format="YYYY-MM-DD")
        second.date_input(
            "To, including", None, min_value=low, max_value=high, key="filter_to", format="YYYY-MM-DD"
        )
    elif entry == "pair":
        first, second = st.columns(2)
        first.text_input("From", key="filter_low", placeholder=str(_bound(profile, "min")))
        second.text_input("To", key="filter_high", placeholder=str(_bound(profile, "max")))
    elif entry == "many":
        values = (
            ["true", "false"]
            if type_ == "BOOLEAN"
            else [str(one["value"]) for one in profile.get("top_values", [])]
        )
        counts = {str(one["value"]): one["count"] for one in profile.get("top_values", [])}
        st.multiselect(
            "Values",
            values,
            key=f"filter_many_{column}",
            accept_new_options=type_ != "BOOLEAN",
            placeholder="Choose or type",
            format_func=lambda value: (
                f"{value or 'empty text'} ({counts[value]:,})" if value in counts else value
            ),
        )


def _add(user: User, dataset: Dataset, address: RowsAddress, column: str, type_: str, condition: str) -> None:
    """Try the filter before it is taken: a value that does not fit is said in the form."""
    try:
        wanted = {**rows_address.filter_of(address.view, column), **_wanted(column, type_, condition)}
        where = {**address.view.where, column: datasets.Filter.model_validate(wanted)}
        datasets.rows_of(
            user, dataset.id, address.view.model_copy(update={"where": where, "columns": [column]}), limit=1
        )
    except LuthierError as error:
        message = "; ".join(detail.message for detail in getattr(error, "details", ())) or error.message
        st.session_state[WRONG] = {(column, condition): message}
        return
    st.session_state[WRONG] = {}
    rows_address.change_filter(address.view, column, wanted)


def _wanted(column: str, type_: str, condition: str) -> dict[str, Any]:
    """What the form says, as fields of a filter. Raises ValidationError when something is missing."""
    state = st.session_state
    if condition in ("null", "filled"):
        return {"is_null": condition == "null"}
    if condition == "blank":
        return {"equals": ""}
    if CONDITIONS[condition].entry == "many":
        chosen = list(state.get(f"filter_many_{column}") or [])
        return {condition: chosen} if chosen else _missing("Choose at least one value.")
    if CONDITIONS[condition].entry == "text":
        value = state.get("filter_value") or ""
        return {condition: value} if value else _missing("Say a value.")
    low, high = _pair(type_)
    if condition == "outside":
        return {"outside": [low, high]} if low and high else _missing("Say both ends.")
    if not low and not high:
        return _missing("Say at least one end.")
    return {name: value for name, value in (("min", low), ("max", high)) if value}


def _pair(type_: str) -> tuple[str, str]:
    """Both ends; the last day of a range of times is meant to its end."""
    state = st.session_state
    if kind_of(type_) != "moment":
        return (state.get("filter_low") or "").strip(), (state.get("filter_high") or "").strip()
    first, last = state.get("filter_from"), state.get("filter_to")
    return str(first or ""), f"{last}{'' if type_ == 'DATE' else ' 23:59:59.999999'}" if last else ""


def _missing(message: str) -> dict[str, Any]:
    raise ValidationError(message)


def _days(profile: dict[str, Any]) -> tuple[date, date]:
    """What the calendar offers: the column's own span."""
    try:
        return date.fromisoformat(str(profile["min"])[:10]), date.fromisoformat(str(profile["max"])[:10])
    except (KeyError, ValueError):
        return date(1, 1, 1), date(9999, 12, 31)


def _bound(profile: dict[str, Any], name: str) -> Any:
    return "" if profile.get(name) is None else profile[name]


def _short(value: Any) -> str:
    if value == "":
        return "empty text"
    if isinstance(value, float):
        return f"{value:,.6g}"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 40 else text[:39] + "…"
