"""A key's monthly limit holds however many answers are begun at once, and nothing is kept for longer."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core import chats, models
from core.db import reading
from core.errors import OutOfTokens, Unavailable
from core.people import api_keys, token_limits, usage
from core.people.api_keys import NewKey
from core.people.users import User
from core.providers import PROVIDERS
from core.providers.base import Delta, Finish, Generation, Provider, Usage
from tests.ui.things import make_model
from tests.waiting import wait_until

LIMIT = 100


class Budgeted(Provider):
    """Reads a token for each character, writes as much as it may; waits and fails when told to."""

    name, title = "budgeted", "Budgeted"

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.begun = 0
        self.failure: Exception | None = None

    def generate(self, request: Generation, *, stop: Callable[[], bool]) -> Iterator[Delta | Finish]:
        prompt = len(request.messages[-1]["content"])
        most = request.most_tokens or 10**9
        if prompt >= most:
            raise OutOfTokens(f"This conversation has {prompt} tokens, and {most} may still be used.")
        written = min(request.parameters["max_tokens"], most - prompt)
        self.begun += 1
        yield Delta("x")
        self.may_go_on.wait(30)
        if self.failure:
            raise self.failure
        yield Finish("cancelled", Usage(prompt, 1)) if stop() else Finish("length", Usage(prompt, written))


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Budgeted]:
    made = Budgeted()
    monkeypatch.setitem(PROVIDERS, "budgeted", made)
    yield made
    made.may_go_on.set()


@pytest.fixture
def key_id(ada: User, provider: Budgeted) -> str:
    make_model(ada, "careful", provider="budgeted")
    return api_keys.create(ada, NewKey(name="test", monthly_token_limit=LIMIT))[0].id


def complete(user: User, key_id: str, *, prompt: str = "a" * 10, most: int = 20) -> Iterator[Any]:
    return chats.complete(
        user,
        model=models.resolve(user, "careful"),
        messages=[{"role": "user", "content": prompt}],
        parameters={"max_tokens": most},
        api_key_id=key_id,
    )


def used(key_id: str) -> int:
    with reading() as session:
        return usage.tokens_this_month(session, key_id)


def reserved(key_id: str) -> int:
    return token_limits._reserved[key_id]


@pytest.mark.parametrize("most", [1, 20, 100, 8192])
def test_many_at_once_never_use_more_than_the_limit(
    ada: User, provider: Budgeted, key_id: str, most: int
) -> None:
    provider.may_go_on.clear()
    outcomes: list[Any] = []

    def ask() -> None:
        try:
            outcomes.append(list(complete(ada, key_id, most=most))[-1].usage.total_tokens)
        except OutOfTokens as error:
            outcomes.append(error)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    wait_until(lambda: provider.begun + len(outcomes) == 10)
    provider.may_go_on.set()
    for thread in threads:
        thread.join()
    answered = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert answered
    assert used(key_id) == sum(answered) <= LIMIT
    assert reserved(key_id) == 0


def test_an_answer_is_cut_to_what_is_left(ada: User, key_id: str) -> None:
    list(complete(ada, key_id, most=50))
    *_, last = complete(ada, key_id, most=50)
    assert last.usage == Usage(10, 30)
    with pytest.raises(OutOfTokens, match="used up") as refused:
        list(complete(ada, key_id))
    assert refused.value.retry_after > token_limits.BUSY_SECONDS


def test_what_only_others_keep_may_be_asked_for_again_soon(
    ada: User, provider: Budgeted, key_id: str
) -> None:
    first = complete(ada, key_id, most=8192)
    next(first)
    with pytest.raises(OutOfTokens, match="reserved for answers that are being written") as refused:
        list(complete(ada, key_id))
    assert refused.value.retry_after == token_limits.BUSY_SECONDS
    first.close()  # type: ignore[attr-defined]
    assert list(complete(ada, key_id))[-1].usage == Usage(10, 20)


@pytest.mark.parametrize("how", ["failed", "interrupted", "refused", "crashed"])
def test_what_ends_otherwise_gives_its_tokens_back(
    ada: User, provider: Budgeted, key_id: str, how: str
) -> None:
    if how == "interrupted":
        events = complete(ada, key_id)
        next(events)
        assert reserved(key_id) > 0
        events.close()  # type: ignore[attr-defined]
    elif how == "refused":
        with pytest.raises(OutOfTokens, match="has 150 tokens, and 100 may still be used"):
            list(complete(ada, key_id, prompt="a" * 150))
    else:
        provider.failure = Unavailable("No model.") if how == "failed" else RuntimeError("a bug")
        with pytest.raises(type(provider.failure)):
            list(complete(ada, key_id))
    assert reserved(key_id) == 0
    assert used(key_id) <= 30


def test_a_reply_in_a_chat_keeps_a_keys_limit_too(ada: User, provider: Budgeted, key_id: str) -> None:
    model_id = models.resolve(ada, "careful").model.id
    chat = chats.create(ada, chats.NewChat(model_id=model_id, parameters=models.Parameters(max_tokens=70)))
    say = chats.NewMessage(chat_id=chat.id, content="a" * 10)
    assert chats.send(ada, say, api_key_id=key_id).reply
    reply = chats.send(ada, say, api_key_id=key_id).reply
    assert reply
    assert reply.usage == {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
    with pytest.raises(OutOfTokens):
        chats.send(ada, say, api_key_id=key_id)
    assert (used(key_id), reserved(key_id)) == (LIMIT, 0)
