"""What a training would not learn from a table's rows, counted while they are read, and said in sentences.

A :class:`Remark` is one such thing: a key in messages or a column that nobody reads, answers without weight,
two answers that are the same. The training report of a version, the plan of a job and its events show these
sentences; nobody else makes them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import Detail
from core.formats.base import ChatExample, Example, PreferenceExample
from core.formats.sentences import no_weight, same_answers, share

WEIGHT, ANSWERS = "weight", "answers"  # fields of remarks; a loss on all makes that about weights void
COUNTED_IN_TRAINING = (WEIGHT, ANSWERS)

_INTO_CONTENT = "to teach it, write it into the content of its message"
_WEIGHT_INSTEAD = "what is not to be learned needs weight 0"
_KEYS = {
    "name": "a model is told each message's role, not who speaks",
    "reasoning_content": _INTO_CONTENT,
    "reasoning": _INTO_CONTENT,
    "thinking": _INTO_CONTENT,
    "refusal": _INTO_CONTENT,
    "train": _WEIGHT_INSTEAD,
    "training": _WEIGHT_INSTEAD,
    "loss": _WEIGHT_INSTEAD,
    "tools": "tools cannot be trained yet",
}


@dataclass(frozen=True)
class Remark:
    """One thing that is in the rows and that a training does not learn, in a sentence.

    ``field``: the column, or the place in its messages. ``rows``: in how many; None where nobody counted.
    ``level``: warn where it most likely matters, else info.
    """

    field: str
    rows: int | None
    level: str
    message: str


@dataclass
class RowTally:
    """Counts of the rows that went by. ``num_rows``: all of them, right or wrong."""

    num_rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    num_unweighted: int = 0  # no answer that may be learned: all have weight 0
    num_same: int = 0  # preferences with twice the same answer
    num_pairs: int = 0  # preferences

    def add(self, example: Example | list[Detail], left_out: set[str]) -> None:
        self.num_rows += 1
        self.left_out.update(left_out)
        if isinstance(example, PreferenceExample):
            self.num_pairs += 1
            self.num_same += example.preferred == example.non_preferred
        elif isinstance(example, ChatExample):
            self.num_unweighted += not has_weight(example)

    def remarks(self, *, are_first: bool = False) -> list[Remark]:
        """``are_first``: there are more rows, which did not go by."""
        return [*self._of_keys(are_first), *self._of_answers(are_first)]

    def _of_keys(self, are_first: bool) -> Iterator[Remark]:
        for name, rows in sorted(self.left_out.items()):
            why = _KEYS.get(name.rpartition(".")[2])
            rows_ = share(rows, self.num_rows, are_first=are_first)
            text = f"{_in_words(name)} is not learned from, in {rows_}"
            yield Remark(name, rows, "warn", f"{text}: {why}." if why else f"{text}.")

    def _of_answers(self, are_first: bool) -> Iterator[Remark]:
        if self.num_unweighted:
            message = no_weight(self.num_unweighted, self.num_rows, are_first=are_first)
            yield Remark(WEIGHT, self.num_unweighted, "warn", message)
        if self.num_same:
            message = same_answers(self.num_same, self.num_pairs, are_first=are_first)
            yield Remark(ANSWERS, self.num_same, "warn", message)


def has_weight(example: ChatExample) -> bool:
    """Whether any answer may be learned."""
    return any(m["role"] == "assistant" and m.get("weight") != 0 for m in example.messages)


def _in_words(place: str) -> str:
    """``name in messages`` of ``messages[].name``."""
    column, _, key = place.rpartition(".")
    return f"{key} in {column.removesuffix('[]')}"


def as_remarks(stored: Sequence[Mapping[str, Any]]) -> list[Remark]:
    """What a training report holds."""
    return [Remark(**one) for one in stored]
