"""All rows of a version as tokens, counted before a start, and kept by all that changes them.

They are counted on behalf of ``preview``; a start that they speak against asks here what is known.
"""

from dataclasses import dataclass, field
from typing import Any

from core.fine_tuning.before.tasks import fingerprint, kept
from core.fine_tuning.sources import Base, Rows
from core.formats import sentences
from core.formats.sentences import CutAway
from core.training import Settings

COUNTED_SINCE = 4  # what was counted with fewer facts, or as other tokens, is counted anew


@dataclass(frozen=True)
class Totals:
    """All rows of a version.

    Tokens and sequences are those that are trained on; lengths are of whole rows, before they are cut.

    ``histogram``: {"from", "to", "rows"}; ``longest``: {"line", "tokens"}; ``cut``, ``empty`` (nothing is
    left to learn), ``same`` (both answers are the same, as trained): the first hundred lines; ``wrong``: the
    first hundred {"line", "field", "message"}; ``num_packed``: sequences when rows are packed. Of the empty
    ones ``num_unweighted`` have weight 0 on all answers, and ``away`` tells of those cut before their answer.
    ``num_apart``: conversations whose answers are learned in a sequence each. ``typed``: the first hundred
    {"line", "token"} with a control token in their text.
    """

    num_rows: int
    num_sequences: int
    num_tokens: int
    num_learned: int
    median_length: int
    max_length: int
    histogram: list[dict[str, int]]
    longest: list[dict[str, int]]
    num_cut: int
    cut: list[int]
    num_empty: int
    empty: list[int]
    num_wrong: int
    wrong: list[dict[str, Any]]
    num_packed: int
    packed_exactly: bool
    num_same: int = 0
    same: list[int] = field(default_factory=list)
    num_unweighted: int = 0
    away: dict[str, int] | None = None  # the fields of ``core.formats.sentences.CutAway``
    num_apart: int = 0
    num_typed: int = 0
    typed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def num_learnable(self) -> int:
        """Rows with something to learn."""
        return self.num_rows - self.num_wrong - self.num_empty

    def why_empty(self, *, context_length: int) -> list[str]:
        """A sentence for each cause for which rows have nothing to learn."""
        away = CutAway(**self.away) if self.away else None
        return sentences.why_empty(
            away,
            num_empty=self.num_empty,
            num_unweighted=self.num_unweighted,
            num_rows=self.num_rows,
            max_length=self.max_length,
            context_length=context_length,
        )

    @property
    def share_learned(self) -> float:
        return self.num_learned / self.num_tokens if self.num_tokens else 0.0

    @property
    def longest_row(self) -> int:
        return self.longest[0]["tokens"] if self.longest else 0

    def num_trained(self, settings: Settings, *, share: float) -> int:
        """Sequences that one epoch learns from. ``share``: of the rows, without those kept for validation."""
        return round((self.num_packed if settings.packing else self.num_sequences) * share)


def key_of(base: Base, rows: Rows, settings: Settings) -> str:
    chosen = (base.version_id, rows.mapping or {}, settings.max_length, settings.loss_on, COUNTED_SINCE)
    return f"{rows.version_id}/{fingerprint(chosen)}"


def known_of(base: Base, rows: Rows, settings: Settings) -> Totals | None:
    """What was counted before."""
    values = kept.get(key_of(base, rows, settings))
    return Totals(**values) if values else None
