"""Nothing written is lost: other answers and other words stand beside what was there."""

import random

import pytest
from sqlalchemy import select

from core import chats
from core.db import reading
from core.errors import Conflict, NotFound, Unavailable, ValidationError
from core.fields import parse
from core.people.users import User
from core.tables import MessageRow
from tests.core.chats.test_chats import Echo, begin, chat, echo, echo_model, finish, say

__all__ = ["chat", "echo", "echo_model"]


def shown(user: User, chat: chats.Chat) -> list[str]:
    found = chats.list_messages(user, chats.MessageList(chat_id=chat.id, limit=100)).items
    return [message.content for message in found]


def edit(user: User, chat: chats.Chat, old: str, content: str) -> chats.Sent:
    return say(user, chat, content, replaces=old)


def test_another_answer_stands_beside_the_first_and_both_can_be_shown(ada: User, chat: chats.Chat) -> None:
    first = say(ada, chat, "one").reply
    assert first
    second = finish(ada, chats.regenerate(ada, chat.id).id)
    assert list(second.siblings) == [first.id, second.id]
    assert shown(ada, chat) == ["one", "one"]
    chats.show(ada, first.id)
    (_, answer) = chats.list_messages(ada, chats.MessageList(chat_id=chat.id)).items
    assert (answer.id, list(answer.siblings)) == (first.id, [first.id, second.id])


def test_the_first_answer_is_there_before_and_while_another_is_written(
    ada: User, echo: Echo, chat: chats.Chat
) -> None:
    first = say(ada, chat, "one").reply
    assert first
    echo.failure = Unavailable("No model.")
    failed = finish(ada, chats.regenerate(ada, chat.id).id)
    assert failed.error
    assert chats.get_message(ada, first.id).content == "one"
    chats.show(ada, first.id)
    assert shown(ada, chat) == ["one", "one"]


def test_other_words_keep_the_question_its_answer_and_what_followed(ada: User, chat: chats.Chat) -> None:
    old = say(ada, chat, "one").message
    say(ada, chat, "two")
    new = edit(ada, chat, old.id, "ein").message
    assert shown(ada, chat) == ["ein", "ein"]
    assert list(new.siblings) == [old.id, new.id]
    assert chats.get(ada, chat.id).message_count == 2
    chats.show(ada, old.id)
    assert shown(ada, chat) == ["one", "one", "two", "two"]


def test_a_model_reads_only_what_is_shown(ada: User, echo: Echo, chat: chats.Chat) -> None:
    old = say(ada, chat, "one").message
    edit(ada, chat, old.id, "ein")
    say(ada, chat, "zwei")
    assert [message["content"] for message in echo.asked[-1].messages] == ["ein", "ein", "zwei"]


def test_an_edit_that_fails_shows_again_what_was_there(ada: User, echo: Echo, chat: chats.Chat) -> None:
    old = say(ada, chat, "one").message
    echo.failure = Unavailable("No model.")
    with pytest.raises(Unavailable):
        edit(ada, chat, old.id, "x")
    assert shown(ada, chat) == ["one", "one"]


def test_nothing_is_shown_or_replaced_while_a_reply_is_written(
    ada: User, echo: Echo, chat: chats.Chat
) -> None:
    import threading

    old = say(ada, chat, "one")
    assert old.reply
    echo.gate = threading.Semaphore(0)
    growing = begin(ada, chat, "two")
    for act in (
        lambda: chats.show(ada, old.message.id),
        lambda: say(ada, chat, "x", replaces=old.message.id, generate=False),
        lambda: chats.regenerate(ada, chat.id),
    ):
        with pytest.raises(Conflict, match="still being written"):
            act()
    chats.stop(ada, growing.id)
    finish(ada, growing.id)


