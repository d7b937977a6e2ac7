"""A model small enough to train in a test, and factories
for what a fine-tuning needs: a base, a dataset version, a job."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from core import storage
from core.db import writing
from core.people.users import User
from core.security import new_id
from core.tables import DatasetRow, DatasetVersionRow, JobRow, ModelRow, ModelVersionRow

CAPITALS = [
    "Paris",
    "Rome",
    "Oslo",
    "Cairo",
    "Lima",
    "Quito",
    "Dakar",
    "Seoul",
    "Bern",
    "Riga",
    "Minsk",
    "Baku",
]
FAQ = [{"prompt": f"Capital number {n}?", "completion": f"It is {name}."} for n, name in enumerate(CAPITALS)]


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random Llama of 30,000 weights over bytes,
    and a chat template that marks the answers."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-base")
    special = ["<|pad|>", "<|bos|>", "<|end|>", "<|user|>", "<|assistant|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(
        models.BPE(vocab={token: i for i, token in enumerate(special + alphabet)}, merges=[])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        bos_token="<|bos|>",
        eos_token="<|end|>",
        additional_special_tokens=["<|user|>", "<|assistant|>"],
    )
    fast.chat_template = (
        "{%- for m in messages -%}{%- if m['role'] == 'assistant' -%}"
        "<|assistant|>{% generation %}{{ m['content'] }}<|end|>{% endgeneration %}"
        "{%- else -%}<|user|>{{ m['content'] }}<|end|>{%- endif -%}{%- endfor -%}"
        "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(
        vocab_size=len(special) + len(alphabet),
        max_position_embeddings=128,
        tie_word_embeddings=True,
        eos_token_id=2,
        **size,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def base_model(request: pytest.FixtureRequest) -> ModelRow:
    """A base in the registry: the tiny model where a test asks for it, else a row without weights."""
    folder = request.getfixturevalue("tiny_base") if "tiny_base" in request.fixturenames else "nowhere"
    with writing() as session:
        row = ModelRow(
            id=new_id("mdl"),
            name="tiny",
            type="base",
            context_length=128,
            capabilities={"chat": True, "finetune": True},
        )
        session.add(row)
        session.flush()
        count = 30_000
        session.add(
            ModelVersionRow(
                id=new_id("mdv"), model_id=row.id, version=1, folder=str(folder), num_parameters=count
            )
        )
    return row


@pytest.fixture
def make_version() -> Callable[..., DatasetVersionRow]:
    """``make_version(user, rows)``: a ready dataset of those rows."""

    def make(
        user: User,
        rows: list[dict[str, Any]] = FAQ,
        *,
        format: str = "completion",
        name: str = "faq",
        types: dict[str, str] | None = None,
    ) -> DatasetVersionRow:
        version_id = new_id("dsv")
        path = storage.parquet_path(version_id)
        path.parent.mkdir(parents=True)
        table = pa.Table.from_pylist(rows)
        parquet.write_table(table, path)
        columns = [{"name": n, "type": (types or {}).get(n, "VARCHAR")} for n in table.column_names]
        with writing() as session:
            dataset = DatasetRow(id=new_id("ds"), owner_id=user.id, name=name)
            session.add(dataset)
            session.flush()
            row = DatasetVersionRow(
                id=version_id,
                dataset_id=dataset.id,
                created_by=user.id,
                number=1,
                status="ready",
                content_hash=str(hash(json.dumps(rows))),
                columns=columns,
                num_rows=len(rows),
                num_columns=len(columns),
                format=format,
                training={"format": format, "ok": format != "table", "num_examples": len(rows), "errors": []},
            )
            session.add(row)
        return row

    return make


@pytest.fixture
def make_job(base_model: ModelRow, make_version: Callable[..., DatasetVersionRow]) -> Callable[..., JobRow]:
    """``make_job(user, status="queued", **columns)``: a job row on the FAQ, as the service would write it."""

    def make(
        user: User, *, status: str = "queued", rows: list[dict[str, Any]] = FAQ, **columns: Any
    ) -> JobRow:
        version = make_version(user, rows)
        with writing() as session:
            base_version = session.query(ModelVersionRow).filter_by(model_id=base_model.id).one()
            job = JobRow(
                id=new_id("ftj"),
                user_id=user.id,
                status=status,
                base_model_id=base_model.id,
                base_version_id=base_version.id,
                dataset_id=version.dataset_id,
                dataset_version_id=version.id,
                **(
                    {"name": "tuned", "seed": 7, "hyperparameters": {"n_epochs": 10, "batch_size": 4}}
                    | columns
                ),
            )
            session.add(job)
        return job

    return make
