"""From rows to tokens: what the model reads, and which of it is learned.

Only what the assistant says is learned, its end token included. Where the chat template marks it (``{% generation %}``), the marks
decide; elsewhere the conversation is rendered turn by turn and the difference is the answer. All of a plain text is learned.
Rows that leave nothing to learn are counted and left out; a row with a mistake ends the training with its line.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from core.formats import Chat, Example, Text
from core.training.method import Rows, TrainingFailed
from core.weights import PLAIN_TEMPLATE


@dataclass(frozen=True)
class Tokens:
    """One row as tokens. ``learned`` says for each token whether the model has to produce it."""

    ids: np.ndarray[Any, Any]
    learned: np.ndarray[Any, Any]
    key: str = ""  # hash of the row's content

    def __len__(self) -> int:
        return len(self.ids)


@dataclass
class Reading:
    """All rows of one version as tokens, and what happened on the way."""

    sequences: list[Tokens] = field(default_factory=list)
    cut: int = 0
    empty: int = 0


def read(rows: Rows, tokenizer: Any, *, max_length: int) -> Reading:
    """Tokenize every row. Raises TrainingFailed with the line of the first row that is wrong."""
    reading = Reading()
    for line, example in rows:
        if isinstance(example, list):
            raise TrainingFailed(f"Line {line}: {example[0].field} {example[0].message}", code="invalid_training_file", line=line)
        found = list(_sequences(example, tokenizer, max_length, reading))
        reading.empty += not found
        reading.sequences.extend(found)
    return reading


def split(sequences: Sequence[Tokens], *, fraction: float, seed: int) -> tuple[list[Tokens], list[Tokens]]:
    """(train, validation) by a hash of the content: the same row is never on both sides, wherever it stands."""
    if fraction <= 0:
        return list(sequences), []
    contents = sorted({s.key for s in sequences}, key=lambda key: hashlib.sha256(f"{seed}:{key}".encode()).digest())
    held_out = set(contents[: min(len(contents) - 1, max(1, round(fraction * len(contents))))])
    return [s for s in sequences if s.key not in held_out], [s for s in sequences if s.key in held_out]


def prepare_tokenizer(tokenizer: Any) -> Any:
    """A tokenizer that can render chats; the template goes on with the tuned model."""
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN_TEMPLATE
    return tokenizer


def _sequences(example: Example, tokenizer: Any, max_length: int, reading: Reading) -> Iterator[Tokens]:
    key = hashlib.sha256(json.dumps(asdict(example), sort_keys=True, ensure_ascii=False).encode()).hexdigest()
    if isinstance(example, Text):
        yield from _windows(example.text, tokenizer, max_length, key)
        return
    if not isinstance(example, Chat):
        raise TrainingFailed("This method learns from chats, prompts with completions, or text.", code="invalid_training_file")
    ids, learned = render_chat(example.messages, tokenizer)
    reading.cut += len(ids) > max_length
    mask = np.array(learned[:max_length], dtype=bool)
    mask[:1] = False  # the first token has nothing before it to be predicted from
    if mask.any():
        yield Tokens(np.array(ids[:max_length], dtype=np.int64), mask, key)


def render_chat(messages: list[dict[str, Any]], tokenizer: Any) -> tuple[list[int], list[bool]]:
    """Token ids of a conversation, and for each whether the assistant says it."""
    plain = [{"role": m["role"], "content": m["content"]} for m in messages]
    weighted = any(m.get("weight") == 0 for m in messages)
    if "generation %}" in tokenizer.chat_template and not weighted:
        made = tokenizer.apply_chat_template(plain, return_dict=True, return_assistant_tokens_mask=True)
        return made["input_ids"], [bool(bit) for bit in made["assistant_masks"]]
    return _render_by_turns(plain, [m.get("weight") != 0 for m in messages], tokenizer)


def _render_by_turns(messages: list[dict[str, str]], wanted: list[bool], tokenizer: Any) -> tuple[list[int], list[bool]]:
    whole = tokenizer.apply_chat_template(messages, tokenize=False)
    spans = [
        _answer_span(messages[: i + 1], whole, tokenizer) for i, m in enumerate(messages) if m["role"] == "assistant" and wanted[i]
    ]
    made = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
    learned = [
        any(begin <= start and end > start and start < stop for begin, stop in spans) for start, end in made["offset_mapping"]
    ]
    return made["input_ids"], learned


def _answer_span(messages: list[dict[str, str]], whole: str, tokenizer: Any) -> tuple[int, int]:
    """Where in ``whole`` the last message of ``messages`` stands: (first character, end)."""
    prompt = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
    answered = tokenizer.apply_chat_template(messages, tokenize=False)
    # A template may render the last turn differently from the same turn further up: only what they share is sure.
    return _shared(prompt, whole), _shared(answered, whole)


def _shared(a: str, b: str) -> int:
    """Length of the common beginning."""
    if b.startswith(a):
        return len(a)
    return next(i for i, (x, y) in enumerate(zip(a + "\0", b + "\1", strict=False)) if x != y)


def _windows(text: str, tokenizer: Any, max_length: int, key: str) -> Iterator[Tokens]:
    """A text in pieces of at most ``max_length`` tokens, with the end token after the last."""
    ids = tokenizer(text)["input_ids"]
    if tokenizer.eos_token_id is not None and (not ids or ids[-1] != tokenizer.eos_token_id):
        ids = [*ids, tokenizer.eos_token_id]
    for start in range(0, len(ids), max_length):
        piece = np.array(ids[start : start + max_length], dtype=np.int64)
        if len(piece) > 1:
            yield Tokens(piece, np.arange(len(piece)) > 0, key)
