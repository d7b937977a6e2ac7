"""What is learned of a conversation: each answer, from its first token to the one that ends it.

Where a template writes earlier answers otherwise than the one it ends with (Qwen3 leaves out their thinking,
some Mistrals move the system text along), a conversation rendered as a whole would teach answers to prompts
that nobody will ever ask. Such an answer becomes a sequence of its own, behind the prompt that asks for it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from core.chat_templates.writing import ChatTemplate, Messages, Span, Written, seams, unused_characters


@dataclass(frozen=True)
class TaughtSequence:
    """Tokens of a conversation. ``learned``: those that the model has to produce.

    ``answer_at``: where the last answer begins that is learned; None where none is.
    """

    ids: list[int]
    learned: list[bool]
    text: str
    answer_at: int | None = None


def conversation(messages: Messages, template: ChatTemplate) -> list[TaughtSequence]:
    """All answers whose weight is not 0: one sequence, or several where the template needs it.

    Without any answer to learn: the conversation, of which nothing is learned. Raises jinja2.TemplateError.
    """
    whole, prompts = template.write(messages, marks=True), template.prompts(messages)
    inside: list[Span] = []
    apart: list[TaughtSequence] = []
    for place in _answers(messages):
        is_last = place == len(messages) - 1
        answered = whole if is_last else template.write(messages[: place + 1], marks=True)
        prompt = prompts.get(place) or _before_first(answered, messages[place], template)
        span = _learned_span(prompt, answered, template)
        is_written = answered.text.startswith(prompt.text) and whole.text.startswith(answered.text[: span[1]])
        if is_written and (is_last or template.ends or not template.eos):
            inside.append(span)
        else:
            earlier = seams([asks for at, asks in prompts.items() if at < place], prompt)
            apart.append(_apart(messages[: place + 1], prompt, answered, template, earlier))
    if inside or not apart:
        if inside and messages[-1]["role"] == "assistant":
            whole, inside = _with_end(whole, inside, template)
        apart.append(_encode(whole, inside, seams(prompts.values(), whole), template))
    return apart


def _answers(messages: Messages) -> Iterator[int]:
    for place, message in enumerate(messages):
        if message["role"] == "assistant" and message.get("weight") != 0:
            yield place


def _before_first(answered: Written, answer: Mapping[str, Any], template: ChatTemplate) -> Written:
    """What the template writes in front of an answer that nothing stands before, so that nothing can ask for
    it."""
    neutral = next(unused_characters([answered.text]))
    begin = template.write([{**answer, "content": neutral}]).text.find(neutral)
    return Written(answered.text[: max(0, begin)])


def _apart(
    messages: Messages, prompt: Written, answered: Written, template: ChatTemplate, earlier: Sequence[int]
) -> TaughtSequence:
    """The last answer behind the prompt that will ask for it, also where the template would not write that
    prompt before it (DeepSeek-R1 asks with ``<think>`` and forgets it afterwards). ``earlier``: its seams."""
    header = len(prompt.text)
    if not answered.text.startswith(prompt.text):
        header = _num_before_answer(messages, prompt, answered, template)
    together = prompt.joined(answered, without=header)
    together, spans = _with_end(together, [_learned_span(prompt, together, template)], template)
    return _encode(together, spans, [*earlier, len(prompt.text)], template)


def _num_before_answer(messages: Messages, prompt: Written, answered: Written, template: ChatTemplate) -> int:
    """Characters of ``answered`` that the prompt stands for, which the template writes in another way there.

    What it writes between the message before and the answer tells: earlier words may differ, too (a system
    text that moves to the last question).
    """
    last, neutral = islice(unused_characters([prompt.text, answered.text]), 2)
    answer = {**messages[-1], "content": neutral}
    other = template.write([*messages[:-1], answer]).text
    asked = [*messages[:-2], {**messages[-2], "content": last}]
    asks = template.write(asked, ask=True).text.rpartition(last)
    answers = template.write([*asked, answer]).text.rpartition(last)
    if asks[1] and neutral in answers[2] and neutral in other:
        return other.index(neutral) - answers[2].index(neutral) + _num_shared(asks[2], answers[2])
    return _num_shared(prompt.text, other)


def _with_end(written: Written, answers: list[Span], template: ChatTemplate) -> tuple[Written, list[Span]]:
    """A template that ends answers with no token would teach them never to end: so the tokenizer's own last
    token is put behind the last one."""
    if template.ends or not template.eos or written.text.endswith(template.eos):
        return written, answers
    longer = Written(written.text + template.eos, written.typed, written.said)
    return longer, [*answers[:-1], (answers[-1][0], len(longer.text))]


def _encode(
    written: Written, answers: Sequence[Span], seams: Sequence[int], template: ChatTemplate
) -> TaughtSequence:
    ids, places = template.encode(written, [*seams, *(begin for begin, _ in answers)])
    learned, answer_at, token = [False] * len(ids), None, 0
    for begin, end in answers:
        while token < len(ids) and (places[token][0] < begin or places[token][1] <= begin):
            token += 1
        answer_at = token if token < len(ids) else answer_at
        while token < len(ids) and places[token][0] < end:
            learned[token] = places[token][1] > places[token][0]
            token += 1
    return TaughtSequence(ids, learned, written.text, answer_at)


def _learned_span(prompt: Written, answered: Written, template: ChatTemplate) -> Span:
    """Of the last answer: from the first character behind the prompt to the last of the token that ends it.

    Marks of a template say where an answer ends, except for that token, which many leave out.
    """
    begin = len(prompt.text)
    marked = [end for first, end in answered.said if end > begin]
    if not marked:
        return begin, max(_ends(template, answered, begin), default=len(answered.text))
    return begin, max(max(marked), min(_ends(template, answered, max(marked)), default=0))


def _ends(template: ChatTemplate, written: Written, begin: int) -> list[int]:
    """Where the template ends an answer: the characters behind each token that does."""
    tokens = template.ends.values() or [template.eos]
    typed = {first for first, _ in written.typed}
    return [
        found.end()
        for token in tokens
        if token
        for found in re.finditer(re.escape(token), written.text)
        if found.start() >= begin and found.start() not in typed
    ]


def _num_shared(a: str, b: str) -> int:
    """Length of the common beginning."""
    if b.startswith(a):
        return len(a)
    return next(i for i, (x, y) in enumerate(zip(a + "\0", b + "\1", strict=False)) if x != y)
