"""What a model wrote to itself, between ``<think>`` and ``</think>``, apart from what it answers."""

import re
from dataclasses import dataclass

MARKED = re.compile(
    r"(?P<code>```[\s\S]*?(?:```|\Z)|`[^`\n]+`)"
    r"|<(?P<tag>think|thinking|reasoning)>(?P<inner>[\s\S]*?)(?:</(?P=tag)>|\Z)"
)
# Some templates write the opening mark into the prompt, so that only the closing one is in the answer
UNOPENED = re.compile(r"\A(?P<inner>(?:(?!<think>|```)[\s\S])*?)</think>")


@dataclass(frozen=True)
class AnswerPart:
    text: str
    is_reasoning: bool


def split(text: str) -> list[AnswerPart]:
    """The parts in their order, none of them blank. Marks within code are code."""
    parts, at = [], 0
    if unopened := UNOPENED.match(text):
        parts.append(AnswerPart(unopened["inner"], is_reasoning=True))
        at = unopened.end()
    begin = at
    for match in MARKED.finditer(text, at):
        if match["code"] is None:
            parts.append(AnswerPart(text[begin : match.start()], is_reasoning=False))
            parts.append(AnswerPart(match["inner"], is_reasoning=True))
            begin = match.end()
    parts.append(AnswerPart(text[begin:], is_reasoning=False))
    return [part for part in parts if part.text.strip()]


def answer_of(text: str) -> str:
    """Without the reasoning."""
    return "".join(part.text for part in split(text) if not part.is_reasoning)
