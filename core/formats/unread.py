"""Columns beside a training shape: what stands in them, and is not learned from, in sentences.

Those that usually are part of an example (``tools``, KTO's ``label``, Alpaca's ``input``) get a sentence
each, with the number of rows; all others share one, and of those only the file's footer is read.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core.formats.base import ColumnMapping, Format
from core.formats.conversation import is_nothing
from core.formats.reading import columns_of
from core.formats.sentences import share
from core.formats.tally import Remark

BATCH_ROWS = 4096
MOST_NAMES = 20  # columns that are named in one sentence
_ABOUT = "map it as input to have it follow the prompt"
_COLUMNS = {
    "tools": "tools cannot be trained yet",
    "input": _ABOUT,
    "context": _ABOUT,
    "history": "write earlier turns as messages",
    "system": "write it into the messages, as the first one, with the role system",
    "reasoning_content": "to teach it, make it part of the answer",
}
_LABEL = "label"


def unread_columns(parquet: Path, format_: Format, mapping: ColumnMapping | None = None) -> list[Remark]:
    """What is said about columns with anything in them that ``format_`` does not read."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(parquet) as file:
        columns = columns_of(file.schema_arrow)
        mapping = mapping or format_.own_mapping(columns)
        used = set(format_.columns_used(columns, mapping))
        filled = _with_values(file.metadata, [column["name"] for column in columns])
        unread = [column["name"] for column in columns if column["name"] in filled - used]
        telling = [remark for name in unread for remark in _of_column(file, name, format_)]
    said = {remark.field for remark in telling} | {name for name in unread if name in _COLUMNS}
    others = [name for name in unread if name not in said]
    return [*telling, *_of_others(others)]


def _of_column(file: Any, name: str, format_: Format) -> Iterator[Remark]:
    if name == _LABEL and format_.name == "completion" and _is_boolean(file, name):
        yield _of_labels(list(_values(file, name)))
    elif name in _COLUMNS:
        values = [not is_nothing(value) for value in _values(file, name)]
        if any(values):
            text = f"The column {name} is not learned from, in {share(sum(values), len(values))}"
            yield Remark(name, sum(values), "warn", f"{text}: {_COLUMNS[name]}.")


def _of_labels(labels: Sequence[bool | None]) -> Remark:
    """KTO's rows: each answer is labelled good or bad."""
    labelled, bad = sum(label is not None for label in labels), sum(label is False for label in labels)
    text = "The column label is not learned from (KTO needs a method that is not offered)"
    if bad:
        is_, it, a = ("is", "it", "a good answer") if bad == 1 else ("are", "they", "good answers")
        text += f": {share(bad, len(labels))} {is_} labelled false, and {it} would be learned as {a}"
        text += ". Leave the bad ones out, or make pairs for DPO"
    return Remark(_LABEL, labelled, "warn" if bad else "info", f"{text}.")


def _of_others(names: Sequence[str]) -> Iterator[Remark]:
    if names:
        more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
        shown = ", ".join(names[:MOST_NAMES])
        is_ = ("The column", "is") if len(names) == 1 else ("The columns", "are")
        yield Remark(shown, None, "info", f"{is_[0]} {shown}{more} {is_[1]} not learned from.")


def _is_boolean(file: Any, name: str) -> bool:
    return str(file.schema_arrow.field(name).type) == "bool"


def _values(file: Any, name: str) -> Iterator[Any]:
    for batch in file.iter_batches(BATCH_ROWS, columns=[name]):
        yield from batch.column(0).to_pylist(maps_as_pydicts="lossy")


def _with_values(metadata: Any, names: Sequence[str]) -> set[str]:
    """The columns of a file with anything but nulls in them, as far as its footer says."""
    longest_first = sorted(names, key=len, reverse=True)  # a name may hold a point, too
    filled: set[str] = set()
    for group in range(metadata.num_row_groups):
        for at in range(metadata.num_columns):
            column = metadata.row_group(group).column(at)
            known, path = column.statistics, column.path_in_schema
            if known is not None and known.has_null_count and known.null_count >= column.num_values:
                continue
            filled |= set([name for name in longest_first if f"{path}.".startswith(f"{name}.")][:1])
    return filled
