"""How a chat is drawn: its messages, the reply that grows, the list of chats, and the controls around them.

A reply belongs to the server. ``follow`` only watches it, so leaving the page, closing the tab or opening a
second one changes nothing; what stops it is the Stop button, which asks the service.
"""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from core import chats, datasets, fine_tuning, models
from core.chats import commands
from core.errors import LuthierError
from core.people.users import User
from core.ui import conversation, digits, markdown, show
from core.ui.chats import more, reasoning
from core.ui.models import model_view

FRAME_SECONDS = 1 / 12  # every frame sends the whole text again
EVERY_SECONDS = 0.5  # how often the browser asks how far a reply is
FIRST_SECONDS, BURST_SECONDS = 0.3, 1.0  # what such a look lasts: at first, and when the page is drawn
SETTLE_SECONDS = 5.0  # until then the browser has all the time for the page
THINKING, LOADING = ":shimmer[Thinking …]", ":shimmer[Loading the model …]"
LOADING_SECONDS = 3.0  # a model that is loaded has begun by then
FINISHED = {"length": "cut at the longest answer", "cancelled": "stopped", "error": "failed"}
SMALL_TALK = ("Hello! Who are you?", "What can you do?", "Thank you for your help!")
EXAMPLES = 3
# A page does not know how wide it is, so the browser decides: beside the messages on a desk, a popover above
# them on a phone.
LAYOUT = """<style>
[class*="st-key-chats_"] button { padding-inline: 0.75rem; }
[class*="st-key-chats_"] button, [class*="st-key-chats_"] button > * {
  justify-content: flex-start; text-align: left;
}
[data-testid="stColumn"]:has(.st-key-chat_list) { position: sticky; top: 4rem; align-self: flex-start; }
@media (max-width: 640px) { [data-testid="stColumn"]:has(.st-key-chat_list) { display: none; } }
@media (min-width: 641px) {
  [data-testid="stLayoutWrapper"]:has(> .st-key-chat_list_phone) { display: none; }
  .st-key-chat_input, .st-key-chat_above_input, .st-key-chat_below_input {
    width: calc(100% * 7 / 9 - 1rem); align-self: flex-end;
  }
}
</style>"""


def show_message(message: chats.Message, model: str | None) -> None:
    """One stored message: text, or the table that a command has asked
    for, and in small print where it came from."""
    with st.chat_message(message.role, avatar=conversation.AVATARS.get(message.role)):
        if message.content and message.role == "assistant":
            show_answer(message.content)
        elif message.content:
            st.markdown(markdown.verbatim(message.content))
        if message.table:
            show_table(message.id, message.table)
        if message.error:
            st.error(
                show.plain(str(message.error.get("message") or "The reply failed.")), icon=":material/error:"
            )
        if message.role == "assistant" and message.state == "complete":
            st.caption(describe_reply(message, model))
        if message.left_out:
            left_out = show.count(message.left_out, "earlier message")
            why = "the conversation is longer than the model can read"
            st.caption(f":material/content_cut: {left_out} left out, because {why}.")


def show_answer(text: str) -> None:
    """What the model answers, and folded what it wrote to itself before."""
    for part in reasoning.split(text):
        if part.is_reasoning:
            with st.expander("Reasoning", icon=":material/psychology:"):
                st.markdown(markdown.as_written(part.text))
        else:
            st.markdown(markdown.as_written(part.text))


def show_siblings(user: User, message: chats.Message) -> None:
    """``2 of 3``: other answers to the same question, or the question in other words."""
    place, total = list(message.siblings).index(message.id), len(message.siblings)
    if total == 1:
        return
    with st.container(
        horizontal=True, vertical_alignment="center", gap="xsmall", key=f"chat_siblings_{message.id}"
    ):
        for step, icon, word in ((-1, "chevron_left", "Earlier"), (1, "chevron_right", "Later")):
            there = place + step
            st.button(
                f":material/{icon}:",
                key=f"chat_{word.lower()}_{message.id}",
                help=f"{word} version",
                type="tertiary",
                disabled=not 0 <= there < total,
                on_click=show.attempt,
                args=(partial(chats.show, user, message.siblings[there % total]),),
            )
            if step == -1:
                st.caption(f"{place + 1} of {total}", width="content")


def describe_reply(message: chats.Message, model: str | None) -> str:
    """``support-bot · 54 tokens · stopped``"""
    usage = message.usage or {}
    tokens = usage.get("completion_tokens")
    words = [
        describe_table(message.table) if message.table else show.plain(model or ""),
        show.count(int(tokens), "token") if tokens else "",
        FINISHED.get(message.finish_reason or "", ""),
    ]
    return " · ".join(word for word in words if word)


def show_table(key: str, table: dict[str, Any]) -> None:
    """Rows of a query: names made unique, since SQL allows a name twice."""
    names: list[str] = []
    for column in table["columns"]:
        name = str(column["name"])
        names.append(name if name not in names else f"{name} ({len(names) + 1})")
    frame = pd.DataFrame(table["rows"], columns=names)
    st.dataframe(
        frame,
        hide_index=True,
        placeholder=digits.NULL,
        key=f"chat_table_{key}",
        alt="Result of the query",
    )


