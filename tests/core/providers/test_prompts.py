"""Prompts: what fits is kept, each message counted once and only as far as it matters."""

import random
from typing import Any

import pytest

from core.inference import prompts
from core.inference.prompts import RequestRefused, make_prompt
from core.inference.turns import UserTurns


class Words:
    """A tokenizer whose tokens are characters, with a template that adds three of them to each message."""

    def __init__(self, context: int) -> None:
        self.context_length = context
        self.counted = 0
        self.rendered = 0
        self.template = self

    def count(self, text: str) -> int:
        self.counted += len(text)
        return len(text)

    def prompt(self, messages: list[dict[str, str]]) -> list[int]:
        tokens = [ord(c) for m in messages for c in f"<{m['role'][0]}>{m['content']}"]
        self.rendered += len(tokens)
        return tokens


def turns(*contents: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[place % 2], "content": text} for place, text in enumerate(contents)]


def fit(words: Words, messages: list[dict[str, str]], **more: Any) -> prompts.Prompt:
    asked: dict[str, Any] = {"forget": True, "most_tokens": 10} | more
    return make_prompt(messages, words, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [3, 13, 199])
def test_a_long_chat_costs_what_fits_however_long_it_is(count: int) -> None:
    words = Words(1000)
    messages = turns(*["x" * 100_000] * (count - 1), "hi")
    prompt = fit(words, messages)
    assert prompt.left_out == count - 1
    assert words.counted < 2 * prompts.PIECE + 10
    assert words.rendered <= 1000


def test_a_prompt_of_a_megabyte_is_refused_without_being_tokenized() -> None:
    words = Words(1000)
    with pytest.raises(RequestRefused, match="at most 1000 tokens; the conversation has more than 1000"):
        fit(words, turns("x" * 10**6), forget=False)
    assert words.counted <= prompts.PIECE
    assert words.rendered == 0


def test_what_is_a_little_too_long_is_counted_to_the_token() -> None:
    with pytest.raises(RequestRefused, match="the conversation has 1013"):
        fit(Words(1000), turns("x" * 1010), forget=False)


@pytest.mark.parametrize("seed", range(40))
def test_no_more_is_left_out_than_must_be(seed: int) -> None:
    """Against the plain way: drop the oldest turn, render all anew, until it fits."""
    dice = random.Random(seed)
    context = dice.choice([50, 200, 1000])
    messages = turns(*["x" * dice.randint(1, context // 3) for _ in range(dice.choice([1, 5, 21]))])
    messages.insert(0, {"role": "system", "content": "Be brief"})
    prompt = fit(Words(context), messages)
    kept, room = messages, min(10, context // 4)
    while len(Words(context).prompt(kept)) + room > context:
        kept = prompts._without_oldest(kept)
    assert prompt.tokens == Words(context).prompt(kept)
    assert prompt.left_out == len(messages) - len(kept)


def test_users_take_turns_whoever_has_more_waiting() -> None:
    waiting: UserTurns[str] = UserTurns()
    for thing in ("a1", "a2", "a3", "b1", "c1"):
        waiting.add(thing[0], thing)
    assert [waiting.take() for _ in range(5)] == ["a1", "b1", "c1", "a2", "a3"]
    assert waiting.take() is None


def test_who_has_enough_is_passed_over() -> None:
    waiting: UserTurns[str] = UserTurns()
    for thing in ("a1", "b1"):
        waiting.add(thing[0], thing)
    assert waiting.take(lambda user: user != "a") == "b1"
    assert waiting.take(lambda user: user != "a") is None
    assert list(waiting) == ["a1"]


def test_a_turn_that_does_not_end_comes_again_after_the_others() -> None:
    waiting: UserTurns[str] = UserTurns()
    for thing in ("a1", "a2", "b1"):
        waiting.add(thing[0], thing)
    assert [waiting.first() for _ in range(4)] == ["a1", "b1", "a1", "b1"]
    waiting.remove("a1")
    assert [waiting.first() for _ in range(2)] == ["a2", "b1"]
