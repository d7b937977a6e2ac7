"""From rows to tokens: what the model reads, and which of it is learned.

Only what the assistant says is learned, its end token included, unless the loss is asked for on all;
``core.chat_templates`` says which tokens these are. All of a plain text is learned. Of a preference the two
answers are compared, not what was said before.

``render`` is the one place where that is decided. The training cuts what it returns (:func:`read`), the
preview shows it.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from core.chat_templates import ChatTemplate, TaughtSequence, conversation, seams, template_of
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

    ``text``: as the chat template writes it.

    ``part``: "" for a whole row, "preferred" or "non_preferred" for a preference.

    ``answer_at``: where the last answer begins; None in a plain text.
    """

    ids: list[int]
    learned: list[bool]
    text: str
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
    apart: int = 0  # conversations whose answers became a sequence each
    typed: dict[int, str] = field(default_factory=dict)  # line -> the first control token that stands in it


def read(rows: Rows, tokenizer: Any, settings: CommonSettings) -> TokenizedRows:
    """Tokenize every row. Raises TrainingFailed with the line of the first row that is wrong."""
    reading = TokenizedRows()
    for line, example in rows:
        if isinstance(example, list):
            raise _wrong(line, f"{example[0].field} {example[0].message}")
        add_or_fail(reading, line, example, tokenizer, settings)
    return reading


def add_or_fail(
    reading: TokenizedRows, line: int, example: Example, tokenizer: Any, settings: CommonSettings
) -> None:
    """``add``; raises TrainingFailed with the line for what the chat template refuses."""
    from jinja2 import TemplateError

    try:
        add(reading, line, example, tokenizer, settings)
    except TemplateError as error:
        raise _wrong(line, refusal(error)) from error


def _wrong(line: int, what: str) -> TrainingFailed:
    return TrainingFailed(f"Line {line}: {what}", code="invalid_training_file", line=line)


def refusal(error: Exception) -> str:
    """What a chat template said of a conversation: the field, and the sentence about it."""
    return f"messages: the chat template refuses them: {error}"


def add(
    reading: TokenizedRows, line: int, example: Example, tokenizer: Any, settings: CommonSettings
) -> None:
    """One row more. Raises jinja2.TemplateError for what the chat template refuses."""
    rendered = render(example, tokenizer, settings)
    if any(len(one.ids) > settings.max_length for one in rendered) and not isinstance(example, Text):
        reading.cut.append(line)
    items = list(_items(example, kept_of(example, rendered, settings, key=key_of(example), line=line)))
    if not items:
        reading.empty.append(line)
        reading.needed += _needed(rendered)
        reading.num_unweighted += isinstance(example, ChatExample) and not has_weight(example)
    reading.same += [line for item in items if isinstance(item, Pair) and item.is_same]
    reading.items.extend(items)
    reading.apart += isinstance(example, ChatExample) and len(rendered) > 1
    if typed := _typed_in(example, tokenizer):
        reading.typed[line] = typed


def _typed_in(example: Example, tokenizer: Any) -> str:
    if isinstance(example, Text):
        messages: list[dict[str, Any]] = [{"content": example.text}]
    elif isinstance(example, PreferenceExample):
        messages = [*example.messages, *example.preferred, *example.non_preferred]
    else:
        messages = example.messages
    return next(iter(template_of(tokenizer).typed_in(messages)), "")


def key_of(example: Example) -> str:
    """A hash of a row's content: equal rows have the same."""
    content = json.dumps(asdict(example), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()


def render(example: Example, tokenizer: Any, settings: CommonSettings) -> list[Rendered]:
    """What a row becomes before it is cut: one sequence, two for a preference, or one for each answer where
    the chat template writes earlier answers otherwise than the last.

    ``learned`` of the first token is never set. Raises jinja2.TemplateError for what the template refuses.
    """
    if isinstance(example, Text):
        return [_render_text(example.text, tokenizer)]
    template = template_of(tokenizer)
    if isinstance(example, PreferenceExample):
        question = [{**m, "weight": 0} if m["role"] == "assistant" else m for m in example.messages]
        return [
            _rendered(conversation([*question, *answer], template)[-1], part=part)
            for part, answer in (("preferred", example.preferred), ("non_preferred", example.non_preferred))
        ]
    if settings.loss_on == "all":
        return [_all_of(example.messages, template)]
    return [_rendered(taught) for taught in conversation(example.messages, template)]


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


def kept_of(
    example: Example, rendered: Sequence[Rendered], settings: CommonSettings, *, key: str = "", line: int = 0
) -> list[list[Tokens]]:
    """What is trained of each rendered sequence: itself, cut; the windows of a text; or nothing, where
    nothing is left to learn. Of a preference both or none."""
    most = settings.max_length
    if isinstance(example, Text):
        return [list(_windows(one, most, key, line)) for one in rendered]
    cut = [_cut(one, most, key, line) for one in rendered]
    kept = [[tokens] if tokens.learned.any() else [] for tokens in cut]
    return kept if all(kept) or not isinstance(example, PreferenceExample) else [[] for _ in kept]


def _items(example: Example, kept: Sequence[Sequence[Tokens]]) -> Iterator[Item]:
    tokens = [one for sequences in kept for one in sequences]
    if isinstance(example, PreferenceExample):
        if tokens:
            yield Pair(tokens[0], tokens[1], tokens[0].key, tokens[0].line)
        return
    yield from tokens


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
    return Rendered(ids, _without_first([True] * len(ids)), text)


def _rendered(taught: TaughtSequence, *, part: str = "") -> Rendered:
    return Rendered(taught.ids, _without_first(taught.learned), taught.text, part, taught.answer_at)


def _all_of(messages: list[dict[str, Any]], template: ChatTemplate) -> Rendered:
    """Everything is learned, so earlier answers need no sequence of their own."""
    written = template.write(messages)
    begins = seams(template.prompts(messages).values(), written)
    ids, places = template.encode(written, begins)
    answer_at = next((at for at, (begin, _) in enumerate(places) if begins and begin >= begins[-1]), None)
    return Rendered(ids, _without_first([True] * len(ids)), written.text, "", answer_at)


def _without_first(learned: list[bool]) -> list[bool]:
    """The first token has nothing before it to be predicted from."""
    return [False, *learned[1:]]
