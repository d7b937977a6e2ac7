"""What a model wrote to itself is told from what it answers, also while it grows."""

import pytest

from core.ui.chats.reasoning import answer_of, split


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("plain", [], "plain"),
        ("<think>a</think>b", ["a"], "b"),
        ("<think>\na\n</think>\n\nb", ["\na\n"], "\n\nb"),
        ("a <think>b</think> c <thinking>d</thinking>e", ["b", "d"], "a  c e"),
        ("<think>still growing", ["still growing"], ""),
        ("written into the prompt</think>b", ["written into the prompt"], "b"),
        ("<think></think>b", [], "b"),
        ("say `<think>` and `</think>`", [], "say `<think>` and `</think>`"),
        ("```\n<think>x</think>\n```", [], "```\n<think>x</think>\n```"),
        ("<think>`x`</think>b", ["`x`"], "b"),
        ("<thinker>a</thinker>", [], "<thinker>a</thinker>"),
    ],
)
def test_reasoning_is_told_from_the_answer(text: str, reasoning: list[str], answer: str) -> None:
    assert [part.text for part in split(text) if part.is_reasoning] == reasoning
    assert answer_of(text) == answer


def test_no_beginning_of_an_answer_shows_reasoning() -> None:
    whole = "<think>secret thoughts</think>the answer"
    for end in range(len("<think>"), len(whole)):
        assert "secret" not in answer_of(whole[:end])
