"""The losses by row of a training: ``jobs/<id>/rows-train.parquet`` and ``rows-validation.parquet``.

Columns: line (int64), loss and first (float32, NaN where not seen yet), tokens (int32), step (int64). Written
whole each time, under a temporary name first, so a reader sees the old losses or the new ones.
"""

import os
from pathlib import Path

from core import storage
from core.security import new_token
from core.training.method import RowLosses


def path_of(job_id: str, split: str) -> Path:
    return storage.job_dir(job_id) / f"rows-{split}.parquet"


def write(job_id: str, losses: RowLosses) -> None:
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table(
        {
            "line": pa.array(np.asarray(losses.lines, np.int64)),
            "loss": pa.array(np.asarray(losses.losses, np.float32)),
            "first": pa.array(np.asarray(losses.first, np.float32)),
            "tokens": pa.array(np.asarray(losses.tokens, np.int32)),
            "step": pa.array(np.full(len(losses.lines), losses.step, np.int64)),
        }
    )
    final = path_of(job_id, losses.split)
    final.parent.mkdir(parents=True, exist_ok=True)
    draft = final.with_name(f".{final.name}.{new_token()[:8]}.tmp")
    try:
        with draft.open("wb") as file:
            parquet.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, final)
    finally:
        draft.unlink(missing_ok=True)
