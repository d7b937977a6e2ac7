"""Rows that the pages of fine-tuning, models and chats have to show, with full defaults."""

import math
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from core import formats, storage
from core.clock import now
from core.db import writing
from core.exports.asking import filename_of
from core.people.users import User
from core.providers.base import Delta, Finish, Generation, Provider, Usage
from core.security import new_id, new_token
from core.tables import (
    AlertRow,
    CheckpointRow,
    DatasetRow,
    DatasetVersionRow,
    ExportRow,
    JobEventRow,
    JobGroupRow,
    JobRow,
    MetricPointRow,
    ModelRow,
    ModelVersionRow,
)
from core.training import Settings, preview_rows, preview_server

AS_RUN = {"n_epochs": 3, "batch_size": 8, "learning_rate": 0.002, "tuning": "full", "max_length": 256}
HALF_WAY = {
    "step": 50,
    "total_steps": 100,
    "progress": 0.5,
    "epoch": 1.5,
    "train_loss": 1.25,
    "valid_loss": 1.5,
    "eta_seconds": 90.0,
}
SPEED = {"learning_rate": 0.001, "tokens_per_second": 1800.0, "memory_bytes": 600_000_000}


def make_job(user: User, status: str = "running", **fields: Any) -> str:
    """A job half way through, in whatever state; returns its id."""
    ended = now() if status in ("succeeded", "failed", "cancelled") else None
    values = {
        "id": new_id("ftj"),
        "user_id": user.id,
        "name": "support-bot",
        "status": status,
        "lease_token": new_token() if status == "running" else None,
        "hyperparameters": {"n_epochs": "auto", "tuning": "auto"},
        "resolved": AS_RUN,
        "started_at": now() - timedelta(minutes=2),
        "finished_at": ended,
        **HALF_WAY,
        **SPEED,
    }
    with writing() as session:
        row = JobRow(**(values | fields))
        session.add(row)
        session.flush()
        return row.id


def make_sweep(
    user: User, values: list[dict[str, Any]], *, statuses: tuple[str, ...] = ("succeeded",), **fields: Any
) -> str:
    """A sweep with a job for each of ``values``; ``statuses`` go round.

    Later jobs have lower losses. Returns its id.
    """
    with writing() as session:
        space = {name: [one[name] for one in values] for name in values[0]}
        group = JobGroupRow(id=new_id("swp"), user_id=user.id, name="support-sweep", kind="grid", space=space)
        session.add(group)
    for number, one in enumerate(values):
        losses = {
            "train_loss": 1.5 - number * 0.1,
            "valid_loss": 1.7 - number * 0.1,
            "best_loss": 1.6 - number * 0.1,
        }
        status = statuses[number % len(statuses)]
        given = {"hyperparameters": one, "name": f"support-sweep-{number}", "group_id": group.id, **losses}
        make_job(user, status, **(given | fields))
    return group.id


def make_alert(
    user: User, job_id: str, kind: str = "failed", message: str = "support-bot: It failed."
) -> str:
    """An unseen alert; returns its id."""
    with writing() as session:
        row = AlertRow(user_id=user.id, job_id=job_id, kind=kind, message=message)
        session.add(row)
        session.flush()
        return f"alr_{row.id}"


def add_points(job_id: str, *, steps: int = 50) -> None:
    """A loss that falls, a validation every tenth step, two checkpoints and two events."""
    with writing() as session:
        for step in range(1, steps + 1):
            session.add(
                MetricPointRow(job_id=job_id, name="train_loss", step=step, value=3 * math.exp(-step / 20))
            )
            session.add(
                MetricPointRow(job_id=job_id, name="learning_rate", step=step, value=0.002 - step * 1e-5)
            )
        for step in range(10, steps + 1, 10):
            session.add(
                MetricPointRow(job_id=job_id, name="valid_loss", step=step, value=3.1 * math.exp(-step / 20))
            )
        for step, loss in ((20, 1.4), (40, 1.1)):
            metrics = {"valid_loss": loss}
            session.add(
                CheckpointRow(
                    id=new_id("ckpt"), job_id=job_id, step=step, metrics=metrics, size_bytes=5_000_000
                )
            )
        session.add(JobEventRow(job_id=job_id, level="info", message="Created."))
        session.add(JobEventRow(job_id=job_id, level="warn", message="2 rows were cut to 256 tokens."))


def make_dataset(user: User, rows: list[dict[str, str]], name: str = "faq") -> DatasetVersionRow:
    """A ready dataset of these rows, without the conversion that an upload goes through."""
    version_id, table = new_id("dsv"), pa.Table.from_pylist(rows)
    path = storage.parquet_path(version_id)
    path.parent.mkdir(parents=True)
    parquet.write_table(table, path)
    columns = [{"name": column, "type": "VARCHAR"} for column in table.column_names]
    with writing() as session:
        dataset = DatasetRow(id=new_id("ds"), owner_id=user.id, name=name)
        session.add(dataset)
        session.flush()
        version = DatasetVersionRow(
            id=version_id,
            dataset_id=dataset.id,
            created_by=user.id,
            number=1,
            status="ready",
            num_rows=len(rows),
            num_columns=len(columns),
            columns=columns,
            content_hash="0",
            format=formats.detect(columns),
        )
        session.add(version)
        session.flush()
        return version


