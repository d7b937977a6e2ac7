"""Talk to a model: /chat, /chat?id=chat_…, /chat?model=mdl_…&dataset=ds_… for a new one.

A checkpoint answers like a model: /chat?model=ftj_…:step-N.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import streamlit as st

from core import chats, datasets, models
from core.errors import LuthierError, NotFound
from core.fields import parse
from core.listing import Listed
from core.people.users import User
from core.ui import missing, places, show, sign_in
from core.ui.chats import chat_settings, chat_view, more, second_tries

MESSAGES, CHATS = 100, 50  # drawn at first, and more with each click
COLUMNS = (2, 7)  # the list of chats, the chat
Models = dict[str, models.Model]
Tables = dict[str, datasets.Dataset]
Picked = tuple[models.Model | None, datasets.Dataset | None]


def ask(text: str) -> None:
    """Send a message and have the server begin the reply.

    A callback: nothing pressed later can cut it short.
    """
    owner = sign_in.require_user()
    try:
        chat_id = places.query("id") or make_chat(owner)
        chats.start(owner, parse(chats.NewMessage, chat_id=chat_id, content=text))
    except LuthierError as err:
        show.flash_error(err)
        st.session_state["chat_input"] = text
        if isinstance(err, NotFound):  # the chat is gone: the text may begin another
            st.query_params.clear()
        return
    st.query_params.clear()
    st.query_params["id"] = chat_id


def make_chat(owner: User) -> str:
    return chats.create(owner, parse(chats.NewChat, **chat_settings.read())).id


def ask_input() -> None:
    text = str(st.session_state["chat_input"] or "")
    if text.strip():
        ask(text)


def read_messages(owner: User, chat: chats.Chat) -> Listed[chats.Message]:
    """The last messages, oldest first."""

    def newest(limit: int, offset: int) -> Listed[chats.Message]:
        asked = chats.MessageList(chat_id=chat.id, limit=limit, offset=offset, sort="-created_at")
        return chats.list_messages(owner, asked)

    found = more.read(chat.id, newest, page=MESSAGES)
    return replace(found, items=list(reversed(found.items)))


def read_chats(owner: User) -> Listed[chats.Chat]:
    def newest(limit: int, offset: int) -> Listed[chats.Chat]:
        return chats.list_chats(owner, chats.ChatList(limit=limit, offset=offset, sort="-updated_at"))

    return more.read("chats", newest, page=CHATS)


def show_conversation(
    owner: User, chat: chats.Chat, page: Listed[chats.Message], names: dict[str, str]
) -> None:
    """The complete messages; the one that grows is followed last, when all else is drawn."""
    is_quiet = page.items[-1].state == "complete"
    if page.total > len(page.items):
        st.button(
            f"Earlier messages ({page.total - len(page.items):,})",
            key="chat_earlier",
            icon=":material/expand_less:",
            type="tertiary",
            width="stretch",
            on_click=more.show_more,
            args=(chat.id,),
        )
    for message in page.items:
        if message.state == "complete" and message.id == st.session_state.get(second_tries.EDITED):
            second_tries.show_edit(owner, message)
        elif message.state == "complete":
            chat_view.show_message(message, names.get(message.model_id or ""))
            if is_quiet:
                chat_view.show_siblings(owner, message)
    if is_quiet:
        second_tries.show_buttons(owner, chat, page.items)


def show_input(owner: User, growing: chats.Message | None, model: models.Model | None) -> None:
    """Pinned to the bottom.

    Only a chat input outside of any container makes the browser scroll along with the messages.
    """
    if growing:
        stop = partial(chats.stop, owner, growing.id)
        with st.bottom.container(horizontal_alignment="center", key="chat_above_input"):
            st.button(
                "Stop", key="chat_stop", icon=":material/stop_circle:", on_click=show.attempt, args=(stop,)
            )
    waiting = (
        "The reply is being written"
        if growing
        else f"Message {model.name}"
        if model
        else "Choose a model first"
    )
    st.chat_input(
        waiting,
        key="chat_input",
        max_chars=100_000,
        on_submit=ask_input,
        disabled=bool(growing) or model is None,
    )
    with st.bottom.container(key="chat_below_input"):
        chat_view.show_small_print(model)


def list_chats(recent: Listed[chats.Chat], chat: chats.Chat | None, *, key: str) -> None:
    chat_view.show_chats(recent.items, chat.id if chat else None, total=recent.total, key=key)


def load_settings(
    chat: chats.Chat | None, recent: Sequence[chats.Chat], offered: Models, tables: Tables
) -> None:
    """A new chat takes what the address asks for, else the model of the last chat, else the newest one."""
    model, data = places.query("model"), places.query("dataset")
    usual = next((c.model_id for c in recent if c.model_id in offered), next(iter(offered), None))
    chat_settings.load(
        chat, model_id=model if model in offered else usual, dataset_id=data if data in tables else None
    )  # fmt: skip
    if st.session_state["chat_model"] not in offered:  # a checkpoint may be deleted while its chat is open
        st.session_state["chat_model"] = None


def show_controls(
    user: User, chat: chats.Chat | None, recent: Listed[chats.Chat], offered: Models, tables: Tables
) -> Picked:
    with st.container(horizontal=True, vertical_alignment="center", key="chat_controls"):
        with st.container(key="chat_list_phone", width="content"):
            phone = st.popover("Chats", icon=":material/forum:", key="chats_popover", on_change="rerun")
            if phone.open:
                with phone:
                    list_chats(recent, chat, key="chats_phone")
        picked = chat_settings.pick_model(user, offered), chat_settings.pick_dataset(user, tables)
        chat_settings.show_popover(user, chat)
    if chat and chat_settings.has_lost_model(chat, offered):
        st.warning(chat_settings.say_why_gone(user, chat.model_id), icon=":material/deployed_code_alert:")
    return picked


user = sign_in.require_user()
st.html(chat_view.LAYOUT)
with show.guarded():
    recent = read_chats(user)
    chat = None
    if places.query("id"):
        chat = missing.found_or_list(
            partial(chats.get, user), "chat", page="chat", all_of_them="All chats", icon="chat"
        )
    offered = {
        m.id: m
        for m in models.list_models(user, models.ModelList(limit=100)).items
        if m.capabilities.get("chat")
    }
    tables = {
        d.id: d for d in datasets.list_datasets(user, datasets.DatasetList(status="ready", limit=100)).items
    }
    offered |= chat_settings.offer_checkpoints(user, chat.model_id if chat else None, places.query("model"))
    load_settings(chat, recent.items, offered, tables)
    side, main = st.columns(COLUMNS, gap="medium")
    with side.container(key="chat_list", gap="xsmall"):
        list_chats(recent, chat, key="chats")
    with main:
        show.flush_flash()
        model, data = show_controls(user, chat, recent, offered, tables)
        found = read_messages(user, chat) if chat else None
        growing = (
            next((message for message in found.items if message.state == "generating"), None)
            if found
            else None
        )
        # While a reply grows, what the last run drew and this one does not would stay, faded; emptying the
        # place first removes it.
        area = st.empty().container() if growing else st.container()
        with area:
            if chat and found and found.items:
                show_conversation(user, chat, found, {id_: m.name for id_, m in offered.items()})
            else:
                hints = chat_view.build_hints(user, model, with_data=data is not None)
                chat_view.show_welcome(model, hints, ask, data=data.name if data else None)
    show_input(user, growing, model)
    if model:
        chat_settings.warm(user, model)
    if growing:
        with area:
            chat_view.follow(user, growing)
