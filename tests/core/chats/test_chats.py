"""Chats: what is stored, who answers, how a reply grows, stops, fails and survives.

Models here are echoes: no torch.
"""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from core import chats, models
from core.chats import answering
from core.db import reading, writing
from core.errors import Conflict, LuthierError, NotFound, Unavailable, ValidationError
from core.fields import parse
from core.people import usage
from core.people.users import User
from core.providers import PROVIDERS
from core.providers.base import AskedModel, Delta, Finish, Generation, Provider, Usage
from core.security import new_id
from core.tables import ChatRow, MessageRow, ModelRow, ModelVersionRow, UsageRow
from tests.waiting import wait_until


class Echo(Provider):
    """Answers with the last message, one character at a time.

    With ``gate`` it waits before each until the test lets it go on.
    """

    name = "echo"
    title = "Echo"

    def __init__(self) -> None:
        self.gate: threading.Semaphore | None = None
        self.asked: list[Generation] = []
        self.failure: LuthierError | None = None

    def generate(self, request: Generation, *, stop: Callable[[], bool]) -> Iterator[Delta | Finish]:
        self.asked.append(request)
        text = request.messages[-1]["content"]
        for written, character in enumerate(text):
            while self.gate and not stop() and not self.gate.acquire(timeout=0.02):
                pass
            if stop():
                yield Finish("cancelled", Usage(len(request.messages), written))
                return
            if self.failure and written == len(text) // 2:
                raise self.failure
            yield Delta(character)
        yield Finish("stop", Usage(len(request.messages), len(text)))


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Echo]:
    made = Echo()
    monkeypatch.setitem(PROVIDERS, "echo", made)
    yield made
    made.gate = None
    chats.shut_down()


@pytest.fixture
def echo_model(echo: Echo) -> str:
    """The id of a base model that the echo answers for."""
    with writing() as session:
        row = ModelRow(id=new_id("mdl"), name="echo", type="base", provider="echo")
        session.add(row)
        session.flush()
        session.add(ModelVersionRow(id=new_id("mdv"), model_id=row.id, version=1, folder="nowhere"))
    return row.id


@pytest.fixture
def chat(ada: User, echo_model: str) -> chats.Chat:
    return chats.create(ada, chats.NewChat(model_id=echo_model))


def say(user: User, chat: chats.Chat, content: str, **more: Any) -> chats.Sent:
    return chats.send(user, parse(chats.NewMessage, chat_id=chat.id, content=content, **more))


def begin(user: User, chat: chats.Chat, content: str) -> chats.Message:
    reply = chats.start(user, parse(chats.NewMessage, chat_id=chat.id, content=content)).reply
    assert reply
    return reply


def finish(user: User, message_id: str) -> chats.Message:
    *_, last = chats.tail(user, message_id)
    assert isinstance(last, chats.Message)
    return last


def living_replies() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("reply-")]


def test_a_new_chat_has_the_defaults_of_the_contract(ada: User, echo_model: str) -> None:
    made = chats.create(ada, chats.NewChat(model_id=echo_model))
    assert (made.title, made.dataset_id, made.system_prompt, made.message_count) == (
        "New chat",
        None,
        None,
        0,
    )
    assert made.id.startswith("chat_")
    assert chats.get(ada, made.id) == made


def test_a_chat_changes_only_in_the_fields_given_and_null_clears(ada: User, chat: chats.Chat) -> None:
    chats.update(
        ada,
        chat.id,
        parse(chats.ChatChange, title="Ducks", system_prompt="Quack", parameters={"temperature": 0.5}),
    )
    changed = chats.update(ada, chat.id, parse(chats.ChatChange, system_prompt=None))
    assert (changed.title, changed.system_prompt, changed.parameters) == ("Ducks", None, {"temperature": 0.5})
    assert changed.model_id == chat.model_id
    assert changed.updated_at > chat.updated_at


