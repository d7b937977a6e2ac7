"""The rows that a model finds hardest: the losses that the training wrote,
joined with the rows of the dataset version.

Losses lie in one Parquet per split (``core.jobs.row_files``), sorted here; of the dataset only the rows of
the page asked for are read.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pyarrow import parquet

from core import datasets, storage
from core.datasets import pages
from core.db import reading
from core.errors import NotFound
from core.fine_tuning.owned import find
from core.jobs import row_files
from core.listing import Listed
from core.people.users import User

Split = Literal["train", "validation"]
MOST_CHARACTERS = 2000  # of a cell
KEPT_FILES = 16


@dataclass(frozen=True)
class HardRow:
    """``loss``: the latest mean over the row's learned ``tokens``;
    ``first``: when it was seen first; ``data``: column -> value.

    ``data`` is None when the dataset version is gone.
    """

    line: int
    loss: float
    first: float
    tokens: int
    step: int
    data: dict[str, Any] | None


def hardest_rows(
    user: User, job_id: str, *, split: Split = "train", limit: int = 20, offset: int = 0
) -> Listed[HardRow]:
    """Highest loss first; rows that were not seen yet are left out.

    Nothing before the first evaluation. Raises NotFound.
    """
    with reading() as session:
        row = find(session, user, job_id)
        version_id = rows_version(row, split)
    losses = _sorted_losses(row_files.path_of(job_id, split))
    total = len(losses["line"])
    page = {name: values[offset : offset + limit].tolist() for name, values in losses.items()}
    texts = _texts(user, version_id, page["line"]) if version_id and page["line"] else {}
    items = [
        HardRow(line, loss, first, tokens, step, texts.get(line))
        for line, loss, first, tokens, step in zip(
            *(page[name] for name in ("line", "loss", "first", "tokens", "step")), strict=True
        )
    ]
    return Listed(items, total, limit, offset)


def rows_version(job: Any, split: Split) -> str | None:
    """The dataset version that the lines of a split belong to:
    validation rows held back come from the training data."""
    held_out = split == "validation" and job.validation_version_id
    return job.validation_version_id if held_out else job.dataset_version_id


def _sorted_losses(path: Path) -> dict[str, Any]:
    try:
        stamp = path.stat()
    except FileNotFoundError:
        return {name: np.array([]) for name in ("line", "loss", "first", "tokens", "step")}
    return _read(path, stamp.st_mtime_ns, stamp.st_ino)


@lru_cache(maxsize=KEPT_FILES)
def _read(path: Path, _changed: int, _inode: int) -> dict[str, Any]:
    stored = parquet.read_table(path)
    table = {name: stored[name].to_numpy() for name in stored.column_names}
    with_loss = np.flatnonzero(~np.isnan(table["loss"]))
    order = with_loss[np.lexsort((table["line"][with_loss], -table["loss"][with_loss]))]
    return {name: values[order] for name, values in table.items()}


def _texts(user: User, version_id: str, lines: list[int]) -> dict[int, dict[str, Any]]:
    try:
        version = datasets.get_version(user, version_id)
    except NotFound:
        return {}
    if version.removed_at is not None or version.status != "ready":
        return {}
    page = pages.page(
        storage.parquet_path(version_id),
        version.columns,
        num_rows=version.num_rows,
        limit=len(lines),
        lines=lines,
        cut=MOST_CHARACTERS,
    )
    return {item["line"]: item["data"] for item in page.items}