def describe_table(table: dict[str, Any]) -> str:
    rows = show.count(int(table.get("row_count") or len(table["rows"])), "row")
    return (
        f"{rows}{', the rest is left out' if table.get('truncated') else ''} · from the dataset, "
        f"without a model"
    )


def follow(user: User, reply: chats.Message) -> None:
    """Draw a reply while it grows, then run the page again to show it as stored.

    The browser asks for it again and again, so that it has time for the rest of the page: with twelve frames
    a second from the first moment on, a slow one did not come to drawing the Stop button for 22 seconds.
    """
    _follow_on(user, reply.id, time.monotonic())


@st.fragment(run_every=EVERY_SECONDS)
def _follow_on(user: User, reply_id: str, began: float) -> None:
    """For a moment: at first only what is there, later about twelve times a second what is new."""
    now = time.monotonic()
    is_settled = now - began > SETTLE_SECONDS
    until = now + (BURST_SECONDS if is_settled else FIRST_SECONDS)
    with st.chat_message("assistant", avatar=conversation.AVATARS["assistant"]):
        slot = st.empty()
        text, draw_at = "", now
        for part in chats.tail(user, reply_id):
            if isinstance(part, chats.Message):
                st.rerun()
            text += part.text
            now = time.monotonic()
            if now >= draw_at:
                answer = reasoning.answer_of(text)
                waiting = LOADING if now - began > LOADING_SECONDS else THINKING
                slot.markdown(markdown.as_written(f"{answer} ▌") if answer.strip() else waiting)
                # a long text takes a fifth of a core, not a whole one
                pause = max(FRAME_SECONDS, 4 * (time.monotonic() - now)) if is_settled else FIRST_SECONDS
                draw_at = time.monotonic() + pause
            if now >= until:
                return


def show_chats(chat_list: Sequence[chats.Chat], current: str | None, *, total: int, key: str) -> None:
    """The list of chats, newest first; the open one stands out. ``total``: how many there are."""
    st.button(
        "New chat", key=f"{key}_new", icon=":material/add:", width="stretch", on_click=open_chat, args=(None,)
    )
    for chat in chat_list:
        st.button(
            show.plain(chat.title),
            key=f"{key}_{chat.id}",
            type="secondary" if chat.id == current else "tertiary",
            width="stretch",
            wrap=False,
            help=f"{show.count(chat.message_count, 'message')}, {show.ago(chat.updated_at)}",
            on_click=open_chat,
            args=(chat.id,),
        )
    if not chat_list:
        st.caption("Your chats will be listed here.")
    if len(chat_list) < total:
        st.button(
            "Older chats",
            key=f"{key}_more",
            icon=":material/expand_more:",
            type="tertiary",
            on_click=more.show_more,
            args=("chats",),
        )


def open_chat(chat_id: str | None) -> None:
    """Show another chat: the address says which, so the link can be kept."""
    st.query_params.clear()
    if chat_id:
        st.query_params["id"] = chat_id


def show_welcome(model: models.Model | None, hints: Sequence[str], ask: Any, *, data: str | None) -> None:
    """What an empty chat shows: who answers, and something to press."""
    st.space("large")
    who = show.plain(model.name) if model else "a model"
    st.markdown(f"### Ask {who} anything it has learned", text_alignment="center", anchors=False)
    names = " and ".join(f"`/{command.name}`" for command in commands.about_data())
    if data:
        about = f"{show.plain(data)} is attached: {names} answer about it without any model."
    else:
        about = f"Attach a dataset above to question it here with {names}."
    st.caption(about, text_alignment="center")
    with st.container(horizontal=True, horizontal_alignment="center", key="chat_hints"):
        for index, hint in enumerate(hints):
            shown = hint if len(hint) <= 60 else hint[:57] + "…"
            st.button(show.plain(shown), key=f"chat_hint_{index}", on_click=ask, args=(hint,))


def build_hints(user: User, model: models.Model | None, *, with_data: bool) -> list[str]:
    """Questions the model has learned to answer, if it was tuned;
    small talk for a base; commands when a dataset is attached."""
    examples = [command.example for command in commands.about_data()] if with_data else []
    if model is None:
        return examples
    return examples + (_learned_questions(user, model) or list(SMALL_TALK))


def _learned_questions(user: User, model: models.Model) -> list[str]:
    """The first user messages of the rows the newest version was trained on;
    [] when there are none or they are gone."""
    try:
        version = models.resolve(user, model.id).version
        if version is None or not version.dataset_version_id or not version.finetune_job_id:
            return []
        columns = fine_tuning.get(user, version.finetune_job_id).columns
        rows = datasets.training_preview(user, version.dataset_version_id, columns, limit=EXAMPLES)
    except LuthierError:
        return []
    questions = (
        next((m["content"] for m in getattr(row, "messages", ()) if m["role"] == "user"), None)
        for _, row in rows
    )
    return [question for question in questions if question]


def show_small_print(model: models.Model | None) -> None:
    """Below the input, wherever the starter model, or one that was tuned from it, answers."""
    note = model_view.starter_note(model) if model else None
    if note:
        st.caption(note, text_alignment="center")
