"""Whether a template teaches what will be asked for: conversations are written, and what is learned of them
is compared with what will be generated."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

from core.chat_templates.learning import TaughtSequence, conversation
from core.chat_templates.writing import ChatTemplate, Messages, template_of

Level = Literal["info", "warn", "error"]
TURNS = (1, 2, 4)
SYSTEM = {"role": "system", "content": "Answer with one word."}
TALK = [
    ("Which city is the capital of Peru?", "Lima"),
    ("And of Norway?", "Oslo, of course."),
    ("What is 2 + 2?", "4"),
    ("Say it again:\nin words.", "Four.\n\nThat is all."),
]


@dataclass(frozen=True)
class TemplateFinding:
    """What a template does that people should know.

    ``level`` error: a model trained with it would be spoilt, so no training starts.
    """

    kind: str
    level: Level
    message: str


def check(tokenizer: Any, *, ends: Set[int]) -> list[TemplateFinding]:
    """``ends``: the tokens at which a model of this tokenizer stops to answer."""
    template = template_of(tokenizer)
    found: dict[str, TemplateFinding] = {}
    for finding in _findings(tokenizer, template, ends):
        found.setdefault(finding.kind, finding)
    return list(found.values())


def sentences(findings: Sequence[TemplateFinding], *levels: Level) -> list[str]:
    return [finding.message for finding in findings if finding.level in levels]


def _findings(tokenizer: Any, template: ChatTemplate, ends: Set[int]) -> Iterator[TemplateFinding]:
    from jinja2 import TemplateError

    yield from _about_ends(template, ends)
    refused = []
    for turns in TURNS:
        for system in ([], [SYSTEM]):
            messages = [*system, *_talk(turns)]
            try:
                taught = conversation(messages, template)
                yield from _compare(messages, taught, tokenizer, template, ends)
            except TemplateError as error:
                refused.append((turns, bool(system), str(error)))
    yield from _about_refusals(refused)


def _talk(turns: int) -> list[dict[str, str]]:
    return [
        {"role": role, "content": text}
        for pair in TALK[:turns]
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]


def _about_ends(template: ChatTemplate, ends: Set[int]) -> Iterator[TemplateFinding]:
    if not template.ends and not template.eos:
        yield TemplateFinding(
            "no_end",
            "error",
            (
                "The chat template ends an answer with no token of its own, and the tokenizer has none: "
                "a model trained with it would never stop. Add an eos_token to the tokenizer's configuration."
            ),
        )
    elif not template.ends:
        yield TemplateFinding(
            "end_added",
            "info",
            (
                f"The chat template ends an answer with no token of its own. So that the model stops, "
                f"{template.eos} is learned behind the last answer of each row."
            ),
        )
    elif not set(template.ends) & ends:
        yield TemplateFinding(
            "end_does_not_stop",
            "error",
            f"The model does not stop at {', '.join(template.ends.values())}, with which answers end.",
        )


def _compare(
    messages: Messages,
    taught: Sequence[TaughtSequence],
    tokenizer: Any,
    template: ChatTemplate,
    ends: Set[int],
) -> Iterator[TemplateFinding]:
    answers = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    if len(taught) > 1:
        yield TemplateFinding(
            "answers_apart",
            "info",
            (
                "The chat template writes earlier answers of a conversation otherwise than the last one. So "
                "each is learned in a sequence of its own, as it will be asked for. This takes more tokens."
            ),
        )
    learned = [answer for one in taught for answer in _learned_answers(one)]
    if len(learned) < len(answers):
        yield TemplateFinding(
            "not_all_learned",
            "error",
            f"Of {len(answers)} answers of a conversation this template lets only {len(learned)} be learned.",
        )
    by_prompt = {tuple(prompt): answer for prompt, answer in learned}
    for place in answers:
        answer = by_prompt.get(tuple(template.prompt(messages[:place])))
        if answer is None:
            yield TemplateFinding(
                "other_prompt",
                "warn",
                (
                    "The chat template asks for an answer with other tokens than it writes before one, so a "
                    "model is asked otherwise than it was taught."
                ),
            )
        elif len(learned) == len(answers):
            yield from _compare_answer(messages[place]["content"], answer, tokenizer, template, ends)


def _compare_answer(
    text: str, answer: Sequence[int], tokenizer: Any, template: ChatTemplate, ends: Set[int]
) -> Iterator[TemplateFinding]:
    if template.ends and not ends & set(answer[-1:]):
        yield TemplateFinding(
            "end_not_learned",
            "error",
            "The token that ends an answer is not learned with this template: the model would never stop.",
        )
    if text.strip() not in tokenizer.decode(list(answer)):
        yield TemplateFinding(
            "answer_changed",
            "warn",
            "The chat template changes the text of an answer, so another text is learned than the row has.",
        )


def _learned_answers(one: TaughtSequence) -> Iterator[tuple[list[int], list[int]]]:
    """(tokens before, tokens of the answer) of each answer that is learned."""
    starts = [at for at, bit in enumerate(one.learned) if bit and (at == 0 or not one.learned[at - 1])]
    for start in starts:
        stop = next((at for at in range(start, len(one.ids)) if not one.learned[at]), len(one.ids))
        yield one.ids[:start], one.ids[start:stop]


def _about_refusals(refused: Sequence[tuple[int, bool, str]]) -> Iterator[TemplateFinding]:
    """``refused``: turns, whether there was a system text, the template's words."""
    if not refused:
        return
    said = refused[0][2].rstrip(".")
    if len(refused) == 2 * len(TURNS):
        yield TemplateFinding(
            "refuses_all", "error", f"The chat template refuses every conversation: “{said}”."
        )
    elif all(system for _, system, _ in refused):
        yield TemplateFinding(
            "refuses_system",
            "warn",
            (
                f"The chat template takes no system text (“{said}”): rows that have one cannot be learned "
                "with this base. In a chat it is put before the first question."
            ),
        )
    else:
        turns = sorted({turns for turns, system, _ in refused if not system})
        yield TemplateFinding(
            "refuses_long",
            "warn",
            f"The chat template refuses conversations of {' and '.join(map(str, turns))} turns: “{said}”.",
        )
