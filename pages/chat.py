"""Talk to a model: /chat, /chat?id=chat_…, /chat?model=mdl_…&dataset=ds_… for a new one.

A checkpoint answers like a model: /chat?model=ftj_…:step-N.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import streamlit as st

from core import chats, datasets, models
from core.errors import LuthierError
from core.fields import parse
from core.listing import Listed
from core.people.users import User
from core.ui import places, show, sign_in
from core.ui.chats import chat_settings, chat_view

HISTORY = 100  # messages drawn
TITLE_LENGTH = 60
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
        chat_id = places.query("id") or make_chat(owner, text)
        chats.start(owner, parse(chats.NewMessage, chat_id=chat_id, content=text))
    except LuthierError as err:
        show.flash_error(err)
        st.session_state["chat_input"] = text
        return
    st.query_params.clear()
    st.query_params["id"] = chat_id


def make_chat(owner: User, text: str) -> str:
    title = " ".join(text.split())[:TITLE_LENGTH] or "New chat"
    return chats.create(owner, parse(chats.NewChat, title=title, **chat_settings.read())).id


def ask_input() -> None:
    text = str(st.session_state["chat_input"] or "")
    if text.strip():
        ask(text)


def read_messages(owner: User, chat: chats.Chat) -> Listed[chats.Message]:
    """The last messages, oldest first."""
    page = chats.list_messages(owner, chats.MessageList(chat_id=chat.id, limit=HISTORY, sort="-created_at"))
    return replace(page, items=list(reversed(page.items)))


def show_conversation(
    owner: User, chat: chats.Chat, page: Listed[chats.Message], names: dict[str, str]
) -> None:
    """The complete messages; the one that grows is followed last, when all else is drawn."""
    if page.total > len(page.items):
        st.caption(f"The last {len(page.items)} of {page.total:,} messages.", text_alignment="center")
    for message in page.items:
        if message.state == "complete":
            chat_view.show_message(message, names.get(message.model_id or ""))
    if page.items and page.items[-1].state == "complete":
        show_second_tries(owner, chat, page.items)


def show_second_tries(user: User, chat: chats.Chat, messages: Sequence[chats.Message]) -> None:
    """Another answer to the last question, or the question in other words."""
    question = next((message for message in reversed(messages) if message.role == "user"), None)
    if question is None:
        return
    again = "Regenerate" if messages[-1].role == "assistant" else "Answer"
    regenerate = partial(chats.regenerate, user, chat.id)
    with st.container(horizontal=True, key="chat_second_tries"):
        st.button(
            again,
            key="chat_regenerate",
            icon=":material/refresh:",
            type="tertiary",
            on_click=show.attempt,
            args=(regenerate,),
        )
        st.button(
            "Edit",
            key="chat_edit",
            icon=":material/edit:",
            type="tertiary",
            on_click=edit,
            args=(user, question),
        )


def edit(user: User, question: chats.Message) -> None:
    """Take the last question back into the input."""
    show.attempt(partial(chats.rewind, user, question.id))
    st.session_state["chat_input"] = question.content


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
    user: User, chat: chats.Chat | None, recent: Sequence[chats.Chat], offered: Models, tables: Tables
) -> Picked:
    with st.container(horizontal=True, vertical_alignment="center", key="chat_controls"):
        with st.container(key="chat_list_phone", width="content"):
            phone = st.popover("Chats", icon=":material/forum:", key="chats_popover", on_change="rerun")
            if phone.open:
                with phone:
                    chat_view.show_chats(recent, chat.id if chat else None, key="chats_phone")
        picked = chat_settings.pick_model(user, offered), chat_settings.pick_dataset(user, tables)
        chat_settings.show_popover(user, chat)
    if chat and chat_settings.has_lost_model(chat, offered):
        st.warning(chat_settings.say_why_gone(user, chat.model_id), icon=":material/deployed_code_alert:")
    return picked


user = sign_in.require_user()
st.html(chat_view.LAYOUT)
with show.guarded():
    recent = chats.list_chats(user, chats.ChatList(limit=50, sort="-updated_at")).items
    chat = chats.get(user, wanted) if (wanted := places.query("id")) else None
    offered = {
        m.id: m
        for m in models.list_models(user, models.ModelList(limit=100)).items
        if m.capabilities.get("chat")
    }
    tables = {
        d.id: d for d in datasets.list_datasets(user, datasets.DatasetList(status="ready", limit=100)).items
    }
    offered |= chat_settings.offer_checkpoints(user, chat.model_id if chat else None, places.query("model"))
    load_settings(chat, recent, offered, tables)
    side, main = st.columns(COLUMNS, gap="medium")
    with side.container(key="chat_list", gap="xsmall"):
        chat_view.show_chats(recent, chat.id if chat else None, key="chats")
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
