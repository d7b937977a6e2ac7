"""One row in full: conversations as conversations,
everything else field by field; and arrows to its neighbours.

The address decides about the drawer: ``row=`` opens it, the arrows change it, closing the drawer removes it.
"""

import json
from collections.abc import Sequence
from typing import Any

import streamlit as st

from core import datasets, formats
from core.datasets import Dataset, Preview, Version, View
from core.formats.base import ColumnMapping
from core.formats.conversation import messages_in
from core.people.users import User
from core.ui import dialogs, show
from core.ui.datasets.rows import rows_address
from core.ui.datasets.rows.rows_address import RowsAddress
from core.ui.elements import record

MANY_FIELDS = 300  # 10,000 took 8 seconds to read and draw
PLACES = "_row_places"
ROLES = {"user": "person", "assistant": "neurology", "system": "settings", "tool": "build"}


def open_row(user: User, dataset: Dataset, version: Version, address: RowsAddress, page: Preview) -> None:
    """A drawer at the right with the address's row.

    Its neighbours are those of the view, of which ``page`` is shown.
    """

    @dialogs.dialog("Row", width="medium", position="right", icon=":material/article:", on_dismiss=_close)
    def drawer() -> None:
        with show.guarded():
            line = rows_address.read(version).row or address.row or 1
            _show_way(user, dataset, address, page, line)
            view = View(version=version.version, lines=[line], columns=_fields(version, address))
            rows = datasets.rows_of(user, dataset.id, view, limit=1, present=_as_is)
            if not rows.items:
                show.empty(
                    "There is no such row",
                    f"This version has {show.count(version.num_rows, 'row')}.",
                    icon="search_off",
                )
            for item in rows.items:
                show_row(item["data"], version.format, version.columns)

    drawer()


def _fields(version: Version, address: RowsAddress) -> list[str] | None:
    """None for all of them.

    Of a very wide table the shown ones come first, and the rest when it is asked for.
    """
    names = [column["name"] for column in version.columns]
    if len(names) <= MANY_FIELDS or st.toggle(
        f"All {len(names):,} fields (this takes a while)", key="row_all"
    ):
        return None
    st.caption(f"The first {MANY_FIELDS:,} fields, those of the table before the others.")
    return list(dict.fromkeys([*address.shown, *names]))[:MANY_FIELDS]


def _show_way(user: User, dataset: Dataset, address: RowsAddress, page: Preview, line: int) -> None:
    on_page = {item["line"]: page.offset + index for index, item in enumerate(page.items)}
    led = st.session_state.get(PLACES)
    # where the row stands in the view: on the page, or where an arrow has moved to
    at = on_page.get(line, led["at"] if led and led["line"] == line else None)
    with st.container(horizontal=True, vertical_alignment="center"):
        for step, name, icon, key in (
            (-1, "Previous", "arrow_back", "Left"),
            (1, "Next", "arrow_forward", "Right"),
        ):
            is_end = at is None or not 0 <= at + step < page.total
            st.button(
                name, key=f"row_{name.lower()}", icon=f":material/{icon}:", shortcut=key, disabled=is_end,
                on_click=_move, args=(user, dataset, address, (at or 0) + step),
            )  # fmt: skip
        place = f" · {at + 1:,} of {page.total:,}" if at is not None else ""
        st.caption(f"Row {line:,}{place}", width="content")


def _move(user: User, dataset: Dataset, address: RowsAddress, at: int) -> None:
    """To the row at a place of the view; the page below the drawer follows."""
    rows = datasets.rows_of(
        user, dataset.id, address.view.model_copy(update={"columns": address.shown[:1]}), limit=1, offset=at
    )
    for item in rows.items:
        st.session_state[PLACES] = {"line": item["line"], "at": at}
        rows_address.change(row=item["line"], page=at // address.size + 1)


def _close() -> None:
    rows_address.change(row=None)


def _as_is(value: Any) -> Any:
    return value


def show_row(data: dict[str, Any], format: str, columns: Sequence[dict[str, str]] = ()) -> None:
    """``columns``: those of its version, by which the ones that the format reads are known."""
    draw = {"chat": _show_chat, "preference": _show_preference, "completion": _show_completion}.get(format)
    known = formats.FORMATS[format]
    own = known.own_mapping(columns) or {role.name: role.name for role in known.roles}
    drawn = draw(data, own) if draw else set()
    record.show(
        "row_record", {name: value for name, value in data.items() if name not in drawn}, columns, whole=data
    )


def _show_chat(data: dict[str, Any], own: ColumnMapping) -> set[str]:
    _show_messages(data.get(own["messages"]))
    return {own["messages"]}


def _show_preference(data: dict[str, Any], own: ColumnMapping) -> set[str]:
    if "input" in own:
        asked = data.get(own["input"])
        opened = _decoded(asked)
        is_held = isinstance(opened, dict) and "messages" in opened
        _show_messages(opened["messages"] if is_held else asked, speaker="user")
    for name, title, colour in (
        ("preferred_output", "Preferred", "green"),
        ("non_preferred_output", "Not preferred", "red"),
    ):
        st.markdown(f":{colour}-badge[{title}]")
        _show_messages(data.get(own[name]), speaker="assistant")
    return set(own.values())


def _show_completion(data: dict[str, Any], own: ColumnMapping) -> set[str]:
    for role, speaker in (
        ("system", "system"),
        ("prompt", "user"),
        ("input", "user"),
        ("completion", "assistant"),
    ):
        value = data.get(own.get(role, ""))
        if value not in (None, "") or role in ("prompt", "completion"):
            messages = messages_in(value)
            _show_messages([{"role": speaker, "content": value}] if messages is None else messages)
    return set(own.values())


def _show_messages(messages: Any, *, speaker: str = "?") -> None:
    """Right or not. ``speaker``: of what is no list of messages but text."""
    opened = _decoded(messages)
    if opened is None:
        opened = [messages] if messages else []
    for message in opened if isinstance(opened, list) else [opened]:
        role = _role(message, speaker)
        with st.chat_message(
            role if role in ("user", "assistant") else "system",
            avatar=f":material/{ROLES.get(role, 'notes')}:",
        ):
            st.caption(show.plain(role))
            content = message.get("content", message.get("value")) if isinstance(message, dict) else message
            st.text(
                content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=2)
            )


def _role(message: Any, otherwise: str) -> str:
    """As ShareGPT names it, too."""
    if not isinstance(message, dict):
        return otherwise
    role = message.get("role") or message.get("from")
    return {"human": "user", "gpt": "assistant"}.get(str(role), str(role))


def _decoded(value: Any) -> Any:
    """Nested values may come as JSON text, depending on how the file was read."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None
