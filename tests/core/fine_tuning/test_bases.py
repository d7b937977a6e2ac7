"""Which bases a job may start from, and for which packing is refused before the queue."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import fine_tuning
from core.db import writing
from core.errors import Conflict, ValidationError
from core.fields import parse
from core.fine_tuning import NewJob
from core.people.users import User
from core.security import new_id
from core.tables import JobRow, ModelRow, ModelVersionRow
from core.training.method import CANNOT_PACK

Ask = Callable[..., NewJob]


@pytest.fixture
def version(base_model: ModelRow, tmp_path: Path) -> Callable[..., str]:
    """``version({"model_type": …})``: what the base's configuration says; the id of its version."""

    def make(config: dict[str, Any], **settings: Any) -> str:
        (tmp_path / "config.json").write_text(json.dumps(config))
        with writing() as session:
            row = session.query(ModelVersionRow).filter_by(model_id=base_model.id).one()
            row.folder, row.settings = str(tmp_path), settings | {"chat_template": []}
            return row.id

    return make


@pytest.fixture
def ask(ada: User, base_model: ModelRow, make_version: Callable[..., Any]) -> Ask:
    data = make_version(ada)

    def make(base: str = base_model.id, **hyperparameters: Any) -> NewJob:
        request = {"base_model_id": base, "dataset_id": data.dataset_id, "hyperparameters": hyperparameters}
        return parse(NewJob, **request)

    return make


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "bert"}, "an encoder, which"),
        ({"model_type": "roberta", "is_decoder": False}, "an encoder, which"),
        ({"model_type": "t5", "is_encoder_decoder": True}, "an encoder with a decoder"),
        ({"model_type": "xlnet"}, "see those behind"),
        ({"model_type": "llama", "architectures": ["LlamaForTokenClassification"]}, "does not write text"),
    ],
)
def test_what_is_not_causal_is_no_base_of_a_job(
    ada: User, version: Callable[..., str], ask: Ask, config: dict[str, Any], said: str
) -> None:
    version(config)
    for start in (fine_tuning.plan, fine_tuning.create):
        with pytest.raises(Conflict, match=rf"tiny is no causal language model.*{said}"):
            start(ada, ask())
    assert fine_tuning.list_jobs(ada).total == 0


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "bert", "is_decoder": True},
        {"model_type": "bart", "is_decoder": True, "is_encoder_decoder": False},
        {"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
        {},
    ],
)
def test_what_may_be_causal_is_left_to_the_measurement(
    ada: User, version: Callable[..., str], ask: Ask, config: dict[str, Any]
) -> None:
    version(config)
    assert fine_tuning.create(ada, ask()).status == "queued"


def refuses(user: User, request: NewJob) -> bool:
    """Whether packing is refused, by the plan as by the start; nothing else may be wrong."""
    refused = []
    for start in (fine_tuning.plan, fine_tuning.create):
        try:
            start(user, request)
        except ValidationError as error:
            refused += [(detail.field, detail.message) for detail in error.details]
    assert len(refused) in (0, 2)
    assert all(field.endswith(".packing") and "see one another" in told for field, told in refused)
    return bool(refused)


@pytest.mark.parametrize("kind", ["opt", "bloom", "mamba", "falcon"])
def test_packing_is_refused_where_the_kind_is_known_to_leak(
    ada: User, version: Callable[..., str], ask: Ask, kind: str
) -> None:
    version({"model_type": kind})
    assert refuses(ada, ask(packing=True))
    assert not refuses(ada, ask(packing=False))
    assert not refuses(ada, ask(packing="auto"))
    assert fine_tuning.plan(ada, ask()).resolved["packing"] is False


def test_what_was_measured_counts_for_the_base_and_for_all_that_came_of_it(
    ada: User, version: Callable[..., str], ask: Ask
) -> None:
    base = version({"model_type": "opt"}, packs_rows=True)
    assert not refuses(ada, ask(packing=True))
    version({"model_type": "new one"}, packs_rows=False)
    assert refuses(ada, ask(packing=True))
    with writing() as session:
        tuned = ModelRow(id=new_id("mdl"), owner_id=ada.id, name="tuned", type="finetuned")
        session.add(tuned)
        session.flush()
        folder = session.get_one(ModelVersionRow, base).folder
        facts = {"version": 1, "kind": "full", "num_parameters": 30_000, "folder": folder}
        session.add(ModelVersionRow(id=new_id("mdv"), model_id=tuned.id, base_version_id=base, **facts))
    assert refuses(ada, ask(tuned.id, packing=True))


def test_what_a_training_found_is_known_from_then_on(
    ada: User, version: Callable[..., str], ask: Ask, make_job: Callable[..., JobRow]
) -> None:
    version({"model_type": "new one"})
    other = {"code": "diverged", "message": "The loss is no number."}
    make_job(ada, status="failed", error=other)
    assert not refuses(ada, ask(packing=True))
    make_job(ada, status="failed", error={"code": CANNOT_PACK, "message": "It leaks."})
    assert refuses(ada, ask(packing=True))
