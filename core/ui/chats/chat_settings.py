"""The controls of a chat: model, dataset, title, system prompt, parameters.

They save themselves when they are changed.

The widgets live in ``st.session_state`` under ``chat_…``. ``load`` fills them whenever another chat is shown;
before the first message there is no chat yet, and ``read`` hands the values to the one that is then made.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import streamlit as st

from core import chats, datasets, models
from core.chats import commands
from core.errors import Conflict, LuthierError
from core.fields import parse, properties_of
from core.people.users import User
from core.ui import places, show
from core.ui.models.model_view import PARAMETERS
from core.ui.number_field import pick_number

SHOWN = "chat_shown"  # the id of the chat the widgets hold
NEW = "new"


def load(chat: chats.Chat | None, *, model_id: str | None, dataset_id: str | None) -> None:
    """Fill the widgets from the chat, or from what the address asked for."""
    state = st.session_state
    kept = state.get(SHOWN) == (chat.id if chat else NEW) and "chat_model" in state
    if kept:
        return
    state[SHOWN] = chat.id if chat else NEW
    state["chat_model"] = chat.model_id if chat else model_id
    state["chat_dataset"] = chat.dataset_id if chat else dataset_id
    state["chat_title"] = chat.title if chat else ""
    state["chat_system_prompt"] = (chat.system_prompt or "") if chat else ""
    for name in PARAMETERS:
        state[f"chat_{name}"] = chat.parameters.get(name) if chat else None


def read() -> dict[str, Any]:
    """What the widgets say, as the fields of ``NewChat``.

    The title is left out: a new chat is named after its first message.
    """
    state = st.session_state
    parameters = {name: state.get(f"chat_{name}") for name in PARAMETERS}
    return {
        "model_id": state.get("chat_model"),
        "dataset_id": state.get("chat_dataset"),
        "system_prompt": (state.get("chat_system_prompt") or "").strip() or None,
        "parameters": {name: value for name, value in parameters.items() if value is not None},
    }


def save(user: User) -> None:
    """Callback of every control. Before the first message there is nothing to save to."""
    chat_id = st.session_state.get(SHOWN)
    if not chat_id or chat_id == NEW:
        return
    values = read()
    title = str(st.session_state.get("chat_title") or "").strip()
    if title:
        values["title"] = title
    if values["model_id"] is None:  # it was deleted and no other was chosen yet
        del values["model_id"]
    try:
        kept = chats.get(user, chat_id).parameters
        values["parameters"] |= {name: value for name, value in kept.items() if name not in PARAMETERS}
        chats.update(user, chat_id, parse(chats.ChatChange, **values))
    except LuthierError as err:
        show.flash_error(err)


def offer_checkpoints(user: User, *wanted: str | None) -> dict[str, models.Model]:
    """Those of ``wanted`` that are checkpoints which can answer:
    they stand in the list beside the models of the registry."""
    offered = {}
    for name in filter(models.is_reference, filter(None, wanted)):
        with suppress(LuthierError):
            offered[name] = models.resolve(user, name).model
    return offered


def has_lost_model(chat: chats.Chat, offered: Mapping[str, models.Model]) -> bool:
    return chat.model_id is None or (models.is_reference(chat.model_id) and chat.model_id not in offered)


def say_why_gone(user: User, model_id: str | None) -> str:
    """Why what answered in a chat does so no more."""
    if model_id and models.is_reference(model_id):
        try:
            models.resolve(user, model_id)
        except Conflict as err:
            return show.plain(err.message)
        except LuthierError:
            return "The job whose checkpoint answered here was deleted. Choose a model to go on."
    return "The model of this chat was deleted. Choose another one to go on."


def pick_model(user: User, offered: Mapping[str, models.Model]) -> models.Model | None:
    chosen = st.selectbox(
        "Model",
        list(offered),
        index=None,
        format_func=lambda id_: offered[id_].name,
        key="chat_model",
        persist_state="page",
        on_change=save,
        args=(user,),
        placeholder="Choose a model",
        required=True,
        label_visibility="collapsed",
        width=230,
    )
    return offered.get(chosen or "")


def warm(user: User, model: models.Model) -> None:
    """Have the model loaded while the question is being typed; once per model and session."""
    if st.session_state.get("chat_warmed") != model.id:
        st.session_state["chat_warmed"] = model.id
        chats.warm(user, model.id)


def pick_dataset(user: User, offered: Mapping[str, datasets.Dataset]) -> datasets.Dataset | None:
    attached = offered.get(st.session_state.get("chat_dataset") or "")
    with st.popover(
        show.plain(attached.name) if attached else "Attach data", icon=":material/database:", key="chat_data"
    ):
        st.selectbox(
            "Dataset",
            list(offered),
            index=None,
            format_func=lambda id_: offered[id_].name,
            key="chat_dataset",
            persist_state="page",
            on_change=save,
            args=(user,),
            placeholder="None",
        )
        st.caption(commands.help_text())
        if not offered:
            places.link("datasets", "Add a dataset first", icon="add")
    return attached


def show_popover(user: User, chat: chats.Chat | None) -> None:
    with st.popover("Settings", icon=":material/tune:", key="chat_settings"):
        if chat:
            st.text_input(
                "Title", key="chat_title", persist_state="page", max_chars=200, on_change=save, args=(user,)
            )
        st.text_area(
            "System prompt",
            key="chat_system_prompt",
            persist_state="page",
            max_chars=20_000,
            height=110,
            on_change=save,
            args=(user,),
            placeholder="Instructions that stand before the conversation",
        )
        with st.grid(2, min_column_width=110):
            fields = properties_of(models.Parameters)
            for name in PARAMETERS:
                pick_number(
                    fields[name],
                    key=f"chat_{name}",
                    persist_state="page",
                    value=None,
                    placeholder="default",
                    on_change=save,
                    args=(user,),
                )
        if chat and st.button(
            "Delete this chat", key="chat_delete", icon=":material/delete:", type="tertiary"
        ):
            ask_delete(user, chat)


def ask_delete(user: User, chat: chats.Chat) -> None:
    text = (
        f"**{show.plain(chat.title)}** and its {show.count(chat.message_count, 'message')} will be gone. "
        f"This cannot be undone."
    )
    show.confirm("chat_delete", "Delete this chat?", text, lambda: _delete(user, chat.id))


def _delete(user: User, chat_id: str) -> None:
    chats.delete(user, chat_id)
    st.query_params.clear()
    show.flash("The chat was deleted.", icon="delete")
