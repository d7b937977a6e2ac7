"""Texts that are not what they should be: broken by a wrong encoding,
nulls spelled in words, blanks around the value."""

from collections import Counter
from collections.abc import Iterator

import ftfy
import numpy as np
import pyarrow.compute as pc

from core.reports.quality.base import (
    MAX_EXAMPLES,
    Finding,
    QualityColumn,
    Tally,
    TextBatch,
    Watcher,
    cut,
    found,
)
from core.reports.quality.personal import masked
from core.reports.quality.texts import matching

LOST = "\ufffd"
# as they are spelled once blanks are cut and letters are small
NULL_WORDS = frozenset(
    (
        "n/a na n.a. n.a n\\a #n/a #na #n/d <na> null (null) <null> none nan nil - -- --- – — ? ?? ??? . .. "
        "\\n undefined"
    ).split()
) | {"missing", "not available", "not applicable", "no data", "no value", "(none)", "(empty)", "(blank)"}
BLANKS = r"\s\x{00A0}\x{1680}\x{2000}-\x{200B}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}\x{FEFF}"
AROUND = f"^[{BLANKS}]|[{BLANKS}]$"
CODE = r"^[A-Z]{2}$"
MOST = 0.9
CATEGORIES = 50  # a column with fewer different values may be one of categories


class BrokenWatcher:
    """Mojibake: text that was decoded with the wrong encoding (``FranÃ§ois``),
    and characters already lost."""

    def __init__(self, column: QualityColumn) -> None:
        self.column, self.tally = column, Tally()

    def look(self, batch: TextBatch) -> None:
        mask = matching(batch.values, r"[^\x00-\x7F]")
        shown: list[str] = []
        for at in np.flatnonzero(mask):
            text = batch.values[at].as_py()
            repaired = ftfy.fix_encoding(text)
            mask[at] = LOST in text or repaired != text
            if mask[at] and len(shown) < MAX_EXAMPLES:
                shown.append(_broken_part(text, repaired))
        self.tally.add(batch.lines_of(mask), shown)

    def findings(self, num_rows: int) -> Iterator[Finding]:
        if self.tally.num_rows:
            yield found(
                "mojibake",
                self.column,
                self.tally,
                title="Garbled characters",
                severity="bad",
                num_rows=num_rows,
                help=(
                    "The text was read in the wrong encoding before it came here. "
                    "Export it as UTF-8 and upload it again, or choose the encoding in the upload's review."
                ),
            )


class NullWordWatcher:
    """Cells that say in words that there is nothing."""

    def __init__(self, column: QualityColumn) -> None:
        self.column, self.tally = column, Tally()
        self.spelled: Counter[str] = Counter()
        self.num_cells, self.num_codes, self.na_lines = 0, 0, Tally()

    def look(self, batch: TextBatch) -> None:
        words = pc.utf8_lower(pc.utf8_trim_whitespace(batch.values))
        mask = np.fromiter((word in NULL_WORDS for word in words.to_pylist()), bool, len(words))
        counts = batch.counts()
        self.num_cells += int(counts.sum())
        self.num_codes += int(counts[matching(batch.values, CODE)].sum())
        for at in np.flatnonzero(mask):
            text = batch.values[at].as_py()
            self.spelled[text] += int(counts[at])
        is_na = matching(batch.values, "^NA$")
        self.na_lines.add(batch.lines_of(mask & is_na))
        self.tally.add(batch.lines_of(mask & ~is_na))

    def findings(self, num_rows: int) -> Iterator[Finding]:
        # else codes of two letters: NA is Namibia
        if self.spelled["NA"] and self.num_codes < MOST * self.num_cells:
            self.tally.num_rows += self.na_lines.num_rows
            self.tally.lines = sorted([*self.tally.lines, *self.na_lines.lines])[
                : len(self.tally.lines) + len(self.na_lines.lines)
            ]
        else:
            del self.spelled["NA"]
        if not self.tally.num_rows or self._is_category():
            return
        nulls = self.column.profile.get("nulls") or 0
        ways = len(self.spelled) + bool(nulls)
        listed = [f"{cut(text)} ({count:,})" for text, count in self.spelled.most_common(8)]
        yield found(
            "null_words",
            self.column,
            self.tally,
            severity="warn" if ways > 1 else "info",
            num_rows=num_rows,
            examples=listed,
            title="Missing values spelled out" if ways == 1 else f"Missing values spelled in {ways} ways",
            help=(
                "Filters, counts and training take them for words. "
                "Name them under “null values” in the upload's review"
            )
            + (f"; {nulls:,} more rows are truly null." if nulls else "."),
        )

    def _is_category(self) -> bool:
        """ "None" beside "Minor" and "Substantial" is an answer, not a gap."""
        few = (self.column.profile.get("distinct") or CATEGORIES) < CATEGORIES
        return (
            few
            and {text.strip().lower() for text in self.spelled} == {"none"}
            and not self.column.profile.get("nulls")
        )


class BlankWatcher:
    """Cells that begin or end with blanks: two values that look alike but are not equal."""

    def __init__(self, column: QualityColumn) -> None:
        self.column, self.tally = column, Tally()

    def look(self, batch: TextBatch) -> None:
        mask = matching(batch.values, AROUND)
        first = np.flatnonzero(mask)[:MAX_EXAMPLES]
        self.tally.add(batch.lines_of(mask), [_shown_blanks(batch.values[at].as_py()) for at in first])

    def findings(self, num_rows: int) -> Iterator[Finding]:
        if self.tally.num_rows:
            yield found(
                "blanks",
                self.column,
                self.tally,
                title="Blanks around values",
                severity="info",
                num_rows=num_rows,
                help=(
                    "“Berlin ” and “Berlin” are different values to filters, joins and counts. "
                    "trim() in SQL removes them."
                ),
            )


def _broken_part(text: str, repaired: str) -> str:
    """Some characters around the first that is broken, and what they should have been."""
    at = (
        text.find(LOST)
        if LOST in text
        else next((i for i, pair in enumerate(zip(text, repaired, strict=False)) if pair[0] != pair[1]), 0)
    )
    start = max(0, at - 15)
    broken = masked(cut(text[start : at + 25]))
    return broken if LOST in text else f"{broken} → {masked(cut(repaired[start : at + 20]))}"


def _shown_blanks(text: str) -> str:
    trimmed = text.strip().strip("\u200b\ufeff").strip()
    before = text.find(trimmed) if trimmed else len(text)
    after = len(text) - before - len(trimmed)
    return "␣" * min(before, 5) + masked(cut(trimmed)) + "␣" * min(after, 5)


def broken(column: QualityColumn) -> Watcher | None:
    return BrokenWatcher(column)


def null_words(column: QualityColumn) -> Watcher | None:
    return NullWordWatcher(column) if column.is_plain else None


def blanks(column: QualityColumn) -> Watcher | None:
    return BlankWatcher(column) if column.is_plain else None


CHECKS = (broken, null_words, blanks)