def test_only_a_shown_message_of_the_same_chat_is_replaced(
    ada: User, bob: User, chat: chats.Chat, echo_model: str
) -> None:
    old = say(ada, chat, "one")
    other = chats.create(ada, chats.NewChat(model_id=echo_model))
    assert old.reply
    for replaced in (old.reply.id, "msg_nothing"):
        with pytest.raises(NotFound):
            edit(ada, chat, replaced, "x")
    with pytest.raises(NotFound):
        edit(ada, other, old.message.id, "x")
    edit(ada, chat, old.message.id, "ein")
    with pytest.raises(Conflict, match="not shown any more"):
        edit(ada, chat, old.message.id, "uno")
    with pytest.raises(NotFound):
        chats.show(bob, old.message.id)


def test_deleting_a_shown_answer_shows_the_one_beside_it(ada: User, chat: chats.Chat) -> None:
    first = say(ada, chat, "one").reply
    assert first
    second = finish(ada, chats.regenerate(ada, chat.id).id)
    chats.delete_message(ada, second.id)
    found = chats.list_messages(ada, chats.MessageList(chat_id=chat.id)).items
    assert [message.id for message in found][1:] == [first.id]


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_clicked_what_is_shown_is_one_line_and_all_else_is_there(
    ada: User, chat: chats.Chat, seed: int
) -> None:
    """Say, edit, regenerate, show and delete in any order."""
    dice, written = random.Random(seed), 0
    for number in range(25):
        found = chats.list_messages(ada, chats.MessageList(chat_id=chat.id, limit=100)).items
        questions = [message for message in found if message.role == "user"]
        act = dice.choice(["say", "edit", "again", "show", "show", "delete"]) if questions else "say"
        if act == "say":
            written += 2 if say(ada, chat, f"words {number}").reply else 0
        elif act == "edit":
            edit(ada, chat, dice.choice(questions).id, f"other words {number}")
            written += 2
        elif act == "again":
            finish(ada, chats.regenerate(ada, chat.id).id)
            written += 1
        elif act == "show":
            chats.show(ada, dice.choice(dice.choice(found).siblings))
        else:
            chats.delete_message(ada, dice.choice(found).id)
            written -= 1
        with reading() as session:
            rows = {row.id: row for row in session.scalars(select(MessageRow).filter_by(chat_id=chat.id))}
        assert len(rows) == written
        line = sorted((row for row in rows.values() if row.shown), key=lambda row: row.position)
        assert [row.parent_id for row in line] == [None, *(row.id for row in line)][: len(line)]
        assert not rows or line
        assert all(row.parent_id is None or row.parent_id in rows for row in rows.values())


@pytest.mark.parametrize("content", [" ", "\n\t", "\u200b", "\u00a0 \u2003", "\u200d\ufeff"])
def test_a_blank_message_is_refused(content: str) -> None:
    with pytest.raises(ValidationError) as refused:
        parse(chats.NewMessage, chat_id="chat_x", content=content)
    assert [(d.field, d.message) for d in refused.value.details] == [("content", "must not be blank")]


def test_a_chat_is_named_after_its_first_message_unless_it_has_a_name(ada: User, echo_model: str) -> None:
    unnamed = chats.create(ada, chats.NewChat(model_id=echo_model))
    say(ada, unnamed, "How do I  return\nan item?")
    say(ada, unnamed, "And then?")
    assert chats.get(ada, unnamed.id).title == "How do I return an item?"
    named = chats.create(ada, chats.NewChat(model_id=echo_model, title="Returns"))
    say(ada, named, "x" * 200, generate=False)
    assert chats.get(ada, named.id).title == "Returns"
    long = chats.create(ada, chats.NewChat(model_id=echo_model))
    say(ada, long, "x" * 200, generate=False)
    assert chats.get(ada, long.id).title == "x" * 60


def test_a_reply_says_how_many_messages_its_model_has_not_read(
    ada: User, echo: Echo, chat: chats.Chat
) -> None:
    for number in range(202):
        say(ada, chat, str(number), generate=False)
    reply = say(ada, chat, "hi").reply
    assert reply
    assert reply.left_out == 3  # 203 messages, of which at most 200 are read
    assert len(echo.asked[-1].messages) == 200
