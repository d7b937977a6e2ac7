"""From a conversation to the tokens of a prompt: what fits the model's context, and what is left out of it.

A long conversation costs no more than what fits: messages are counted from the newest to the oldest, each
once and only until the context is full, and only what may fit is put through the chat template. Counting a
text in pieces is a few tokens off, so what is near the limit is counted as a whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.inference.loaded import ChatTokenizer

PIECE = 8_192  # characters that are counted at a time
PER_MESSAGE = 3  # tokens, at least, that a template adds to a message
CLEARLY = 1.25  # times the context: so much is too long, however it is counted
ROOM_FOR_ANSWER = 128  # tokens left free when old turns are left out
Messages = Sequence[dict[str, str]]


class RequestRefused(Exception):
    """A request that cannot be answered; ``code`` is the error's stable code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True)
class Prompt:
    """``left_out``: messages of the conversation that are not in it."""

    tokens: list[int]
    left_out: int = 0


def make_prompt(
    messages: Messages, chat_tokenizer: ChatTokenizer, *, forget: bool, most_tokens: int
) -> Prompt:
    """The whole conversation; with ``forget`` without its oldest turns when it is too long.

    ``most_tokens``: how long the answer may become. Raises RequestRefused.
    """
    context = chat_tokenizer.context_length
    if not forget:
        _require_near(messages, chat_tokenizer)
        return Prompt(_require_room(_render(messages, chat_tokenizer), context))
    room = min(most_tokens, ROOM_FOR_ANSWER, context // 4)
    kept, tokens = _fitting(list(messages), chat_tokenizer, context - room)
    return Prompt(_require_room(tokens, context), len(messages) - len(kept))


def _fitting(
    messages: list[dict[str, str]], chat_tokenizer: ChatTokenizer, most: int
) -> tuple[list[dict[str, str]], list[int]]:
    """The newest turns that fit, with every system message, and their tokens."""
    counts = _count_newest(messages, chat_tokenizer, most)
    kept = messages
    while sum(counts[id(message)] for message in kept) > most and (shorter := _without_oldest(kept)):
        kept = shorter
    _require_near(kept, chat_tokenizer)
    tokens = _render(kept, chat_tokenizer)
    while len(tokens) > most and (shorter := _without_oldest(kept)):
        kept, tokens = shorter, _render(shorter, chat_tokenizer)
    return kept, tokens


def _count_newest(messages: Messages, chat_tokenizer: ChatTokenizer, most: int) -> dict[int, int]:
    """Tokens by the message's identity, newest first, system messages before all.

    When the context is full, the older ones are not counted: each is too long for what is left.
    """
    counts, left = {}, most
    newest_first = messages[::-1]
    for message in sorted(newest_first, key=lambda message: message["role"] != "system"):
        is_full = left <= 0 and message["role"] != "system"
        counted = most + 1 if is_full else PER_MESSAGE + count(message["content"], chat_tokenizer, left)
        counts[id(message)] = counted
        left -= counted
    return counts


def _require_near(messages: Messages, chat_tokenizer: ChatTokenizer) -> None:
    """Raises RequestRefused for what is clearly too long: a megabyte is not tokenized for a refusal."""
    context = chat_tokenizer.context_length
    most, counted = int(context * CLEARLY) + 64, 0
    for message in messages:
        counted += count(message["content"], chat_tokenizer, most - counted)
        if counted > most:
            raise _too_long(context, f"more than {context}")


def _require_room(tokens: list[int], context: int) -> list[int]:
    if len(tokens) >= context:
        raise _too_long(context, str(len(tokens)))
    return tokens


def _too_long(context: int, counted: str) -> RequestRefused:
    sentence = f"This model reads at most {context} tokens; the conversation has {counted}. Send less."
    return RequestRefused("context_length_exceeded", sentence)


def count(text: str, chat_tokenizer: ChatTokenizer, most: int) -> int:
    """Tokens of a text; counting ends when there are more than ``most``."""
    total = 0
    for piece in _pieces(text):
        total += chat_tokenizer.count(piece)
        if total > most:
            break
    return total


def _pieces(text: str) -> Iterator[str]:
    for begin in range(0, len(text), PIECE):
        yield text[begin : begin + PIECE]


def _without_oldest(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """Without the oldest question and its answer; system messages and the newest message stay.

    Empty when nothing can go.
    """
    turns = [place for place, message in enumerate(messages[:-1]) if message["role"] != "system"]
    if not turns:
        return []
    gone = {turns[0]}
    if len(turns) > 1 and messages[turns[1]]["role"] == "assistant":
        gone.add(turns[1])
    return [message for place, message in enumerate(messages) if place not in gone]


def _render(messages: Messages, chat_tokenizer: ChatTokenizer) -> list[int]:
    from jinja2 import TemplateError

    try:
        return chat_tokenizer.template.prompt(messages)
    except TemplateError:
        pass  # many templates refuse a system message; its text can stand before the first question
    try:
        return chat_tokenizer.template.prompt(_system_into_first(messages))
    except TemplateError as error:
        raise RequestRefused(
            "validation_error", f"The model's chat template refuses these messages: {error}"
        ) from error


def _system_into_first(messages: Messages) -> list[dict[str, str]]:
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    others = [dict(m) for m in messages if m["role"] != "system"]
    if others and system:
        others[0]["content"] = f"{system}\n\n{others[0]['content']}"
    return others
