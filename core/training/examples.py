"""From rows to tokens: what the model reads, and which of it is learned.

Only what the assistant says is learned, its end token included, unless the loss is asked for on all. Where
the chat template marks it (``{% generation %}``), the marks decide; elsewhere the conversation is rendered
turn by turn and the difference is the answer. All of a plain text is learned. Of a preference the two answers
are compared, not what was said before.

``render`` is the one place where that is decided. The training cuts what it returns (:func:`read`), the
preview shows it.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from core.formats import ChatExample, Example, PreferenceExample, Text
from core.formats.tally import has_weight
from core.training.method import Rows, TrainingFailed
from core.training.settings import CommonSettings
from core.weights import PLAIN_TEMPLATE

FEWEST_ROWS = 2  # with something to learn; below, there is no training
FEW_ROWS = 10  # below, people are warned
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Rendered:
    """One sequence of a row before it is cut.

    ``part``: "" for a whole row, "preferred" or "non_preferred" for a preference.

    ``answer_at``: where the last answer begins; None in a plain text.
    """

    ids: list[int]
    learned: list[bool]
    part: str = ""
    answer_at: int | None = None


@dataclass(frozen=True)
class Tokens:
    """One sequence as trained. ``learned`` says for each token whether the model has to produce it."""

    ids: Array
    learned: Array
    key: str = ""  # hash of the row's content
    line: int = 0  # of the dataset, from 1
    answer_at: int | None = None  # where the last answer begins; None in a plain text

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_learned(self) -> int:
        return int(self.learned.sum())

    @property
    def asked(self) -> int:
        """How many tokens ask: up to the last answer;
        of a text, or where the answer was cut away, a third."""
        if self.answer_at is None or self.answer_at >= len(self):
            return max(1, len(self) // 3)
        return self.answer_at


@dataclass(frozen=True)
class Pair:
    """A preference as trained: the same conversation with the better and with the worse answer."""

    preferred: Tokens
    non_preferred: Tokens
    key: str = ""
    line: int = 0

    def __len__(self) -> int:
        return len(self.preferred) + len(self.non_preferred)

    @property
    def num_learned(self) -> int:
        return self.preferred.num_learned + self.non_preferred.num_learned

    @property
    def is_same(self) -> bool:
        """Whether both answers are the same, as they are trained."""
        return np.array_equal(self.preferred.ids, self.non_preferred.ids)


Item = Tokens | Pair


@dataclass
class TokenizedRows:
    """All rows of one version as tokens, and what happened on the way. Lines count from 1."""

    items: list[Any] = field(default_factory=list)  # Tokens or Pair, as the method has it
    cut: list[int] = field(default_factory=list)  # lines that were longer than allowed
    empty: list[int] = field(default_factory=list)  # lines that leave nothing to learn
    # of those whose answer lies beyond what is allowed: tokens up to its first one, and all
    needed: list[tuple[int, int]] = field(default_factory=list)
    num_unweighted: int = 0  # of the empty ones: all their answers have weight 0
    same: list[int] = field(default_factory=list)  # lines whose two answers are the same


def read(rows: Rows, tokenizer: Any, settings: CommonSettings) -> TokenizedRows:
    """Tokenize every row. Raises TrainingFailed with the line of the first row that is wrong."""
    reading = TokenizedRows()
    for line, example in rows:
        if isinstance(example, list):
            raise TrainingFailed(
                f"Line {line}: {example[0].field} {example[0].message}",
                code="invalid_training_file",
                line=line,
            )
        add(reading, line, example, tokenizer, settings)
    return reading


def add(
    reading: TokenizedRows, line: int, example: Example, tokenizer: Any, settings: CommonSettings
) -> None:
    """One row more."""
    rendered = render(example, tokenizer, settings)
    if any(len(one.ids) > settings.max_length for one in rendered) and not isinstance(example, Text):
        reading.cut.append(line)
    items = list(_items(example, rendered, settings.max_length, key_of(example), line))
    if not items:
        reading.empty.append(line)
        reading.needed += _needed(rendered)
        reading.num_unweighted += isinstance(example, ChatExample) and not has_weight(example)
    reading.same += [line for item in items if isinstance(item, Pair) and item.is_same]
    reading.items.extend(items)


def key_of(example: Example) -> str:
    """A hash of a row's content: equal rows have the same."""
    content = json.dumps(asdict(example), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()


def render(example: Example, tokenizer: Any, settings: CommonSettings) -> list[Rendered]:
    """What a row becomes before it is cut: one sequence, or two for a preference.

    ``learned`` of the first token is never set.
    """
    if isinstance(example, Text):
        return [_render_text(example.text, tokenizer)]
    if isinstance(example, PreferenceExample):
        question = [{**m, "weight": 0} if m["role"] == "assistant" else m for m in example.messages]
        return [
            _rendered(*render_chat([*question, *answer], tokenizer), part=part)
            for part, answer in (("preferred", example.preferred), ("non_preferred", example.non_preferred))
        ]
    return [_rendered(*render_chat(example.messages, tokenizer), learn_all=settings.loss_on == "all")]


def very_few(num_rows: int) -> str:
    """The warning about fewer than ``FEW_ROWS``, before and during a training."""
    if num_rows == 1:
        return "1 row is very little: the model will repeat it rather than learn from it."
    return f"{num_rows} rows are very few: the model will repeat them rather than learn from them."


def num_held_out(num_rows: int, fraction: float) -> int:
    """How many of so many different rows are kept for validation: none at 0, else at least one, never all."""
    return min(max(num_rows - 1, 0), max(1, round(fraction * num_rows))) if fraction > 0 else 0


def split(items: Sequence[Any], *, fraction: float, seed: int) -> tuple[list[Any], list[Any]]:
    """(train, validation) by a hash of the content:
    the same row is never on both sides, wherever it stands."""
    contents = sorted(
        {s.key for s in items}, key=lambda key: hashlib.sha256(f"{seed}:{key}".encode()).digest()
    )
    held_out = set(contents[: num_held_out(len(contents), fraction)])
    return [s for s in items if s.key not in held_out], [s for s in items if s.key in held_out]


def prepare_tokenizer(tokenizer: Any) -> Any:
    """A tokenizer that can render chats; the template goes on with the tuned model."""
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN_TEMPLATE
    return tokenizer


def render_chat(messages: list[dict[str, Any]], tokenizer: Any) -> tuple[list[int], list[bool]]:
    """Token ids of a conversation,
    and for each whether the assistant says it (in a message whose weight is not 0)."""
    plain = [{"role": m["role"], "content": m["content"]} for m in messages]
    weighted = any(m.get("weight") == 0 for m in messages)
    if "generation %}" in tokenizer.chat_template and not weighted:
        encoding = tokenizer.apply_chat_template(plain, return_dict=True, return_assistant_tokens_mask=True)
        return encoding["input_ids"], [bool(bit) for bit in encoding["assistant_masks"]]
    return _render_by_turns(plain, [m.get("weight") != 0 for m in messages], tokenizer)


def _items(example: Example, rendered: list[Rendered], most: int, key: str, line: int) -> Iterator[Item]:
    if isinstance(example, Text):
        yield from _windows(rendered[0], most, key, line)
        return
    cut = [_cut(one, most, key, line) for one in rendered]
    if not all(tokens.learned.any() for tokens in cut):
        return
    yield Pair(cut[0], cut[1], key, line) if isinstance(example, PreferenceExample) else cut[0]


def _needed(rendered: list[Rendered]) -> Iterator[tuple[int, int]]:
    """(tokens up to the first that is learned, all tokens) of a row that has any to learn."""
    if all(any(one.learned) for one in rendered):
        yield max(one.learned.index(True) + 1 for one in rendered), max(len(one.ids) for one in rendered)


def _cut(one: Rendered, most: int, key: str, line: int) -> Tokens:
    ids, learned = np.array(one.ids[:most], dtype=np.int64), np.array(one.learned[:most], dtype=bool)
    return Tokens(ids, learned, key, line, one.answer_at)


def _windows(text: Rendered, most: int, key: str, line: int) -> Iterator[Tokens]:
    """A text in pieces of at most ``most`` tokens;
    the first token of each has nothing before it to be predicted from."""
    for start in range(0, len(text.ids), most):
        piece = np.array(text.ids[start : start + most], dtype=np.int64)
        if len(piece) > 1:
            yield Tokens(piece, np.arange(len(piece)) > 0, key, line)


def _render_text(text: str, tokenizer: Any) -> Rendered:
    ids = tokenizer(text)["input_ids"]
    if tokenizer.eos_token_id is not None and (not ids or ids[-1] != tokenizer.eos_token_id):
        ids = [*ids, tokenizer.eos_token_id]
    return Rendered(ids, _without_first([True] * len(ids)))


def _rendered(ids: list[int], said: list[bool], *, part: str = "", learn_all: bool = False) -> Rendered:
    """``said``: what the assistant says. An answer follows a token that it does not say."""
    starts = [i for i in range(1, len(said)) if said[i] and not said[i - 1]]
    return Rendered(
        ids, _without_first([True] * len(ids) if learn_all else said), part, starts[-1] if starts else None
    )


def _without_first(learned: list[bool]) -> list[bool]:
    """The first token has nothing before it to be predicted from."""
    return [False, *learned[1:]]


def _render_by_turns(
    messages: list[dict[str, str]], wanted: list[bool], tokenizer: Any
) -> tuple[list[int], list[bool]]:
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    spans = [
        _answer_span(messages[: i + 1], text, tokenizer)
        for i, m in enumerate(messages)
        if m["role"] == "assistant" and wanted[i]
    ]
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    learned = [
        any(begin <= start and end > start and start < stop for begin, stop in spans)
        for start, end in encoding["offset_mapping"]
    ]
    return encoding["input_ids"], learned


def _answer_span(messages: list[dict[str, str]], whole: str, tokenizer: Any) -> tuple[int, int]:
    """Where in ``whole`` the last message of ``messages`` stands: (first character, end)."""
    prompt = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
    answered = tokenizer.apply_chat_template(messages, tokenize=False)
    # A template may render the last turn differently from the same turn further up: only what they share is
    # sure.
    return _shared(prompt, whole), _shared(answered, whole)


def _shared(a: str, b: str) -> int:
    """Length of the common beginning."""
    if b.startswith(a):
        return len(a)
    return next(i for i, (x, y) in enumerate(zip(a + "\0", b + "\1", strict=False)) if x != y)
