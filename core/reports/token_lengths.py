"""How many tokens the texts of a version are under a model's tokenizer.

Only ``tokenizer.json`` is read, by the ``tokenizers`` library; no model is loaded and no code of a model
runs. A row's length is the sum over all texts in its cell: for a chat that is its messages, without what the
chat template adds between them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.parquet import ParquetFile

from core.errors import ValidationError
from core.readers.base import WorkProgress
from core.reports.profile import QUANTILES
from core.reports.quality.texts import ROLE_FIELDS, batches, texts_of
from core.sql_types import holds_text

BINS = 20
MAX_ROWS = 500_000  # of a longer table row groups spread over the whole are measured
MAX_COLUMNS = 50
Count = Callable[[list[str]], list[int]]


def measure(
    parquet: Path, columns: Sequence[dict[str, str]], tokenizer: Path, *, progress: WorkProgress | None = None
) -> dict[str, Any]:
    """{"num_rows", "num_rows_measured", "columns": {name:
    {"rows", "total", "mean", "quantiles", "histogram", "longest"}}}.

    ``longest`` is {"line", "tokens"}; ``quantiles`` has p5, p25, p50, p75, p95 and p99. Raises
    ValidationError when the model has no tokenizer that can be read.
    """
    count, progress = _counter(tokenizer), progress or WorkProgress()
    names = [column["name"] for column in columns if holds_text(column["type"])][:MAX_COLUMNS]
    groups, num_rows, expected = _groups(parquet)
    lengths: dict[str, list[NDArray[np.int64]]] = {name: [] for name in names}
    lines: list[NDArray[np.int64]] = []
    measured = 0
    for first_line, batch in batches(parquet, names, groups) if names else ():
        lines.append(np.arange(first_line, first_line + batch.num_rows))
        for name in names:
            lengths[name].append(_row_lengths(batch.column(batch.schema.get_field_index(name)), count))
        measured += batch.num_rows
        progress.advance(measured / max(expected, 1))
    at = np.concatenate(lines) if lines else np.empty(0, np.int64)
    summed = {name: _summary(np.concatenate(parts), at) for name, parts in lengths.items() if parts}
    return {"num_rows": num_rows, "num_rows_measured": measured, "columns": summed}


def _counter(tokenizer: Path) -> Count:
    from tokenizers import Tokenizer

    try:
        loaded = Tokenizer.from_file(str(tokenizer))
    except Exception as error:  # the library raises nothing narrower
        raise ValidationError(
            "This model has no tokenizer.json that can be read. Choose another model."
        ) from error
    loaded.no_truncation()
    loaded.no_padding()
    return lambda texts: [len(one) for one in loaded.encode_batch_fast(texts, add_special_tokens=False)]


def _groups(parquet: Path) -> tuple[list[int], int, int]:
    """The row groups to measure, the rows of all, the rows of these."""
    with ParquetFile(parquet) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    step = max(1, -(-sum(sizes) // MAX_ROWS))
    chosen = list(range(0, len(sizes), step))
    return chosen, sum(sizes), sum(sizes[group] for group in chosen)


def _row_lengths(cells: pa.Array, count: Count) -> NDArray[np.int64]:
    """One length per row; 0 for nulls. Equal texts are counted once."""
    texts = texts_of(cells, 0, without=ROLE_FIELDS)
    tokens = (
        np.array(count(texts.values.to_pylist()), np.int64) if len(texts.values) else np.empty(0, np.int64)
    )
    return np.bincount(texts.lines, weights=tokens[texts.at], minlength=len(cells)).astype(np.int64)


def _summary(lengths: NDArray[np.int64], lines: NDArray[np.int64]) -> dict[str, Any]:
    filled = lengths[lengths > 0]
    if not len(filled):
        return {"rows": 0, "total": 0, "mean": None, "quantiles": None, "histogram": None, "longest": None}
    longest = int(lengths.argmax())
    shares = (*QUANTILES, 0.99)
    counts, edges = np.histogram(filled, bins=min(BINS, int(filled.max() - filled.min()) + 1))
    return {
        "rows": len(filled),
        "total": int(filled.sum()),
        "mean": float(filled.mean()),
        "quantiles": {
            f"p{share * 100:.0f}": float(value)
            for share, value in zip(shares, np.quantile(filled, shares), strict=True)
        },
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
        "longest": {"line": int(lines[longest]), "tokens": int(lengths[longest])},
    }