@pytest.mark.parametrize(
    "values", [{"title": ""}, {"title": "x" * 201}, {"title": None}, {"model_id": None}, {"title": "a\0b"}]
)
def test_a_chat_refuses_what_breaks_its_rules(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parse(chats.ChatChange, **values)


@pytest.mark.parametrize(
    "parameters",
    [
        {"temperature": 2.1},
        {"top_p": 0},
        {"max_tokens": 0},
        {"max_tokens": 8193},
        {"seed": "x"},
        {"stop": ["a"] * 5},
        {"stop": [""]},
    ],
)
def test_parameters_out_of_range_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="parameters"):
        parse(chats.NewMessage, chat_id="chat_x", content="Hi", parameters=parameters)


def test_lists_filter_sort_and_count_only_ones_own(ada: User, bob: User, echo_model: str) -> None:
    for title in ("Beta", "alpha 100%", "Gamma"):
        chats.create(ada, chats.NewChat(model_id=echo_model, title=title))
    chats.create(bob, chats.NewChat(model_id=echo_model, title="Bob's"))
    found = chats.list_chats(ada, chats.ChatList(sort="title", limit=2))
    assert found.total == 3
    assert [chat.title for chat in found.items] == ["Beta", "Gamma"]
    assert [chat.title for chat in chats.list_chats(ada, chats.ChatList(q="100%")).items] == ["alpha 100%"]
    assert chats.list_chats(ada, chats.ChatList(model_id="mdl_other")).total == 0
    with pytest.raises(ValidationError, match="sort"):
        chats.list_chats(ada, chats.ChatList(sort="owner"))


def test_another_users_chat_does_not_exist(bob: User, ada: User, chat: chats.Chat) -> None:
    message = say(ada, chat, "secret").message
    tries: list[Callable[[], object]] = [
        lambda: chats.get(bob, chat.id),
        lambda: chats.update(bob, chat.id, chats.ChatChange(title="mine")),
        lambda: chats.delete(bob, chat.id),
        lambda: say(bob, chat, "hello"),
        lambda: chats.list_messages(bob, chats.MessageList(chat_id=chat.id)),
        lambda: chats.get_message(bob, message.id),
        lambda: chats.delete_message(bob, message.id),
        lambda: chats.rewind(bob, message.id),
        lambda: chats.stop(bob, message.id),
        lambda: list(chats.tail(bob, message.id)),
        lambda: chats.regenerate(bob, chat.id),
    ]
    for attempt in tries:
        with pytest.raises(NotFound):
            attempt()
    assert chats.get(ada, chat.id).message_count == 2


def test_a_chat_needs_a_model_and_dataset_one_may_see(ada: User, bob: User, echo_model: str) -> None:
    mine = models.create_custom(ada, models.NewModel(name="mine", base_model_id=echo_model))
    with pytest.raises(NotFound):
        chats.create(bob, chats.NewChat(model_id=mine.id))
    with pytest.raises(NotFound):
        chats.create(ada, chats.NewChat(model_id=echo_model, dataset_id="ds_nothere"))


def test_messages_are_listed_in_the_order_they_were_said(ada: User, chat: chats.Chat) -> None:
    for text in ("one", "two", "three"):
        say(ada, chat, text, generate=False)
    listed = chats.list_messages(ada, chats.MessageList(chat_id=chat.id))
    assert [message.content for message in listed.items] == ["one", "two", "three"]
    assert len({message.created_at for message in listed.items}) == 3
    newest = chats.list_messages(ada, chats.MessageList(chat_id=chat.id, sort="-created_at", limit=1))
    assert newest.items[0].content == "three"
    assert newest.total == 3


