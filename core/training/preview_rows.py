"""What the model sees of a row, and of all rows together.

Runs in the preview process; the words of its answers are JSON.

Nothing here decides what is learned or cut: ``core.training.examples.render`` and ``add`` do, the code that
trains. A token is cut when no item of the training holds it, and learned when the item says so.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from core.errors import Detail
from core.formats import Example, Text
from core.formats.sentences import CutAway
from core.training import examples
from core.training.batches import pack
from core.training.examples import Pair, Rendered, TokenizedRows, Tokens
from core.training.hyperparameters import Settings

MOST_PIECES = 3_000  # tokens of one sequence that are handed out; the counts are always of all
BYTES_OF_A_CHARACTER = 4  # a character that is split over tokens is whole after so many
BROKEN = "�"
MOST_LINES, LONGEST_ROWS, BARS = 100, 10, 24
PACKED_EXACTLY = 50_000  # rows; beyond it the number of packed sequences is estimated from the tokens
PACKING_LOSS = 1.01  # best-fit leaves about a hundredth of each sequence empty
Json = dict[str, Any]


@dataclass(frozen=True)
class TokenPiece:
    """One token.

    ``text`` is empty where it is a later part of a character that an earlier token shows (``joined``).
    """

    text: str
    id: int
    learned: bool
    cut: bool
    special: bool
    joined: bool = False  # a later part of a character
    starts: bool = False  # the first of a further window of a long text


def look(example: Example, tokenizer: Any, settings: Settings) -> Json:
    """One row: ``sequences`` with their pieces and counts, and whether the row trains at all."""
    rendered = examples.render(example, tokenizer, settings)
    kept = examples.kept_of(example, rendered, settings)
    return {
        "trains": any(kept),
        "max_length": settings.max_length,
        "sequences": [
            _sequence(one, sequences, tokenizer) for one, sequences in zip(rendered, kept, strict=True)
        ],
    }


def _sequence(rendered: Rendered, kept: Sequence[Tokens], tokenizer: Any) -> Json:
    size = sum(map(len, kept))
    learned = np.concatenate([one.learned for one in kept]) if kept else np.zeros(0, dtype=bool)
    starts = set(np.cumsum([len(one) for one in kept])[:-1].tolist()) if kept else set()
    shown = rendered.ids[:MOST_PIECES]
    special = set(tokenizer.all_special_ids)
    pieces = [
        TokenPiece(
            text=piece,
            id=token,
            # where nothing of a row is trained, show what its mask would have been
            learned=bool(learned[place]) if place < size else bool(rendered.learned[place]),
            cut=place >= size,
            special=token in special,
            joined=not piece,
            starts=place in starts,
        )
        for place, (piece, token) in enumerate(zip(split_text(shown, tokenizer), shown, strict=True))
    ]
    return {
        "part": rendered.part,
        "text": rendered.text,
        "pieces": [asdict(piece) for piece in pieces],
        "num_tokens": len(rendered.ids),
        "num_learned": int(learned.sum()),
        "num_cut": len(rendered.ids) - size,
        "num_sequences": len(kept),
    }


def split_text(ids: Sequence[int], tokenizer: Any) -> list[str]:
    """The text that each token adds.

    A character that is split over several tokens stands whole at the first of them.
    """

    def decode(tokens: Sequence[int]) -> str:
        return str(tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    texts: list[str] = []
    before: list[int] = []  # a space at the beginning is only written where something stands before it
    place = 0
    while place < len(ids):
        size, text = next(_growing(ids, place, before, decode))
        texts += [text, *[""] * (size - 1)]
        before = list(ids[place : place + size])
        place += size
    return texts


def _growing(ids: Sequence[int], place: int, before: list[int], decode: Any) -> Iterator[tuple[int, str]]:
    """(tokens, text) of the smallest group from ``place`` on
    that is whole characters; one token alone if there is none."""
    start = decode(before) if before else ""
    for size in range(1, BYTES_OF_A_CHARACTER + 1):
        group = list(ids[place : place + size])
        decoded = decode([*before, *group])
        text = decoded[len(start) :] if decoded.startswith(start) else decode(group)
        if BROKEN not in text and (text or size == 1):
            yield size, text
            return
        if place + size >= len(ids):
            break
    yield 1, decode([ids[place]]) or BROKEN


@dataclass
class Counting:
    """The totals of a version as they grow, row by row.

    Holds numbers only: a million rows take a few megabytes.
    """

    num_rows: int = 0
    lines: list[int] = field(default_factory=list)  # of the rows in ``lengths``
    # of each right row before it is cut; of a preference its longer sequence
    lengths: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)  # of each trained sequence (pair)
    num_learned: int = 0
    num_cut: int = 0
    cut: list[int] = field(default_factory=list)
    num_empty: int = 0
    empty: list[int] = field(default_factory=list)
    num_wrong: int = 0
    wrong: list[Json] = field(default_factory=list)
    num_same: int = 0
    same: list[int] = field(default_factory=list)
    num_unweighted: int = 0
    # of the empty ones whose answer is cut away: tokens up to it, and all
    needed: list[tuple[int, int]] = field(default_factory=list)
    num_apart: int = 0
    num_typed: int = 0
    typed: list[Json] = field(default_factory=list)

    def add(self, line: int, example: Example | list[Detail], tokenizer: Any, settings: Settings) -> None:
        self.num_rows += 1
        if isinstance(example, list):
            return self._note_wrong(line, example)
        from jinja2 import TemplateError

        reading = TokenizedRows()
        try:
            examples.add(reading, line, example, tokenizer, settings)
            unsure = reading.cut or not reading.items  # the items do not tell how long the row was
            length = (
                max(len(one.ids) for one in examples.render(example, tokenizer, settings))
                if unsure
                else _length(example, reading.items)
            )
        except TemplateError as error:
            return self._note_wrong(line, [Detail(*examples.refusal(error).split(": ", 1))])
        self._note_problems(line, reading)
        self.lines.append(line)
        self.lengths.append(length)
        self.kept += [len(item) for item in reading.items]
        self.num_learned += sum(item.num_learned for item in reading.items)
        return None

    def totals(self, settings: Settings) -> Json:
        """What ``core.fine_tuning.before.totals.Totals`` holds."""
        away = CutAway.of(self.needed)
        lengths = np.array(self.lengths, dtype=np.int64)
        longest = np.argsort(-lengths, kind="stable")[:LONGEST_ROWS]
        return {
            "num_rows": self.num_rows,
            "num_sequences": len(self.kept),
            "num_tokens": sum(self.kept),
            "num_learned": self.num_learned,
            "median_length": int(np.median(lengths)) if len(lengths) else 0,
            "max_length": settings.max_length,
            "histogram": histogram(lengths),
            "longest": [
                {"line": self.lines[place], "tokens": int(lengths[place])} for place in longest.tolist()
            ],
            "num_cut": self.num_cut,
            "cut": self.cut,
            "num_empty": self.num_empty,
            "empty": self.empty,
            "num_wrong": self.num_wrong,
            "wrong": self.wrong,
            "num_packed": self._packed(settings.max_length),
            "packed_exactly": len(self.kept) <= PACKED_EXACTLY,
            "num_same": self.num_same,
            "same": self.same,
            "num_unweighted": self.num_unweighted,
            "away": asdict(away) if away else None,
            "num_apart": self.num_apart,
            "num_typed": self.num_typed,
            "typed": self.typed,
        }

    def _note_wrong(self, line: int, wrong: Sequence[Detail]) -> None:
        self.num_wrong += 1
        room = MOST_LINES - len(self.wrong)
        self.wrong += [{"line": line, "field": d.field, "message": d.message} for d in wrong[:room]]

    def _note_problems(self, line: int, reading: TokenizedRows) -> None:
        self.num_cut += len(reading.cut)
        self.num_empty += len(reading.empty)
        self.num_same += len(reading.same)
        self.num_unweighted += reading.num_unweighted
        self.needed += reading.needed
        self.num_apart += reading.apart
        self.num_typed += len(reading.typed)
        room = MOST_LINES - len(self.typed)
        self.typed += [{"line": line, "token": token} for line, token in reading.typed.items()][:room]
        for lines, new_lines in (
            (self.cut, reading.cut),
            (self.empty, reading.empty),
            (self.same, reading.same),
        ):
            if new_lines and len(lines) < MOST_LINES:
                lines.append(line)

    def _packed(self, max_length: int) -> int:
        if len(self.kept) <= PACKED_EXACTLY:
            return len(pack(self.kept, max_length=max_length))
        return math.ceil(sum(self.kept) * PACKING_LOSS / max_length)


def histogram(lengths: Any) -> list[Json]:
    """Rows by length: at most ``BARS`` bars of one round width;
    what is longer than 99.5 % of the rows is in the last one."""
    if not len(lengths):
        return []
    last = int(np.quantile(lengths, 0.995, method="higher"))
    width = _round_up(last / BARS)
    count = max(1, math.ceil((last + 1) / width))
    bars = np.bincount(np.minimum(lengths // width, count - 1), minlength=count)
    ends = [(n + 1) * width for n in range(count - 1)] + [max(count * width, int(lengths.max()) + 1)]
    return [{"from": n * width, "to": ends[n] - 1, "rows": int(bars[n])} for n in range(count)]


def _round_up(width: float) -> int:
    """1, 2, 5, 10, 20, 50, …"""
    power = 10 ** max(0, math.floor(math.log10(max(width, 1))))
    return next(int(step * power) for step in (1, 2, 5, 10) if step * power >= width)


def _length(example: Example, items: Sequence[Any]) -> int:
    """Of a row that was not cut: a text's windows together, else its longest sequence."""
    sizes = [max(len(i.preferred), len(i.non_preferred)) if isinstance(i, Pair) else len(i) for i in items]
    return sum(sizes) if isinstance(example, Text) else max(sizes)
