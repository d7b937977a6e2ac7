"""Talk to a model: /chat, /chat?id=chat_…, /chat?model=mdl_…&dataset=ds_… for a new one."""

import streamlit as st

from core import chats, datasets, models
from core.errors import LuthierError
from core.fields import parse
from core.ui import chat_settings, chat_view, places, session, show
from core.users import User

HISTORY = 100  # messages drawn
TITLE_LENGTH = 60
COLUMNS = (2, 7)  # the list of chats, the chat


def ask(text: str) -> None:
    """Send a message and have the server begin the reply. A callback: nothing pressed later can cut it short."""
    owner = session.require_user()
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


def act(action: object, *values: object) -> None:
    try:
        action(*values)  # type: ignore[operator]
    except LuthierError as err:
        show.flash_error(err)


def show_conversation(user: User, chat: chats.Chat, names: dict[str, str]) -> chats.Message | None:
    """The stored messages; returns the reply that still grows."""
    found = chats.list_messages(user, chats.MessageList(chat_id=chat.id, limit=HISTORY, sort="-created_at"))
    messages = list(reversed(found.items))
    if found.total > len(messages):
        st.caption(f"The last {len(messages)} of {found.total:,} messages.", text_alignment="center")
    growing = next((m for m in messages if m.state == "generating"), None)
    for message in messages:
        if message is not growing:
            chat_view.show_message(message, names.get(message.model_id or ""))
    last = messages[-1] if messages else None
    if last and growing is None:
        show_second_tries(user, chat, messages)
    return growing


def show_second_tries(user: User, chat: chats.Chat, messages: list[chats.Message]) -> None:
    """Another answer to the last question, or the question in other words."""
    asked = next((message for message in reversed(messages) if message.role == "user"), None)
    if asked is None:
        return
    again = "Regenerate" if messages[-1].role == "assistant" else "Answer"
    with st.container(horizontal=True, key="chat_second_tries"):
        st.button(
            again, key="chat_regenerate", icon=":material/refresh:", type="tertiary", on_click=act,
            args=(chats.regenerate, user, chat.id),
        )  # fmt: skip
        st.button("Edit", key="chat_edit", icon=":material/edit:", type="tertiary", on_click=edit, args=(user, asked))


def edit(user: User, asked: chats.Message) -> None:
    """Take the last question back into the input."""
    act(chats.rewind, user, asked.id)
    st.session_state["chat_input"] = asked.content


def show_input(user: User, growing: chats.Message | None, model: models.Model | None) -> None:
    left, right = st.bottom.columns(COLUMNS, gap="medium")
    left.container(key="chat_below_list")
    with right:
        if growing:
            with st.container(horizontal_alignment="center"):
                st.button(
                    "Stop", key="chat_stop", icon=":material/stop_circle:", on_click=act, args=(chats.stop, user, growing.id)
                )  # fmt: skip
        waiting = "The reply is being written" if growing else f"Message {model.name}" if model else "Choose a model first"
        st.chat_input(waiting, key="chat_input", max_chars=100_000, on_submit=ask_input, disabled=bool(growing) or model is None)
        chat_view.show_small_print(model)


user = session.require_user()
st.html(chat_view.LAYOUT)
with show.guarded():
    recent = chats.list_chats(user, chats.ChatList(limit=50, sort="-updated_at")).items
    chat = chats.get(user, wanted) if (wanted := places.query("id")) else None
    offered = {m.id: m for m in models.list_models(user, models.ModelList(limit=100)).items if m.capabilities.get("chat")}
    tables = {d.id: d for d in datasets.list_datasets(user, datasets.DatasetList(status="ready", limit=100)).items}
    first = next((c.model_id for c in recent if c.model_id in offered), next(iter(offered), None))
    asked_model, asked_data = places.query("model"), places.query("dataset")
    chat_settings.load(
        chat,
        model_id=asked_model if asked_model in offered else first,
        dataset_id=asked_data if asked_data in tables else None,
    )
    side, main = st.columns(COLUMNS, gap="medium")
    with side.container(key="chat_list", gap="xsmall"):
        chat_view.show_chats(recent, chat.id if chat else None, key="chats")
    with main:
        show.flush_flash()
        with st.container(horizontal=True, vertical_alignment="center", key="chat_controls"):
            with st.container(key="chat_list_phone", width="content"):
                phone = st.popover("Chats", icon=":material/forum:", key="chats_popover", on_change="rerun")
                if phone.open:
                    with phone:
                        chat_view.show_chats(recent, chat.id if chat else None, key="chats_phone")
            model = chat_settings.pick_model(user, offered)
            data = chat_settings.pick_dataset(user, tables)
            chat_settings.show_popover(user, chat)
        if chat and chat.model_id is None:
            st.warning("The model of this chat was deleted. Choose another one to go on.", icon=":material/deployed_code_alert:")
        growing = show_conversation(user, chat, {id_: m.name for id_, m in offered.items()}) if chat else None
        if chat is None or not chat.message_count:
            hints = chat_view.build_hints(user, model, with_data=data is not None)
            chat_view.show_welcome(model, hints, ask, data=data.name if data else None)
    show_input(user, growing, model)
    if growing:
        with main:
            chat_view.follow(user, growing)