def test_messages_sent_at_once_all_get_a_place(ada: User, chat: chats.Chat) -> None:
    threads = [
        threading.Thread(target=say, args=(ada, chat, f"m{i}"), kwargs={"generate": False}) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert chats.get(ada, chat.id).message_count == 8


def test_deleting_a_chat_removes_its_messages(ada: User, chat: chats.Chat) -> None:
    message = say(ada, chat, "hello").message
    chats.delete(ada, chat.id)
    with pytest.raises(NotFound):
        chats.get_message(ada, message.id)
    with reading() as session:
        assert session.scalars(select(MessageRow)).all() == []


def test_a_message_is_answered_and_the_reply_is_charged(ada: User, chat: chats.Chat) -> None:
    sent = say(ada, chat, "Hello 🦆")
    assert sent.reply
    assert (sent.reply.content, sent.reply.role, sent.reply.finish_reason) == (
        "Hello 🦆",
        "assistant",
        "stop",
    )
    assert sent.reply.model_id == chat.model_id
    assert sent.reply.usage == {"prompt_tokens": 1, "completion_tokens": 7, "total_tokens": 8}
    assert [line.completion_tokens for line in usage.summary(ada)] == [7]


def test_system_prompts_and_parameters_are_overruled_by_what_is_nearer(
    ada: User, echo: Echo, echo_model: str
) -> None:
    chosen = {"temperature": 0.1, "top_p": 0.2, "max_tokens": 3}
    custom = models.create_custom(
        ada,
        parse(
            models.NewModel, name="duck", base_model_id=echo_model, system_prompt="Quack", parameters=chosen
        ),
    )
    made = chats.create(
        ada, parse(chats.NewChat, model_id=custom.id, parameters={"top_p": 0.5, "max_tokens": 4})
    )
    say(ada, made, "Hi", parameters={"max_tokens": 5})
    assert echo.asked[-1].messages == [
        {"role": "system", "content": "Quack"},
        {"role": "user", "content": "Hi"},
    ]
    assert echo.asked[-1].parameters == {"temperature": 0.1, "top_p": 0.5, "max_tokens": 5}
    chats.update(ada, made.id, chats.ChatChange(system_prompt="Moo"))
    say(ada, made, "And?")
    assert [m["content"] for m in echo.asked[-1].messages] == ["Moo", "Hi", "Hi", "And?"]


def test_a_message_may_be_stored_without_an_answer(ada: User, echo: Echo, chat: chats.Chat) -> None:
    assert say(ada, chat, "Be brief", role="system", generate=False).reply is None
    say(ada, chat, "Hi")
    assert [m["role"] for m in echo.asked[-1].messages] == ["system", "user"]


def test_two_viewers_see_the_whole_reply_whenever_they_come(ada: User, echo: Echo, chat: chats.Chat) -> None:
    echo.gate = threading.Semaphore(3)
    reply = begin(ada, chat, "abcdefgh")
    first = chats.tail(ada, reply.id)
    seen = ""
    while len(seen) < 3:
        part = next(first)
        assert isinstance(part, Delta)
        seen += part.text
    first.close()  # one viewer leaves: nothing happens to the reply
    second = chats.tail(ada, reply.id)
    assert next(second) == Delta("abc")
    echo.gate.release(20)
    *deltas, last = second
    assert "abc" + "".join(part.text for part in deltas if isinstance(part, Delta)) == "abcdefgh"
    assert isinstance(last, chats.Message)
    assert (last.content, last.state) == ("abcdefgh", "complete")


def test_a_watcher_hears_a_pulse_while_nothing_comes(ada: User, echo: Echo, chat: chats.Chat) -> None:
    echo.gate = threading.Semaphore(0)
    watching = chats.tail(ada, begin(ada, chat, "x").id)
    started = time.monotonic()
    assert [next(watching), next(watching)] == [Delta(""), Delta("")]
    assert time.monotonic() - started < 3


def test_stop_keeps_what_was_written(ada: User, echo: Echo, chat: chats.Chat) -> None:
    echo.gate = threading.Semaphore(4)
    reply = begin(ada, chat, "abcdefgh")
    wait_until(lambda: next(chats.tail(ada, reply.id)) == Delta("abcd"))
    chats.stop(ada, reply.id)
    stopped = finish(ada, reply.id)
    assert (stopped.content, stopped.finish_reason, stopped.state) == ("abcd", "cancelled", "complete")
    assert [line.completion_tokens for line in usage.summary(ada)] == [4]
    chats.stop(ada, reply.id)  # once more changes nothing
    assert chats.get_message(ada, reply.id) == stopped


def test_the_text_is_in_the_database_while_it_grows(ada: User, echo: Echo, chat: chats.Chat) -> None:
    echo.gate = threading.Semaphore(0)
    reply = begin(ada, chat, "abcdefgh" * 100)

    def stored_after_another() -> bool:
        assert echo.gate
        echo.gate.release()
        return chats.get_message(ada, reply.id).content != ""

    wait_until(stored_after_another)
    assert chats.get_message(ada, reply.id).state == "generating"


def test_only_one_reply_at_a_time_is_written_in_a_chat(ada: User, echo: Echo, chat: chats.Chat) -> None:
    echo.gate = threading.Semaphore(0)
    reply = begin(ada, chat, "slow")
    with pytest.raises(Conflict, match="still being written"):
        say(ada, chat, "impatient")
    with pytest.raises(Conflict, match="still being written"):
        chats.regenerate(ada, chat.id)
    other = chats.create(ada, chats.NewChat(model_id=chat.model_id or ""))
    echo.gate.release(100)
    assert say(ada, other, "elsewhere").reply
    assert finish(ada, reply.id).content == "slow"
    assert chats.get(ada, chat.id).message_count == 2


def test_regenerate_replaces_the_last_reply(ada: User, chat: chats.Chat) -> None:
    first = say(ada, chat, "again").reply
    assert first
    second = finish(ada, chats.regenerate(ada, chat.id).id)
    assert (second.content, second.id != first.id) == ("again", True)
    assert chats.get(ada, chat.id).message_count == 2


def test_regenerate_without_a_question_is_a_conflict(ada: User, chat: chats.Chat) -> None:
    with pytest.raises(Conflict, match="no message"):
        chats.regenerate(ada, chat.id)


def test_rewind_takes_back_a_message_and_what_followed(ada: User, chat: chats.Chat) -> None:
    say(ada, chat, "one")
    second = say(ada, chat, "two").message
    say(ada, chat, "three")
    chats.rewind(ada, second.id)
    assert [m.content for m in chats.list_messages(ada, chats.MessageList(chat_id=chat.id)).items] == [
        "one",
        "one",
    ]


def test_a_deleted_model_leaves_the_chat_but_cannot_answer(ada: User, echo_model: str) -> None:
    custom = models.create_custom(ada, models.NewModel(name="short-lived", base_model_id=echo_model))
    made = chats.create(ada, chats.NewChat(model_id=custom.id))
    models.delete(ada, custom.id)
    assert chats.get(ada, made.id).model_id is None
    with pytest.raises(Conflict, match="deleted"):
        say(ada, made, "Anybody there?")
    assert chats.get(ada, made.id).message_count == 0
    assert say(ada, made, "Note to myself", generate=False).message.content == "Note to myself"


def test_a_reply_that_fails_half_way_keeps_its_text_and_says_why(
    ada: User, echo: Echo, chat: chats.Chat
) -> None:
    echo.failure = Unavailable("The model process was stopped.")
    reply = finish(ada, begin(ada, chat, "abcdef").id)
    assert (reply.content, reply.finish_reason, reply.state) == ("abc", "error", "complete")
    assert reply.error == {"code": "unavailable", "message": "The model process was stopped."}


def test_a_caller_who_waits_gets_the_error_and_an_empty_exchange_is_not_kept(
    ada: User, echo: Echo, chat: chats.Chat
) -> None:
    echo.failure = Unavailable("No model answered in time.")
    with pytest.raises(Unavailable, match="in time"):
        say(ada, chat, "x")
    assert chats.get(ada, chat.id).message_count == 0


def test_deleting_a_chat_ends_its_reply(ada: User, echo: Echo, chat: chats.Chat) -> None:
    echo.gate = threading.Semaphore(1)
    begin(ada, chat, "abcdef")
    wait_until(lambda: echo.asked != [])
    chats.delete(ada, chat.id)
    wait_until(lambda: not living_replies())
    with reading() as session:
        assert [row.prompt_tokens for row in session.scalars(select(UsageRow))] == [1]


def test_a_chat_deleted_before_its_reply_begins_asks_no_model(
    ada: User, echo: Echo, chat: chats.Chat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    deleted, read_history = threading.Event(), answering._history

    def read_late(chat_id: str, *, before: int) -> list[MessageRow]:
        deleted.wait(10)
        return read_history(chat_id, before=before)

    monkeypatch.setattr(answering, "_history", read_late)
    begin(ada, chat, "abcdef")
    chats.delete(ada, chat.id)
    deleted.set()
    wait_until(lambda: not living_replies())
    assert (echo.asked, caplog.messages) == ([], [])


def test_replies_of_a_server_that_died_are_complete_after_the_next_start(ada: User, chat: chats.Chat) -> None:
    message = say(ada, chat, "hello", generate=False).message
    with writing() as session:
        fields = {
            "chat_id": chat.id,
            "position": 1,
            "role": "assistant",
            "state": "generating",
            "content": "half a",
        }
        row = MessageRow(id=new_id("msg"), **fields)
        session.add(row)
    chats.recover()
    reply = chats.get_message(ada, row.id)
    assert (reply.content, reply.state, reply.finish_reason) == ("half a", "complete", "cancelled")
    assert chats.get_message(ada, message.id).finish_reason is None


def test_shutting_down_stores_every_reply_within_seconds(ada: User, echo: Echo, echo_model: str) -> None:
    echo.gate = threading.Semaphore(6)
    growing = [
        begin(ada, chats.create(ada, chats.NewChat(model_id=echo_model)), "abcdefgh") for _ in range(3)
    ]
    started = time.monotonic()
    chats.shut_down()
    assert time.monotonic() - started < 2.5
    assert {chats.get_message(ada, reply.id).finish_reason for reply in growing} == {"cancelled"}


def complete(user: User, content: str) -> Iterator[Delta | Finish]:
    messages = [{"role": "user", "content": content}]
    return chats.complete(user, model=models.resolve(user, "echo"), messages=messages, parameters={"seed": 1})


def test_complete_stores_nothing_but_its_cost(ada: User, echo: Echo, echo_model: str) -> None:
    *deltas, last = complete(ada, "Hello")
    assert "".join(part.text for part in deltas if isinstance(part, Delta)) == "Hello"
    assert last == Finish("stop", Usage(1, 5))
    assert echo.asked[0].forget is False
    with reading() as session:
        assert session.scalars(select(ChatRow)).all() == []
        assert [(row.model_id, row.completion_tokens) for row in session.scalars(select(UsageRow))] == [
            (echo_model, 5)
        ]


def test_closing_a_completion_cancels_it_and_charges_what_was_written(ada: User, echo_model: str) -> None:
    events = complete(ada, "a long answer")
    next(events)
    next(events)
    events.close()  # type: ignore[attr-defined]
    with reading() as session:
        assert [row.completion_tokens for row in session.scalars(select(UsageRow))] == [2]


@pytest.fixture
def ducks(ada: User, tmp_path: Path) -> str:
    from core import datasets

    file = tmp_path / "ducks.csv"
    file.write_text("name,weight\nmallard,1.2\nteal,0.3\neider,2.1\n")
    return datasets.create(ada, datasets.NewDataset(name="ducks"), file=file, filename="ducks.csv").id


def test_sql_in_a_chat_is_answered_from_the_dataset_without_a_model(
    ada: User, echo: Echo, echo_model: str, ducks: str
) -> None:
    made = chats.create(ada, chats.NewChat(model_id=echo_model, dataset_id=ducks))
    reply = say(ada, made, "/sql SELECT name FROM data WHERE weight > 1 ORDER BY name").reply
    assert reply
    assert reply.table
    assert reply.table["rows"] == [["eider"], ["mallard"]]
    assert reply.content.startswith("2 rows")
    assert (reply.model_id, reply.usage, echo.asked) == (None, None, [])
    described = say(ada, made, "/describe").reply
    assert described
    assert described.table
    assert "weight" in str(described.table["rows"])
    broken = say(ada, made, "/sql SELECT nothing FROM data").reply
    assert broken
    assert (broken.table, broken.finish_reason) == (None, "stop")
    assert "nothing" in broken.content
    say(ada, made, "Thanks")
    assert [m["content"] for m in echo.asked[-1].messages] == ["Thanks"]


def test_commands_without_a_dataset_or_a_query_explain_themselves(ada: User, chat: chats.Chat) -> None:
    for command in ("/sql SELECT 1", "/describe"):
        reply = say(ada, chat, command).reply
        assert reply
        assert "Attach a dataset" in reply.content


def test_warming_begins_to_load_what_one_may_see_and_forgives_the_rest(
    ada: User, echo: Echo, echo_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    warmed: list[AskedModel] = []
    monkeypatch.setattr(echo, "warm", warmed.append)
    chats.warm(ada, echo_model)
    chats.warm(ada, "mdl_nothere")
    assert len(warmed) == 1
