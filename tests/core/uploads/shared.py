"""Uploads for tests: a staged file goes through ``datasets.create``;
the converter runs in this process unless asked otherwise."""

import os
from pathlib import Path
from typing import Any

import pytest

from core import datasets, storage
from core.config import settings
from core.datasets import Dataset, IngestOptions, NewDataset
from core.ingest import converter
from core.ingest import queue as conversions
from core.people.users import User


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same entry as the converter's process, without the second that a Python start takes."""
    monkeypatch.setattr(conversions, "run_and_wait", converter.run)


def stage(content: bytes) -> Path:
    path = storage.new_staging_path()
    path.write_bytes(content)
    return path


def upload(
    user: User,
    filename: str,
    content: bytes | str,
    *,
    name: str | None = None,
    format: str = "auto",
    **options: Any,
) -> Dataset:
    staged = stage(content.encode() if isinstance(content, str) else content)
    new = NewDataset(name=name, format=format, options=IngestOptions(**options))
    return datasets.create(user, new, file=staged, filename=filename)


def rows(user: User, dataset: Dataset, limit: int = 100) -> list[dict[str, Any]]:
    return [item["data"] for item in datasets.preview(user, dataset.id, limit=limit).items]


def types(dataset: Dataset) -> dict[str, str]:
    return {column["name"]: column["type"] for column in dataset.columns}


def left_on_disk() -> list[str]:
    """Everything that belongs to datasets, published or not."""
    root = settings().data_dir
    return [
        str(Path(folder, name).relative_to(root))
        for kind in ("datasets", "staging", "logs")
        for folder, _, names in os.walk(root / kind)  # which minds no folder that goes meanwhile
        for name in names
    ]
