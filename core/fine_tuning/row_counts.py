"""What is known of rows before a training: what of them it would not learn, and how many are equal.

The first ``CHECKED_AT_ONCE`` rows are counted once and remembered, since versions never change; of a version
as it came, its training report has read all. A plan shows what is said here, the events of a job repeat it.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

from core import formats, storage
from core.errors import Conflict
from core.fine_tuning.before import totals
from core.fine_tuning.sources import CHECKED_AT_ONCE, Base, Rows
from core.formats import FORMATS, Remark, RowTally
from core.formats.sentences import too_few, unsure_split
from core.formats.tally import COUNTED_IN_TRAINING, WEIGHT, as_remarks
from core.training import Settings
from core.training.examples import FEW_ROWS, FEWEST_ROWS, key_of, num_held_out, very_few

REMEMBERED = 200  # versions and mappings


@dataclass(frozen=True)
class RowCounts:
    """``num_read`` rows from the first on, all of them where ``is_whole``; ``num_distinct`` differ.

    ``remarks``: what of them is not learned.
    """

    num_read: int
    is_whole: bool
    num_distinct: int
    remarks: tuple[Remark, ...]

    @property
    def are_all_equal(self) -> bool:
        return self.is_whole and self.num_distinct == 1


def count(rows: Rows) -> RowCounts:
    """Reads the rows, once."""
    format_ = formats.mapped(rows.columns, rows.mapping, rows.format)
    return _count(rows.version_id, rows.num_rows, format_.name, tuple((rows.mapping or {}).items()))


def require_something(rows: Rows, base: Base, settings: Settings, *, fraction: float = 0.0) -> None:
    """Raises Conflict when it is known that too few rows have something to learn.

    That is so where answers have weight 0, where all rows were counted and are cut too short, or where
    ``fraction`` of them, kept for validation, leaves too few.
    """
    without = [one for one in remarks(rows, settings) if one.field == WEIGHT]
    some, why = rows.num_rows - sum(one.rows or 0 for one in without), [one.message for one in without]
    if settings.loss_on != "all" and (known := totals.known_of(base, rows, settings)):
        some, why = known.num_learnable, known.why_empty(context_length=base.context_length)
    kept = _num_kept(rows, some, fraction)
    if some - kept < FEWEST_ROWS and some - kept < rows.num_rows:
        told = too_few(some - kept, rows.num_rows, fewest=FEWEST_ROWS, why=why, kept=kept)
        raise Conflict(f"{rows.name}: {told}")


def _num_kept(rows: Rows, num_learnable: int, fraction: float) -> int:
    """Rows that are kept for validation, where that leaves too few for sure: 0 where some are equal, which
    stay together, or are texts, which may become several."""
    if not fraction or num_learnable > 2 * FEWEST_ROWS or rows.format == "text":
        return 0
    counts = count(rows)
    all_differ = counts.is_whole and counts.num_distinct == rows.num_rows
    return num_held_out(num_learnable, fraction) if all_differ else 0


def remarks(rows: Rows, settings: Settings) -> list[Remark]:
    """What is in the rows and is not learned with these settings."""
    every = as_remarks(rows.remarks) if rows.remarks is not None else count(rows).remarks
    return [one for one in every if one.field != WEIGHT or settings.loss_on != "all"]


def warnings(
    rows: Rows, base: Base, settings: Settings, *, num_examples: int, num_validation: int, fraction: float
) -> list[str]:
    """What a plan warns of."""
    told = []
    if num_examples < FEW_ROWS:
        told.append(very_few(num_examples))
    if num_examples < settings.batch_size:
        told.append(
            f"The batch size {settings.batch_size} is larger than the dataset; every step sees all rows."
        )
    if num_validation and num_validation < FEW_ROWS:
        rows_, give = ("row", "gives") if num_validation == 1 else ("rows", "give")
        told.append(f"{num_validation} validation {rows_} {give} a noisy validation loss.")
    counts = count(rows) if fraction else None
    if counts and counts.is_whole:
        asked = num_held_out(counts.num_read, fraction)
        unsure = unsure_split(asked=asked, num_rows=counts.num_read, num_distinct=counts.num_distinct)
        told += [unsure] if unsure else []
    told += [one.message for one in remarks(rows, settings) if one.level == "warn"]
    if known := totals.known_of(base, rows, settings):  # what has no weight is among the remarks
        others = replace(known, num_empty=known.num_empty - known.num_unweighted, num_unweighted=0)
        told += others.why_empty(context_length=base.context_length)
    return told


def validation_warnings(rows: Rows, validation: Rows, settings: Settings) -> list[str]:
    """What a plan warns of about another dataset to measure on."""
    same = (
        "The validation dataset is the one that is learned: its loss says nothing about other rows. Choose "
        "another, or keep a share of the rows."
    )
    told = [same] if validation.version_id == rows.version_id else []
    return told + [
        f"Validation: {one.message}" for one in remarks(validation, settings) if one.level == "warn"
    ]


def to_tell(rows: Rows, settings: Settings) -> list[Remark]:
    """What a new job's events say; what the training counts itself it says later."""
    return [one for one in remarks(rows, settings) if one.field not in COUNTED_IN_TRAINING]


def notes(rows: Rows, settings: Settings) -> list[str]:
    """What a plan says beside its warnings."""
    return [one.message for one in remarks(rows, settings) if one.level != "warn"]


@lru_cache(maxsize=REMEMBERED)
def _count(
    version_id: str, num_rows: int, format_name: str, mapping: tuple[tuple[str, str], ...]
) -> RowCounts:
    parquet, format_, tally, keys = storage.parquet_path(version_id), FORMATS[format_name], RowTally(), set()
    rows = formats.read_examples(parquet, format_, dict(mapping), tally=tally)
    for _, example in islice(rows, CHECKED_AT_ONCE):
        if not isinstance(example, list):
            keys.add(key_of(example))
    is_whole = tally.num_rows >= num_rows
    unread = formats.unread_columns(parquet, format_, dict(mapping))
    return RowCounts(
        num_read=tally.num_rows,
        is_whole=is_whole,
        num_distinct=len(keys),
        remarks=(*tally.remarks(are_first=not is_whole), *unread),
    )
