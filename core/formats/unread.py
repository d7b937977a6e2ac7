"""Columns beside a training shape: what stands in them, and is not learned from, in sentences.

Those that usually are part of an example (``tools``, KTO's ``label``, Alpaca's ``input``) get a sentence
each, with the number of rows; all others share one, and of those only the file's footer is read.
"""

from collections.abc import Iterator, Sequence, Set
from itertools import islice
from pathlib import Path
from typing import Any

from core.formats.base import ColumnMapping, Format
from core.formats.conversation import is_nothing
from core.formats.reading import columns_of
from core.formats.sentences import share
from core.formats.tally import Remark

BATCH_ROWS = 4096
MOST_VALUES = 100_000  # of a column, to count those that are not empty
MOST_NAMES = 20  # columns that are named in one sentence
_ABOUT, _SYSTEMS = ("input", "context"), ("system", "system_prompt")
_LABELS = ("label", "kto_tag")  # as TRL and LLaMA-Factory name them
_REASONING = "to teach it, make it part of the answer"
_ADVICE = {
    "tools": "tools cannot be trained yet",
    "reasoning_content": _REASONING,
    "reasoning": _REASONING,
    "thinking": _REASONING,
    **dict.fromkeys(("image", "images", "audio", "audios", "video", "videos"), "only text can be trained"),
}


def unread_columns(parquet: Path, format_: Format, mapping: ColumnMapping | None = None) -> list[Remark]:
    """What is said about columns with anything in them that ``format_`` does not read."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(parquet) as file:
        columns = columns_of(file.schema_arrow)
        mapping = mapping or format_.own_mapping(columns)
        used = set(format_.columns_used(columns, mapping))
        filled = _with_values(file.metadata, {column["name"] for column in columns})
        unread = [column["name"] for column in columns if column["name"] in filled - used]
        advice = {name: _advice(name, format_, mapping or {}) for name in unread}
        telling = [remark for name in unread for remark in _of_column(file, name, format_, advice[name])]
    said = {remark.field for remark in telling} | {name for name in unread if advice[name]}
    return [*telling, *_of_others([name for name in unread if name not in said])]


def _advice(name: str, format_: Format, mapping: ColumnMapping) -> str | None:
    """What to do about a column that usually is part of an example; None for all others."""
    roles = {role.name for role in format_.roles}
    if name in _ABOUT and "input" in roles - mapping.keys() and format_.name == "completion":
        return "map it as input to have it follow the prompt"
    if name in _ABOUT and format_.name == "preference" and mapping.get("input"):
        return f"write it into {mapping['input']}, behind the question"
    if name == "history" and format_.name == "completion":
        return "write earlier turns as messages"
    if name in _SYSTEMS and format_.name != "text":
        if "system" in mapping:
            return None
        if "system" in roles:
            return "map it as system to have it stand before the prompt"
        return "write it into the messages, as the first one, with the role system"
    return _ADVICE.get(name)


def _of_column(file: Any, name: str, format_: Format, advice: str | None) -> Iterator[Remark]:
    if name in _LABELS and format_.name in ("chat", "completion") and _may_be_labels(file, name):
        labels = _values(file, name)
        if set(labels) <= {0, 1, None}:
            yield _of_labels(name, labels, are_first=file.metadata.num_rows > MOST_VALUES)
    elif advice:
        values = [not is_nothing(value) for value in _values(file, name)]
        if any(values):
            rows = share(sum(values), len(values), are_first=file.metadata.num_rows > MOST_VALUES)
            message = f"The column {name} is not learned from, in {rows}: {advice}."
            yield Remark(name, sum(values), "warn", message)


def _of_labels(name: str, labels: Sequence[bool | int | None], *, are_first: bool) -> Remark:
    """KTO's rows: each answer is labelled good or bad, as a truth value or as 1 and 0."""
    labelled, bad = sum(label is not None for label in labels), sum(label == 0 for label in labels)
    text = f"The column {name} is not learned from (KTO needs a method that is not offered)"
    if bad:
        is_, it, good = ("is", "it", "a good answer") if bad == 1 else ("are", "they", "good answers")
        rows = share(bad, len(labels), are_first=are_first)
        false = "false" if any(label is False for label in labels) else "0"
        text += f": {rows} {is_} labelled {false}, and {it} would be learned as {good}"
        text += ". Leave the bad ones out, or make pairs for DPO"
    return Remark(name, labelled, "warn" if bad else "info", f"{text}.")


def _of_others(names: Sequence[str]) -> Iterator[Remark]:
    if names:
        more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
        shown = ", ".join(names[:MOST_NAMES])
        is_ = ("The column", "is") if len(names) == 1 else ("The columns", "are")
        yield Remark(shown, None, "info", f"{is_[0]} {shown}{more} {is_[1]} not learned from.")


def _may_be_labels(file: Any, name: str) -> bool:
    from pyarrow import types

    type_ = file.schema_arrow.field(name).type
    return bool(types.is_boolean(type_) or types.is_integer(type_))


def _values(file: Any, name: str) -> list[Any]:
    """The first ``MOST_VALUES`` of a column."""
    batches = file.iter_batches(BATCH_ROWS, columns=[name])
    values = (value for batch in batches for value in batch.column(0).to_pylist(maps_as_pydicts="lossy"))
    return list(islice(values, MOST_VALUES))


def _with_values(metadata: Any, names: Set[str]) -> set[str]:
    """The columns of a file with anything but nulls in them, as far as its footer says."""
    filled: set[str] = set()
    for group in range(metadata.num_row_groups):
        for at in range(metadata.num_columns):
            column = metadata.row_group(group).column(at)
            known = column.statistics
            is_null = known is not None and known.has_null_count and known.null_count >= column.num_values
            if not is_null:
                filled.add(_column_of(column.path_in_schema.split("."), names))
    return filled


def _column_of(path: Sequence[str], names: Set[str]) -> str:
    """The column that a place in the file belongs to; its name may hold points, too."""
    starts = (".".join(path[:size]) for size in range(len(path), 0, -1))
    return next((start for start in starts if start in names), "")
