"""Checkpoints as something to use: called, kept, deleted, promoted; and what the registry remembers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import chats, fine_tuning, models, storage
from core.db import reading, writing
from core.errors import Conflict, NotFound
from core.fine_tuning import Promotion, provenance
from core.models import publishing
from core.people.users import User
from core.providers import PROVIDERS
from core.security import new_id
from core.tables import (
    ChatRow,
    CheckpointRow,
    DatasetVersionRow,
    JobRow,
    MessageRow,
    ModelRow,
    ModelVersionRow,
)
from core.training import checkpoints
from core.weights import real_path, template_sha256
from core.workers import worker
from tests.core.workers.test_worker import claim, row_of
from tests.ui.things import Echo

MakeJob = Callable[..., JobRow]


@pytest.fixture
def trained(ada: User, tiny_base: Path, make_job: MakeJob) -> JobRow:
    """A finished job with two checkpoints: a real training of a tiny model."""
    make_job(
        ada, validation_fraction=0.2, hyperparameters={"n_epochs": 4, "batch_size": 4, "evaluate_every": 4}
    )
    job_id = claim()
    assert worker.main(job_id) == 0
    assert len(checkpoints.steps(storage.job_dir(job_id))) >= 2
    return row_of(job_id)


@pytest.fixture
def half_way(ada: User, make_job: MakeJob) -> JobRow:
    """A running job with the checkpoints of steps 4, 8 and 12,
    as far as files and rows go; the best is step 8."""
    job = make_job(
        ada, status="running", lease_token="x", step=14, total_steps=40, hyperparameters={"keep": "best"}
    )
    for step, loss in ((4, 2.0), (8, 1.0), (12, 1.5)):
        add_checkpoint(job.id, step, valid_loss=loss)
    return job


def add_checkpoint(job_id: str, step: int, **metrics: float) -> None:
    folder = storage.checkpoint_model_dir(job_id, step)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"max_position_embeddings": 128}')
    (folder / "chat_template.jinja").write_text(f"template {step}")
    with writing() as session:
        session.add(CheckpointRow(id=new_id("ckpt"), job_id=job_id, step=step, metrics=metrics, size_bytes=1))


def version_of(version_id: str) -> ModelVersionRow:
    with reading() as session:
        return session.get_one(ModelVersionRow, version_id)


def test_the_folder_is_the_one_that_the_training_writes(trained: JobRow) -> None:
    step = checkpoints.steps(storage.job_dir(trained.id))[-1]
    assert storage.checkpoint_model_dir(trained.id, step) == checkpoints.model_folder(
        storage.job_dir(trained.id), step
    )
    assert (storage.checkpoint_model_dir(trained.id, step) / "model.safetensors").is_file()


@pytest.mark.parametrize("name", ["{id}:step-8", "tuned:step-8"])
def test_a_checkpoint_is_callable_while_its_job_runs(ada: User, half_way: JobRow, name: str) -> None:
    found = models.resolve(ada, name.format(id=half_way.id))
    weights = models.location(found.version.id)
    assert weights.folder == weights.base == storage.checkpoint_model_dir(half_way.id, 8)
    assert weights.chat_template_sha256 == template_sha256(weights.folder)
    assert (found.model.id, found.model.name, found.version.version) == (
        f"{half_way.id}:step-8",
        "tuned:step-8",
        8,
    )


def test_an_adapters_checkpoint_stands_over_the_whole_base(ada: User, half_way: JobRow) -> None:
    (storage.checkpoint_model_dir(half_way.id, 8) / "adapter_config.json").write_text("{}")
    weights = models.location(models.resolve(ada, f"{half_way.id}:step-8").version.id)
    assert (weights.adapter, weights.base) == (
        weights.folder,
        real_path(version_of(str(half_way.base_version_id)).folder),
    )


def test_a_name_of_the_registry_wins_over_a_checkpoint(ada: User, half_way: JobRow) -> None:
    with writing() as session:
        model = ModelRow(id=new_id("mdl"), owner_id=ada.id, name="tuned:step-8", type="finetuned")
        session.add(model)
        session.flush()
        session.add(ModelVersionRow(id=new_id("mdv"), model_id=model.id, version=1, folder="nowhere"))
    assert models.resolve(ada, "tuned:step-8").model.id == model.id


def test_another_users_checkpoint_does_not_exist(bob: User, half_way: JobRow) -> None:
    for name in (f"{half_way.id}:step-8", "tuned:step-8"):
        with pytest.raises(NotFound, match="no such model"):
            models.resolve(bob, name)


def test_a_checkpoint_that_was_there_is_a_conflict_and_one_that_never_was_is_not_found(
    ada: User, half_way: JobRow
) -> None:
    fine_tuning.delete_checkpoint(ada, half_way.id, 4)
    with pytest.raises(Conflict, match="step 4 was removed"):
        models.resolve(ada, f"{half_way.id}:step-4")
    with pytest.raises(NotFound):
        models.resolve(ada, f"{half_way.id}:step-999")


def test_a_chat_talks_to_a_checkpoint_and_says_when_it_is_gone(
    ada: User, half_way: JobRow, base_model: ModelRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROVIDERS, "local", Echo())
    name = f"{half_way.id}:step-4"
    chat = chats.create(ada, chats.NewChat(model_id=name))
    sent = chats.send(ada, chats.NewMessage(chat_id=chat.id, content="are you there"))
    assert sent.reply is not None
    assert (sent.reply.content, sent.reply.model_id) == ("are you there", name)
    assert chats.get(ada, chat.id).model_id == name
    assert chats.list_chats(ada, chats.ChatList(model_id=name)).total == 1
    with reading() as session:
        assert session.query(ChatRow.model_id, ChatRow.checkpoint).one() == (None, name)
        assert session.query(MessageRow.checkpoint).filter_by(role="assistant").one() == (name,)
    fine_tuning.delete_checkpoint(ada, half_way.id, 4)
    with pytest.raises(Conflict, match="step 4 was removed"):
        chats.send(ada, chats.NewMessage(chat_id=chat.id, content="and now"))
    chats.update(ada, chat.id, chats.ChatChange(model_id=base_model.id))
    assert chats.get(ada, chat.id).model_id == base_model.id


def test_the_chat_of_a_deleted_job_asks_for_another_model(ada: User, half_way: JobRow) -> None:
    chat = chats.create(ada, chats.NewChat(model_id=f"{half_way.id}:step-8"))
    with writing() as session:
        session.delete(session.get_one(JobRow, half_way.id))
    with pytest.raises(Conflict, match="Choose another model"):
        chats.send(ada, chats.NewMessage(chat_id=chat.id, content="hello"))


def test_a_kept_checkpoint_survives_the_sweep_of_its_running_job(ada: User, half_way: JobRow) -> None:
    assert fine_tuning.pin_checkpoint(ada, half_way.id, 4).pinned
    assert worker._pinned(half_way.id) == {4}
    assert checkpoints.prune(storage.job_dir(half_way.id), best=None, pinned=worker._pinned(half_way.id)) == [
        4,
        8,
        12,
    ]
    assert not fine_tuning.unpin_checkpoint(ada, half_way.id, 4).pinned
    assert checkpoints.prune(storage.job_dir(half_way.id), best=None, pinned=worker._pinned(half_way.id)) == [
        8,
        12,
    ]


def test_keeping_what_is_swept_already_says_so(ada: User, half_way: JobRow) -> None:
    checkpoints.prune(storage.job_dir(half_way.id), best=None)
    with pytest.raises(Conflict, match="files of the checkpoint of step 4 are gone"):
        fine_tuning.pin_checkpoint(ada, half_way.id, 4)


@pytest.mark.parametrize(("step", "why"), [(12, "goes on from"), (8, "best so far")])
def test_what_an_active_job_needs_is_not_deleted(ada: User, half_way: JobRow, step: int, why: str) -> None:
    with pytest.raises(Conflict, match=why):
        fine_tuning.delete_checkpoint(ada, half_way.id, step)
    assert storage.checkpoint_model_dir(half_way.id, step).is_dir()
    with writing() as session:
        session.get_one(JobRow, half_way.id).status = "cancelled"
    fine_tuning.delete_checkpoint(ada, half_way.id, step)
    assert not storage.checkpoint_model_dir(half_way.id, step).parent.exists()
    with pytest.raises(NotFound):
        fine_tuning.get_checkpoint(ada, half_way.id, step)


@pytest.mark.parametrize(
    "act",
    [
        fine_tuning.pin_checkpoint,
        fine_tuning.unpin_checkpoint,
        fine_tuning.delete_checkpoint,
        fine_tuning.promote_checkpoint,
        fine_tuning.get_checkpoint,
    ],
)
def test_only_the_owner_may(bob: User, half_way: JobRow, act: Callable[..., Any]) -> None:
    with pytest.raises(NotFound):
        act(bob, half_way.id, 8)
    assert storage.checkpoint_model_dir(half_way.id, 8).is_dir()


def test_a_promoted_checkpoint_is_a_version_that_outlives_it(ada: User, half_way: JobRow) -> None:
    made = fine_tuning.promote_checkpoint(ada, half_way.id, 4)
    assert fine_tuning.promote_checkpoint(ada, half_way.id, 4) == made
    assert fine_tuning.get_checkpoint(ada, half_way.id, 4).model_version_id == made.version_id
    version, model = version_of(made.version_id), models.get(ada, made.model_id)
    assert model.name == "tuned-step-4"
    assert (version.settings["checkpoint_step"], version.metrics["valid_loss"]) == (4, 2.0)
    fine_tuning.delete_checkpoint(ada, half_way.id, 4)
    assert (storage.model_dir(made.version_id) / "chat_template.jinja").read_text() == "template 4"


def test_several_checkpoints_of_one_job_become_versions_of_one_model(ada: User, half_way: JobRow) -> None:
    made = [
        fine_tuning.promote_checkpoint(ada, half_way.id, step, Promotion(name="mine")) for step in (4, 8, 12)
    ]
    assert len({one.model_id for one in made}) == 1
    assert [version_of(one.version_id).version for one in made] == [1, 2, 3]
    assert [version_of(one.version_id).chat_template_sha256 for one in made] == [
        template_sha256(storage.checkpoint_model_dir(half_way.id, step)) for step in (4, 8, 12)
    ]


def test_promoting_leaves_the_checkpoint_as_it_was(ada: User, half_way: JobRow) -> None:
    folder = storage.checkpoint_model_dir(half_way.id, 8)
    (folder / "README.md").write_text("what the library wrote")
    made = fine_tuning.promote_checkpoint(ada, half_way.id, 8)
    assert (folder / "README.md").read_text() == "what the library wrote"
    assert "made with Luthier" in (storage.model_dir(made.version_id) / "README.md").read_text()
    assert list(storage.staging_dir().iterdir()) == []


def test_two_who_promote_at_once_make_one_version(
    ada: User, half_way: JobRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, seen = models.publish, []

    def after_another(*args: Any, **kwargs: Any) -> models.Published:
        monkeypatch.setattr(models, "publish", publish)
        seen.append(fine_tuning.promote_checkpoint(ada, half_way.id, 8))
        return publish(*args, **kwargs)

    monkeypatch.setattr(models, "publish", after_another)
    assert fine_tuning.promote_checkpoint(ada, half_way.id, 8) == seen[0]
    with reading() as session:
        assert session.query(ModelVersionRow).filter_by(finetune_job_id=half_way.id).count() == 1
    assert len(list((storage.model_dir(seen[0].version_id).parent).iterdir())) == 1


def test_a_job_whose_checkpoint_was_promoted_still_publishes_its_own_result(
    ada: User, trained: JobRow
) -> None:
    """The job is finished here; what a worker asks when it ends must not find the promotion instead."""
    steps = checkpoints.steps(storage.job_dir(trained.id))
    promoted = fine_tuning.promote_checkpoint(ada, trained.id, steps[0])
    own = publishing._published(trained.id)
    assert own is not None
    assert own.version_id == trained.model_version_id != promoted.version_id


def test_the_checkpoint_that_became_the_model_is_that_version(ada: User, trained: JobRow) -> None:
    step = version_of(str(trained.model_version_id)).settings["checkpoint_step"]
    made = fine_tuning.promote_checkpoint(ada, trained.id, step)
    assert made == (trained.model_id, trained.model_version_id)


def test_a_promoted_adapter_can_be_trained_further(ada: User, tiny_base: Path, make_job: MakeJob) -> None:
    make_job(ada, hyperparameters={"n_epochs": 4, "batch_size": 4, "tuning": "lora", "lora_rank": 2})
    job_id = claim()
    assert worker.main(job_id) == 0
    steps = checkpoints.steps(storage.job_dir(job_id))
    made = fine_tuning.promote_checkpoint(ada, job_id, steps[0], Promotion(name="earlier"))
    version = version_of(made.version_id)
    assert (version.kind, version.base_version_id) == ("adapter", row_of(job_id).base_version_id)
    further = make_job(ada, hyperparameters={"n_epochs": 1, "tuning": "lora"})
    with writing() as session:
        row = session.get_one(JobRow, further.id)
        row.base_version_id, row.base_model_id = version.id, made.model_id
    assert worker.main(claim()) == 0


def test_a_version_knows_how_it_was_made(ada: User, trained: JobRow) -> None:
    version = version_of(str(trained.model_version_id))
    told = version.settings
    with reading() as session:
        data = session.get_one(DatasetVersionRow, trained.dataset_version_id)
    assert told["dataset"] == {
        "version_id": data.id,
        "name": "faq",
        "number": 1,
        "content_hash": data.content_hash,
        "rows": data.num_rows,
    }
    assert told["validation"] == {"share_of_the_dataset": 0.2}
    assert told["resolved"]["n_epochs"] == 4
    assert set(told["environment"]) >= {"python", "luthier", "platform", *provenance.LIBRARIES}
    assert told["environment"]["torch"] != "not installed"
    assert told["hardware"]
    assert (
        told["chat_template_sha256"]
        == version.chat_template_sha256
        == template_sha256(storage.model_dir(version.id))
    )
    assert told["checkpoint_step"] == version.metrics["step"]
    assert version.metrics["seconds"] == pytest.approx(trained.spent_seconds, abs=2)
    assert version.metrics["trained_tokens"] > 0


def test_the_time_of_all_attempts_counts(ada: User, tiny_base: Path, make_job: MakeJob) -> None:
    job = make_job(ada, spent_seconds=5000.0)
    assert worker.main(claim()) == 0
    version = version_of(str(row_of(job.id).model_version_id))
    assert 5000 < version.metrics["seconds"] < 5600
    assert 5000 < row_of(job.id).spent_seconds < 5600
    assert version.settings["cost"]["device_hours"] == pytest.approx(
        version.metrics["seconds"] / 3600, abs=0.01
    )


def test_a_price_makes_a_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    assert provenance.cost(3600, devices=2) == {"device_hours": 2.0, "per_hour": 0, "total": 0}
    monkeypatch.setenv("LUTHIER_COST_PER_HOUR", "1.5")
    provenance.settings.cache_clear()
    assert provenance.cost(3600, devices=2) == {"device_hours": 2.0, "per_hour": 1.5, "total": 3.0}
    provenance.settings.cache_clear()


def test_the_card_says_what_it_is_and_how_it_was_made(trained: JobRow) -> None:
    card = (storage.model_dir(str(trained.model_version_id)) / "README.md").read_text()
    for text in (
        "# tuned",
        "tuned from tiny, version 1",
        "faq, version 1, 12 rows",
        "| n epochs | 4 |",
        "| torch |",
        "valid loss",
    ):
        assert text in card
    assert "starter" not in card
    assert str(version_of(str(trained.model_version_id)).chat_template_sha256) in card


def test_the_card_of_a_tuned_starter_warns(ada: User, half_way: JobRow, base_model: ModelRow) -> None:
    with writing() as session:
        session.get_one(ModelRow, base_model.id).name = models.STARTER
    made = fine_tuning.promote_checkpoint(ada, half_way.id, 8)
    assert "descends from Luthier's starter" in (storage.model_dir(made.version_id) / "README.md").read_text()
