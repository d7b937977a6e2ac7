"""Providers that ask another server: one file and one line, with a real server on the other side."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from core import chats, models
from core.db import reading
from core.errors import Conflict, LuthierError, NotFound, RateLimited, Unavailable, ValidationError
from core.fields import parse
from core.people.users import User
from core.providers import PROVIDERS
from core.providers.base import AskedModel, Delta, Finish, Generation, Usage
from core.tables import UsageRow
from tests.fake_http import KEY, NAME, FakeHttp, Upstream, make_external, upstream
from tests.waiting import wait_until

FAR = AskedModel("mdl_far", "far-1", None, 4096)


@pytest.fixture
def faraway() -> Iterator[Upstream]:
    with upstream() as state:
        yield state


@pytest.fixture
def chat(ada: User, faraway: Upstream) -> chats.Chat:
    return chats.create(ada, chats.NewChat(model_id=make_external(ada)))


def ask(text: str = "one two three", **parameters: Any) -> list[Delta | Finish]:
    request = Generation(FAR, [{"role": "user", "content": text}], parameters)
    return list(PROVIDERS[NAME].generate(request, stop=lambda: False))


def text_of(events: list[Delta | Finish]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def say(user: User, chat: chats.Chat, content: str = "one two three") -> chats.Sent:
    return chats.send(user, parse(chats.NewMessage, chat_id=chat.id, content=content))


def finished(user: User, message_id: str) -> chats.Message:
    return wait_until(
        lambda: chats.get_message(user, message_id), lambda message: message.state == "complete"
    )


def test_an_answer_arrives_with_its_cost_and_the_other_server_gets_all_it_needs(faraway: Upstream) -> None:
    events = ask(temperature=0.5, max_tokens=9)
    assert text_of(events) == "one two three"
    assert events[-1] == Finish("stop", Usage(3, 3))
    (request,) = faraway.requests
    assert request.body == {
        "model": "far-1",
        "messages": [{"role": "user", "content": "one two three"}],
        "stream": True,
        "temperature": 0.5,
        "max_tokens": 9,
    }
    assert request.headers["Authorization"] == f"Bearer {KEY}"


def test_requests_are_counted_and_use_one_connection_again(faraway: Upstream) -> None:
    for _ in range(3):
        ask()
    assert (faraway.count, faraway.connections, faraway.hung_up) == (3, 1, 0)


def test_text_is_passed_on_before_the_answer_is_whole(faraway: Upstream) -> None:
    faraway.held_after = 2
    events = PROVIDERS[NAME].generate(
        Generation(FAR, [{"role": "user", "content": "one two three"}]), stop=lambda: False
    )
    assert [next(events), next(events)] == [Delta("one"), Delta(" two")]
    faraway.let_go.set()
    assert text_of(list(events)) == " three"


@pytest.mark.parametrize(
    "held_after", [-1, 0, 2], ids=["before the headers", "before a word", "in the middle"]
)
def test_stopping_hangs_up_within_a_moment_wherever_the_other_server_is(
    faraway: Upstream, held_after: int
) -> None:
    faraway.held_after = held_after
    request = Generation(FAR, [{"role": "user", "content": "one two three"}])
    asked = []

    def stop() -> bool:
        if faraway.count:
            asked.append(time.monotonic())
        return len(asked) > 3

    events = list(PROVIDERS[NAME].generate(request, stop=stop))
    assert events[-1] == Finish("cancelled", Usage(completion_tokens=max(held_after, 0)))
    assert time.monotonic() - asked[-1] < 1
    wait_until(lambda: faraway.hung_up == 1)


def test_closing_the_iterator_hangs_up(faraway: Upstream) -> None:
    faraway.held_after = 1
    events = PROVIDERS[NAME].generate(
        Generation(FAR, [{"role": "user", "content": "one two"}]), stop=lambda: False
    )
    assert next(events) == Delta("one")
    events.close()  # type: ignore[attr-defined]
    wait_until(lambda: faraway.hung_up == 1)


def test_what_is_not_wanted_at_all_is_not_sent(faraway: Upstream) -> None:
    assert list(PROVIDERS[NAME].generate(Generation(FAR, []), stop=lambda: True)) == [Finish("cancelled")]
    assert faraway.count == 0


def test_stopping_the_provider_ends_its_answers_and_a_later_one_starts_anew(faraway: Upstream) -> None:
    faraway.held_after = 1
    events = PROVIDERS[NAME].generate(
        Generation(FAR, [{"role": "user", "content": "one two"}]), stop=lambda: False
    )
    assert next(events) == Delta("one")
    PROVIDERS[NAME].stop()
    assert list(events) == [Finish("cancelled", Usage(completion_tokens=1))]
    faraway.held_after = None
    assert text_of(ask()) == "one two three"


REFUSALS: list[tuple[int, type[LuthierError], str]] = [
    (400, ValidationError, "Faraway refuses this: It is what it is."),
    (401, Unavailable, "Faraway does not accept the key of this server"),
    (403, Unavailable, "Faraway does not accept the key of this server"),
    (404, Conflict, "Faraway has no model named far-1 any more"),
    (422, ValidationError, "Faraway refuses this"),
    (429, RateLimited, "Faraway has too much to do"),
    (302, Unavailable, "the error 302"),
    (500, Unavailable, "Faraway answered with the error 500"),
    (503, Unavailable, "Faraway answered with the error 503"),
]


@pytest.mark.parametrize(("status", "kind", "sentence"), REFUSALS, ids=[str(each[0]) for each in REFUSALS])
def test_an_error_of_the_other_server_is_a_clear_message(
    faraway: Upstream, status: int, kind: type[LuthierError], sentence: str
) -> None:
    faraway.status = status
    with pytest.raises(kind, match=sentence) as raised:
        ask()
    assert KEY not in raised.value.message
    assert getattr(raised.value, "retry_after", 7) == 7
    faraway.status = 200
    assert text_of(ask()) == "one two three"


@pytest.mark.parametrize("ends_early", [False, True], ids=["broken connection", "no end"])
def test_half_an_answer_is_an_error_and_no_answer(faraway: Upstream, ends_early: bool) -> None:
    faraway.broken_after, faraway.ends_early = 2, ends_early
    events = PROVIDERS[NAME].generate(
        Generation(FAR, [{"role": "user", "content": "one two three"}]), stop=lambda: False
    )
    seen: list[Delta | Finish] = []
    with pytest.raises(Unavailable, match="The answer of Faraway broke off"):
        seen.extend(events)
    assert not seen or text_of(seen) == "one two"


def test_an_answer_that_cannot_be_read_is_an_error(faraway: Upstream) -> None:
    faraway.nonsense = True
    with pytest.raises(Unavailable, match="Faraway sent an answer that cannot be read"):
        ask()


@pytest.mark.parametrize("held_after", [-1, 2], ids=["before the headers", "in the middle"])
def test_silence_ends_as_a_clear_error(
    faraway: Upstream, held_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeHttp, "silence_seconds", 0.2)
    faraway.held_after = held_after
    with pytest.raises(Unavailable, match="Faraway did not answer in time"):
        ask()
    wait_until(lambda: faraway.hung_up == 1)


def test_a_server_that_is_not_there_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    provider = FakeHttp(f"http://127.0.0.1:{port}")
    with pytest.raises(Unavailable, match="Faraway cannot be reached"):
        list(provider.generate(Generation(FAR, []), stop=lambda: False))
    provider.stop()


def test_a_chat_is_answered_and_its_cost_recorded(ada: User, chat: chats.Chat, faraway: Upstream) -> None:
    chats.update(ada, chat.id, parse(chats.ChatChange, system_prompt="Be brief", parameters={"seed": 3}))
    sent = say(ada, chat)
    assert sent.reply is not None
    assert (sent.reply.content, sent.reply.finish_reason, sent.reply.model_id) == (
        "one two three",
        "stop",
        chat.model_id,
    )
    assert sent.reply.usage == {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    assert faraway.requests[0].body["messages"][0] == {"role": "system", "content": "Be brief"}
    assert faraway.requests[0].body["seed"] == 3
    with reading() as session:
        (row,) = session.query(UsageRow).all()
    assert (row.model_id, row.prompt_tokens, row.completion_tokens) == (chat.model_id, 5, 3)


def test_stopping_a_reply_stops_the_other_server(ada: User, chat: chats.Chat, faraway: Upstream) -> None:
    faraway.held_after = 1
    reply = chats.start(ada, parse(chats.NewMessage, chat_id=chat.id, content="one two three")).reply
    assert reply
    wait_until(lambda: faraway.count)
    chats.stop(ada, reply.id)
    assert finished(ada, reply.id).finish_reason == "cancelled"
    wait_until(lambda: faraway.hung_up == 1)


def test_what_went_wrong_stands_in_the_reply_and_the_words_until_then_stay(
    ada: User, chat: chats.Chat, faraway: Upstream
) -> None:
    faraway.broken_after, faraway.ends_early = 2, True
    reply = chats.start(ada, parse(chats.NewMessage, chat_id=chat.id, content="one two three")).reply
    assert reply
    stored = finished(ada, reply.id)
    assert stored.content == "one two"
    assert stored.error == {
        "code": "unavailable",
        "message": "The answer of Faraway broke off. Send your message again.",
    }


def test_a_custom_model_over_it_is_asked_by_the_name_that_the_other_server_knows(
    ada: User, faraway: Upstream
) -> None:
    below = make_external(ada, "far-1", context_length=4096)
    made = models.create_custom(
        ada, models.NewModel(name="kind", base_model_id=below, system_prompt="Be kind")
    )
    chat = chats.create(ada, chats.NewChat(model_id=made.id))
    assert say(ada, chat).reply is not None
    (request,) = faraway.requests
    assert request.body["model"] == "far-1"
    assert request.body["messages"][0] == {"role": "system", "content": "Be kind"}


def test_a_model_without_versions_can_be_called_but_not_pinned_and_not_trained(
    ada: User, bob: User, faraway: Upstream
) -> None:
    model_id = make_external(ada)
    found = models.resolve(ada, "far-1")
    assert (found.version, found.answering.id) == (None, model_id)
    assert not models.get(ada, model_id).capabilities["finetune"]
    with pytest.raises(NotFound):
        models.resolve(ada, "far-1@2")
    with pytest.raises(NotFound):
        models.resolve(bob, "far-1")


def test_a_model_whose_provider_is_gone_says_so_before_anything_is_stored(
    ada: User, chat: chats.Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(PROVIDERS, NAME)
    with pytest.raises(Conflict, match="no provider named fake_http"):
        say(ada, chat)
    assert chats.list_messages(ada, chats.MessageList(chat_id=chat.id)).total == 0
