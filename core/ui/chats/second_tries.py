"""Another answer to the last question, or the question in other words.

Neither takes anything away: what was there stands beside it, see ``core.chats.siblings``.
"""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from core import chats
from core.errors import LuthierError
from core.fields import parse
from core.people.users import User
from core.ui import conversation, show

EDITED, EDITED_TEXT = "chat_edited", "chat_edited_text"  # the message that is being written anew


def show_buttons(user: User, chat: chats.Chat, messages: Sequence[chats.Message]) -> None:
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
            args=(question,),
        )


def edit(question: chats.Message) -> None:
    """Callback: the question becomes a field. Nothing changes before it is sent."""
    st.session_state[EDITED], st.session_state[EDITED_TEXT] = question.id, question.content


def show_edit(owner: User, question: chats.Message) -> None:
    with st.chat_message(question.role, avatar=conversation.AVATARS[question.role]):
        st.text_area(
            "The message in other words",
            key=EDITED_TEXT,
            persist_state="page",
            max_chars=100_000,
            height="content",
            label_visibility="collapsed",
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Send", key="chat_edit_send", type="primary", on_click=send_edit, args=(owner, question)
            )
            st.button("Cancel", key="chat_edit_cancel", type="tertiary", on_click=end_edit)
            st.caption("What was there before stays: turn back to it with the arrows.")


def send_edit(owner: User, question: chats.Message) -> None:
    text = str(st.session_state.get(EDITED_TEXT) or "")
    try:
        new = parse(chats.NewMessage, chat_id=question.chat_id, content=text, replaces=question.id)
        chats.start(owner, new)
    except LuthierError as err:
        show.flash_error(err)
        return
    end_edit()


def end_edit() -> None:
    st.session_state.pop(EDITED, None)
