"""A conversation in the words of a chat template, and the tokens of that."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

Messages = Sequence[Mapping[str, Any]]
Span = tuple[int, int]  # characters: the first, and the one behind the last
Encoded = tuple[list[int], list[Span]]  # token ids, and the characters of each
ANSWER = "Lima"  # of a conversation that only shows what stands behind an answer
# Characters that Unicode promises to give to nobody, and those for private use. Two that no message has stand
# around what was typed.
MARKERS = (*range(0xFDD0, 0xFDF0), *range(0xF0000, 0xFFFFE))
Markers = tuple[str, str]


@dataclass(frozen=True)
class Written:
    """A conversation as text.

    ``typed``: control tokens that stand in a message and are text there; ``said``: what the template marks as
    the assistant's (``{% generation %}``). Both in order.
    """

    text: str
    typed: tuple[Span, ...] = ()
    said: tuple[Span, ...] = ()

    def joined(self, other: "Written", *, without: int) -> "Written":
        """With ``other`` behind it, of which the first ``without`` characters are left out."""
        shift = len(self.text) - without
        later = [
            tuple((max(begin, without) + shift, end + shift) for begin, end in spans if end > without)
            for spans in (other.typed, other.said)
        ]
        text = self.text + other.text[without:]
        return Written(text, (*self.typed, *later[0]), (*self.said, *later[1]))


class ChatTemplate:
    """The chat template of a tokenizer (Hugging Face's, with a template). Any thread may use it."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._template = str(tokenizer.get_chat_template())
        self._marks_answers = re.search(r"\{%-?\s*generation\s*-?%\}", self._template) is not None
        added = tokenizer.added_tokens_decoder
        self._added = {number: str(token.content) for number, token in added.items()}
        special = {str(token.content) for token in added.values() if token.special}
        self._control = _any_of({*special, *map(str, tokenizer.all_special_tokens)})
        # the token that ends an answer is one that only the template writes, whatever the tokenizer calls it
        self._control = _any_of({*special, *map(str, tokenizer.all_special_tokens), *self.ends.values()})

    @cached_property
    def ends(self) -> dict[int, str]:
        """The token that the template writes behind an answer; empty where it writes none."""
        from jinja2 import TemplateError

        asked = [{"role": "user", "content": "?"}, {"role": "assistant", "content": ANSWER}]
        try:
            text = self.write(asked).text
        except TemplateError:
            return {}
        _, found, behind = text.rpartition(ANSWER)
        ids = self._encode_piece(behind)[0] if found else []
        first = next((token for token in ids if self._added.get(token, "").strip()), None)
        return {} if first is None else {first: self._added[first]}

    @property
    def eos(self) -> str:
        """The text of the tokenizer's own last token; empty where there is none."""
        return str(self._tokenizer.eos_token or "")

    def write(self, messages: Messages, *, ask: bool = False, marks: bool = False) -> Written:
        """``ask``: up to where the next answer begins. ``marks``: with ``said``.

        Raises jinja2.TemplateError for what the template refuses.
        """
        plain = [{"role": m["role"], "content": m["content"]} for m in messages]
        around = self._mark_typed(plain)
        marks = marks and self._marks_answers
        rendered, said = _render(self._tokenizer, self._template, plain, ask=ask, marks=marks)
        return _without_markers(rendered, said, around) if around else Written(rendered, (), said)

    def prompt(self, messages: Messages) -> list[int]:
        """The tokens with which the next answer is asked for. Raises jinja2.TemplateError."""
        written = self.write(messages, ask=True)
        return self.encode(written, seams(self.prompts(messages).values(), written))[0]

    def prompts(self, messages: Messages) -> dict[int, Written]:
        """What asks for each answer of a conversation, by its place. Raises jinja2.TemplateError."""
        return {
            place: self.write(messages[:place], ask=True)
            for place, message in enumerate(messages)
            if place and message["role"] == "assistant"
        }

    def typed_in(self, messages: Messages) -> list[str]:
        """The control tokens that stand in the messages."""
        return [
            found
            for message in messages
            if isinstance(message["content"], str)
            for found in self._control.findall(message["content"])
        ]

    def encode(self, written: Written, seams: Iterable[int] = ()) -> Encoded:
        """Token ids and their characters.

        ``seams``: characters where answers begin. What stands before one is tokenized as if nothing followed,
        because nothing does when the answer is asked for. No token is made of what was typed.
        """
        # of "<|end|>" the first character is tokenized apart, so that nothing takes it for the token
        inside = {place for begin, end in written.typed for place in (begin, begin + 1, end)}
        ids, spans = [], []
        places = sorted({0, *inside, *seams, len(written.text)})
        for begin, end in pairwise(places):
            more, where = self._encode_piece(written.text[begin:end], continues=begin > 0)
            ids += more
            spans += [(first + begin, last + begin) for first, last in where] if begin else where
        return ids, spans

    def _encode_piece(self, text: str, *, continues: bool = False) -> Encoded:
        """``continues``: something stands before it, so no space is put there."""
        if not continues or not self._puts_space_before:
            return self._tokenize(text)
        ids, spans = self._tokenize("\n" + text)
        if any(first < 1 < last for first, last in spans):
            return self._tokenize(text)
        kept = [place for place, (first, _) in enumerate(spans) if first >= 1]
        return [ids[place] for place in kept], [(spans[place][0] - 1, spans[place][1] - 1) for place in kept]

    @cached_property
    def _puts_space_before(self) -> bool:
        """Whether the tokenizer puts a space before each text that it is given, as sentencepiece's do."""
        letter = self._tokenize("a")[0]
        return str(self._tokenizer.decode([*letter, *letter])).strip() != "aa"

    def _tokenize(self, text: str) -> Encoded:
        encoding = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return list(encoding["input_ids"]), list(encoding["offset_mapping"])

    def _mark_typed(self, messages: list[dict[str, Any]]) -> Markers | None:
        """Puts two markers around each control token in a message; returns them, or None."""
        texts = [m["content"] for m in messages if isinstance(m["content"], str)]
        if not any(map(self._control.search, texts)):
            return None
        begin, end = islice(unused_characters(texts), 2)
        for message in messages:
            if isinstance(message["content"], str):
                message["content"] = self._control.sub(f"{begin}\\g<0>{end}", message["content"])
        return begin, end


_templates: WeakKeyDictionary[Any, tuple[Any, ChatTemplate]] = WeakKeyDictionary()


def template_of(tokenizer: Any) -> ChatTemplate:
    """Made once for a tokenizer and its template."""
    known = _templates.get(tokenizer)
    if known is None or known[0] != tokenizer.chat_template:
        known = (tokenizer.chat_template, ChatTemplate(tokenizer))
        _templates[tokenizer] = known
    return known[1]


def end_tokens(tokenizer: Any, *configured: int | list[int] | None) -> set[int]:
    """The tokens at which an answer ends: those that the model's configurations name, the tokenizer's last
    token, and the one that the chat template writes behind an answer."""
    ends = set(template_of(tokenizer).ends)
    for named in (*configured, tokenizer.eos_token_id):
        ends |= set(named) if isinstance(named, list) else set() if named is None else {named}
    return ends


def ends_of_folder(tokenizer: Any, folder: Path) -> set[int]:
    """``end_tokens`` of the model in a folder, from its configuration files."""
    configured = []
    for name in ("generation_config.json", "config.json"):
        if (folder / name).is_file():
            configured.append(json.loads((folder / name).read_text(encoding="utf-8")).get("eos_token_id"))
    return end_tokens(tokenizer, *configured)


def seams(prompts: Iterable[Written], written: Written) -> list[int]:
    """Where in a written conversation its answers begin, as far as each was asked for in the same words."""
    return [len(prompt.text) for prompt in prompts if written.text.startswith(prompt.text)]


def unused_characters(texts: Sequence[str]) -> Iterator[str]:
    return (chr(code) for code in MARKERS if not any(chr(code) in text for text in texts))


def _any_of(tokens: Iterable[str]) -> re.Pattern[str]:
    """Longer ones first. A token of one character cannot be told from text."""
    longest_first = sorted((token for token in tokens if len(token) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def _render(
    tokenizer: Any, template: str, messages: list[dict[str, Any]], *, ask: bool, marks: bool
) -> tuple[str, tuple[Span, ...]]:
    from transformers.utils.chat_template_utils import render_jinja_template

    made: Any = render_jinja_template(  # its annotation names only the texts
        conversations=[messages],
        chat_template=template,
        add_generation_prompt=ask,
        return_assistant_tokens_mask=marks,
        **tokenizer.special_tokens_map,
    )
    rendered, said = made
    return str(rendered[0]), tuple((int(begin), int(end)) for begin, end in said[0]) if marks else ()


def _without_markers(rendered: str, said: Sequence[Span], markers: Markers) -> Written:
    text, typed, last = "", [], 0
    begin, end = markers
    shifts: list[tuple[int, int]] = []  # (character of the rendered text, markers up to and with it)
    for found in re.finditer(f"{begin}([^{begin}{end}]*){end}|[{begin}{end}]", rendered):
        text += rendered[last : found.start()]
        inner = found.group(1)
        if inner:
            typed.append((len(text), len(text) + len(inner)))
            text += inner
        shifts.append((found.start(), 1))
        if found.end() - found.start() > 1:
            shifts.append((found.end() - 1, 1))
        last = found.end()
    text += rendered[last:]

    def moved(place: int) -> int:
        return place - sum(count for where, count in shifts if where < place)

    return Written(text, tuple(typed), tuple((moved(first), moved(last)) for first, last in said))
