"""What is to be made of which version, read once from the database; and how far it is."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.db import reading
from core.errors import LuthierError
from core.exports.sizes import precision_of
from core.models import location
from core.tables import DatasetRow, DatasetVersionRow, ExportRow, ModelRow, ModelVersionRow
from core.weights import Weights, tokenizer_folder

Json = dict[str, Any]


class CannotExport(LuthierError):
    """The sentence for the person who asked; ``checks`` when answers differed."""

    def __init__(self, message: str, *, checks: list[Json] | None = None) -> None:
        super().__init__(message)
        self.checks = checks


@dataclass(frozen=True)
class Order:
    """``precision``: of merged weights, also on their way to GGUF.

    ``base_source``: the hub id of the base, if it has one.
    """

    export_id: str
    kind: str
    target: str
    filename: str
    weights: Weights
    precision: str
    private: bool
    model_name: str
    description: str
    version: int
    base_name: str
    base_source: str | None
    data: str | None
    dataset_version_id: str | None
    job_id: str | None
    metrics: Json
    system_prompt: str | None = None

    @property
    def tokenizer(self) -> Path:
        return tokenizer_folder(self.weights)

    @property
    def is_adapter(self) -> bool:
        return self.weights.adapter is not None


@dataclass
class ExportProgress:
    """Written by whoever makes the export, read by the thread that reports."""

    value: float = 0.0
    facts: Json = field(default_factory=dict)

    def stage(self, value: float, words: str) -> None:
        self.value, self.facts = value, {**self.facts, "stage": words}

    def note(self, **facts: Any) -> None:
        self.facts = {**self.facts, **facts}


def read_order(row: ExportRow) -> Order:
    """Raises NotFound or Conflict when the version or its base is gone."""
    weights = location(row.model_version_id)
    with reading() as session:
        version = session.get_one(ModelVersionRow, row.model_version_id)
        model = session.get_one(ModelRow, version.model_id)
        base = session.get(ModelVersionRow, version.base_version_id) if version.base_version_id else None
        base_model = session.get(ModelRow, base.model_id) if base else None
        data = (
            session.get(DatasetVersionRow, version.dataset_version_id) if version.dataset_version_id else None
        )
        dataset = session.get(DatasetRow, data.dataset_id) if data else None
        source = str(base.settings.get("source", "")) if base else ""
        return Order(
            export_id=row.id,
            kind=row.kind,
            target=row.target,
            filename=str(row.facts["filename"]),
            weights=weights,
            precision=precision_of(
                weights, str(row.facts["precision"]) if row.kind in ("merged", "hub") else "stored"
            ),
            private=bool(row.facts.get("private", True)),
            model_name=model.name,
            description=model.description,
            version=version.version,
            base_name=base_model.name if base_model else model.name,
            base_source=source if source.count("/") == 1 and not Path(source).is_absolute() else None,
            data=f"{dataset.name} v{data.number}" if dataset and data else None,
            dataset_version_id=version.dataset_version_id,
            job_id=version.finetune_job_id,
            metrics=version.metrics,
            system_prompt=model.system_prompt,
        )