def make_model(
    user: User | None,
    name: str = "support-bot",
    *,
    versions: int = 1,
    job_id: str | None = None,
    **fields: Any,
) -> str:
    """A model with empty weights: enough for pages that only talk about it. ``user`` None: a base."""
    with writing() as session:
        model = ModelRow(
            id=new_id("mdl"),
            owner_id=user.id if user else None,
            name=name,
            type="finetuned" if user else "base",
            **fields,
        )
        session.add(model)
        session.flush()
        for number in range(1, versions + 1):
            version_id = new_id("mdv")
            session.add(
                ModelVersionRow(
                    id=version_id,
                    model_id=model.id,
                    version=number,
                    folder=f"models/{version_id}",
                    finetune_job_id=job_id,
                    metrics={"train_loss": 0.5 / number, "valid_loss": 0.6 / number},
                    size_bytes=2_600_000,
                    num_parameters=1_300_000,
                )
            )
        return model.id


SAME = [
    {"prompt": f"Question {n}?", "reference": f"Answer {n}.", "export": f"Answer {n}.", "same": True}
    for n in range(9)
]
OTHER = {"prompt": "Question 9?", "reference": "Answer 9.", "export": "Something else.", "same": False}


def make_export(user: User, model_id: str, kind: str = "merged", status: str = "ready", **fields: Any) -> str:
    """An export of a model's newest version, in whatever state,
    with nine same answers of ten; returns its id."""
    with writing() as session:
        version = (
            session.query(ModelVersionRow)
            .filter_by(model_id=model_id)
            .order_by(ModelVersionRow.version.desc())
            .first()
        )
        assert version
        ended = now() if status in ("ready", "failed") else None
        values = {
            "id": new_id("exp"),
            "user_id": user.id,
            "model_version_id": version.id,
            "kind": kind,
            "target": "",
            "status": status,
            "progress": 0.4,
            "size_bytes": 2_600_000,
            "checks": [*SAME, OTHER],
            "facts": {
                "filename": filename_of("support-bot", 1, kind),
                "precision": "float32",
                "checked_by": "transformers",
                "stage": "Writing the weights",
            },
            "finished_at": ended,
        }
        row = ExportRow(**(values | fields))
        session.add(row)
        session.flush()
        return row.id


class Echo(Provider):
    """A provider that says the question again, word by word,
    and waits before the last one while it is held."""

    name, title = "echo", "Echo"

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.may_end.set()

    def generate(self, request: Generation, *, stop: Callable[[], bool]) -> Iterator[Delta | Finish]:
        words = request.messages[-1]["content"].split()
        for word in words[:-1]:
            yield Delta(word + " ")
        while not self.may_end.wait(0.05):
            if stop():
                yield Finish("cancelled", Usage(len(words), len(words) - 1))
                return
            yield Delta("")
        yield Delta(words[-1])
        yield Finish("stop", Usage(len(words), len(words)))


class FakePreview:
    """The preview process without its process: one token per character, what the format says is learned."""

    def ask(self, request: dict[str, Any], **_more: Any) -> dict[str, Any]:
        rows = list(preview_server.read_rows(request["rows"]))
        if request["op"] == "totals":
            counting = preview_rows.Counting()
            for line, example in rows:
                counting.add(line, example, Letters(), Settings(**request["settings"]))
            return counting.totals(Settings(**request["settings"]))
        line, example = rows[request["line"] - 1]
        found: dict[str, Any] = {
            "line": line,
            "errors": [],
            "trains": False,
            "max_length": 9,
            "sequences": [],
        }
        if isinstance(example, list):
            return found | {"errors": [{"field": d.field, "message": d.message} for d in example]}
        return found | preview_rows.look(example, Letters(), Settings(**request["settings"]))


class Letters:
    """A tokenizer of single characters with a chat template of brackets."""

    eos_token_id, all_special_ids, eos_token = 1, [1], None
    all_special_tokens: list[str] = []
    special_tokens_map: dict[str, str] = {}
    added_tokens_decoder: dict[int, Any] = {}
    chat_template = (
        "{%- for m in messages -%}{%- if m['role'] == 'assistant' -%}{% generation %}[{{ m['content'] }}]"
        "{% endgeneration %}{%- else -%}[{{ m['content'] }}]{%- endif -%}{%- endfor -%}"
    )

    def __call__(self, text: str, **_: Any) -> dict[str, list[Any]]:
        places = range(len(text))
        return {
            "input_ids": [ord(letter) for letter in text],
            "offset_mapping": [(place, place + 1) for place in places],
        }

    def decode(self, ids: list[int], **_: Any) -> str:
        return "".join("<end>" if id_ == 1 else chr(id_) for id_ in ids)

    def get_chat_template(self) -> str:
        return self.chat_template
