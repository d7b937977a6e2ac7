"""The registry: who sees what, what a name means, how weights get in and out."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import models, storage
from core.db import reading, writing
from core.errors import Conflict, Forbidden, InUse, NotFound, ReadOnly, Unavailable, ValidationError
from core.fields import parse
from core.models import publishing
from core.people.users import User
from core.security import new_id
from core.tables import AliasMoveRow, JobRow, ModelRow, ModelVersionRow
from core.weights import content_sha256, read_facts
from tests.tiny_models import write


@pytest.fixture
def publish(
    ada: User, base_model: ModelRow, tiny_base: Path, data_dir: Path
) -> Callable[..., models.publishing.Published]:
    """``publish(name="tuned", **more)``: what a finished job of Ada's on the tiny base does."""

    def make(
        name: str = "tuned", *, user: User = ada, job_id: str | None = None, **more: Any
    ) -> publishing.Published:
        draft = data_dir / "jobs" / new_id("draft")
        shutil.copytree(tiny_base, draft)
        base = models.list_versions(user, base_model.id).items[0]
        fields = {"kind": "full", "base_version_id": base.id, **more}
        return models.publish(
            models.Publication(user_id=user.id, name=name, job_id=job_id or new_id("ftj"), **fields),
            draft=draft,
        )

    return make


def custom(user: User, name: str, base_id: str, **more: Any) -> models.Model:
    return models.create_custom(user, parse(models.NewModel, name=name, base_model_id=base_id, **more))


def test_everyone_sees_bases_and_only_the_owner_what_is_owned(
    ada: User, bob: User, base_model: ModelRow
) -> None:
    mine = custom(ada, "mine", base_model.id)
    assert {m.name for m in models.list_models(ada, models.ModelList()).items} == {"tiny", "mine"}
    assert [m.name for m in models.list_models(bob, models.ModelList()).items] == ["tiny"]
    assert [m.name for m in models.list_models(ada, models.ModelList(type="custom")).items] == ["mine"]
    assert [m.name for m in models.list_models(ada, models.ModelList(q="INE")).items] == ["mine"]
    tries: list[Callable[[], object]] = [
        lambda: models.get(bob, mine.id),
        lambda: models.update(bob, mine.id, models.ModelChange(name="taken")),
        lambda: models.delete(bob, mine.id),
        lambda: models.list_versions(bob, mine.id),
        lambda: models.set_alias(bob, mine.id, "production", models.NewAlias(version=1)),
        lambda: models.drop_alias(bob, mine.id, "production"),
        lambda: models.resolve(bob, "mine"),
        lambda: models.resolve(bob, mine.id),
        lambda: custom(bob, "over it", mine.id),
    ]
    for attempt in tries:
        with pytest.raises(NotFound):
            attempt()


def test_names_are_unique_per_user_only(ada: User, bob: User, base_model: ModelRow) -> None:
    custom(ada, "helper", base_model.id)
    with pytest.raises(Conflict, match="already have a model named helper"):
        custom(ada, "helper", base_model.id)
    other = custom(bob, "helper", base_model.id)
    custom(bob, "second", base_model.id)
    with pytest.raises(Conflict):
        models.update(bob, other.id, models.ModelChange(name="second"))


def test_a_custom_model_carries_prompt_and_parameters_over_its_base(ada: User, base_model: ModelRow) -> None:
    made = custom(ada, "pirate", base_model.id, system_prompt="Arr", parameters={"temperature": 0.3})
    assert (made.type, made.base_model_id, made.openai_id, made.context_length) == (
        "custom",
        base_model.id,
        "pirate",
        128,
    )
    found = models.resolve(ada, "pirate")
    assert (found.version.model_id, found.system_prompt, found.parameters) == (
        base_model.id,
        "Arr",
        {"temperature": 0.3},
    )
    changed = models.update(ada, made.id, parse(models.ModelChange, system_prompt=None, parameters={}))
    assert (changed.name, changed.system_prompt, changed.parameters) == ("pirate", None, {})


def test_a_custom_model_over_a_custom_model_is_refused(ada: User, base_model: ModelRow) -> None:
    first = custom(ada, "first", base_model.id)
    with pytest.raises(ValidationError, match="base_model_id"):
        custom(ada, "second", first.id)


@pytest.mark.parametrize(
    "values", [{"name": ""}, {"name": "x" * 101}, {"name": None}, {"parameters": {"temperature": 9}}]
)
def test_what_breaks_a_field_rule_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parse(models.ModelChange, **values)


def test_name_version_alias_and_id_are_callable(
    ada: User, publish: Callable[..., publishing.Published]
) -> None:
    first, second = publish(), publish()
    assert first.model_id == second.model_id
    models.set_alias(ada, first.model_id, "production", models.NewAlias(version=1))
    called = {
        name: models.resolve(ada, name).version.id
        for name in ("tuned", "tuned@1", "tuned@2", "tuned@production", first.model_id)
    }
    assert called == {
        "tuned": second.version_id,
        "tuned@1": first.version_id,
        "tuned@2": second.version_id,
        "tuned@production": first.version_id,
        first.model_id: second.version_id,
    }
    assert models.get(ada, first.model_id).aliases == {"production": 1}
    for unknown in ("tuned@3", "tuned@staging", "tuned@", "@1", "", "nobody", "tuned@99999999999999999999"):
        with pytest.raises(NotFound):
            models.resolve(ada, unknown)


def test_ones_own_name_wins_over_a_base(ada: User, bob: User, base_model: ModelRow) -> None:
    own = custom(ada, "tiny", base_model.id, system_prompt="Mine")
    assert models.resolve(ada, "tiny").model.id == own.id
    assert models.resolve(bob, "tiny").model.id == base_model.id


def test_aliases_move_and_go(ada: User, publish: Callable[..., publishing.Published]) -> None:
    model_id = publish().model_id
    publish()
    for version, reason in ((1, None), (2, "fewer wrong refunds")):
        moved = models.set_alias(ada, model_id, "live", models.NewAlias(version=version, reason=reason))
        assert moved.aliases == {"live": version}
    models.drop_alias(ada, model_id, "live")
    with pytest.raises(NotFound):
        models.drop_alias(ada, model_id, "live")
    with pytest.raises(NotFound):
        models.set_alias(ada, model_id, "live", models.NewAlias(version=3))
    for name in ("", "a b", "7", "x" * 65, "a@b", "é"):
        with pytest.raises(ValidationError, match="alias"):
            models.set_alias(ada, model_id, name, models.NewAlias(version=1))


def test_a_move_needs_a_reason_and_is_written_down(
    ada: User, bob: User, publish: Callable[..., publishing.Published]
) -> None:
    model_id = publish().model_id
    publish()
    models.set_alias(ada, model_id, "live", models.NewAlias(version=1))
    with pytest.raises(ValidationError, match=r"reason.*from version 1 to version 2"):
        models.set_alias(ada, model_id, "live", models.NewAlias(version=2))
    assert models.get(ada, model_id).aliases == {"live": 1}
    models.set_alias(ada, model_id, "live", models.NewAlias(version=1))  # it stays: no move
    models.set_alias(ada, model_id, "live", models.NewAlias(version=2, reason=" Better ä 🎻 "))
    models.set_alias(ada, model_id, "other", models.NewAlias(version=2, reason="new"))
    models.drop_alias(ada, model_id, "live")
    models.set_alias(ada, model_id, "live", models.NewAlias(version=1))
    moves = models.list_moves(ada, model_id, "live").items
    assert [(move.from_version, move.to_version, move.reason) for move in moves] == [
        (None, 1, None),
        (2, None, None),
        (1, 2, " Better ä 🎻 "),
        (None, 1, None),
    ]
    assert {(move.by, move.by_name) for move in moves} == {(ada.id, "Ada")}
    assert models.list_all_moves(ada, model_id).total == 5
    for user, alias in ((bob, "live"), (ada, "never")):
        with pytest.raises(NotFound):
            models.list_moves(user, model_id, alias)


def test_the_log_of_moves_goes_with_its_model(
    ada: User, publish: Callable[..., publishing.Published]
) -> None:
    model_id = publish().model_id
    models.set_alias(ada, model_id, "live", models.NewAlias(version=1))
    models.drop_alias(ada, model_id, "live")
    models.delete(ada, model_id)
    with reading() as session:
        assert session.query(AliasMoveRow).count() == 0


def test_an_adapter_is_located_with_its_base(
    ada: User, tiny_base: Path, publish: Callable[..., publishing.Published]
) -> None:
    where = models.location(publish(kind="adapter").version_id)
    assert where.base == tiny_base
    assert where.adapter == where.folder == storage.model_dir(where.version_id)
    whole = models.location(publish("other").version_id)
    assert (whole.adapter, whole.base) == (None, whole.folder)
    with pytest.raises(NotFound):
        models.location("mdv_nothere")


def test_bases_are_read_only(ada: User, bob: User, base_model: ModelRow) -> None:
    with pytest.raises(ReadOnly):
        models.delete(bob, base_model.id)
    for user in (ada, bob):
        with pytest.raises(ReadOnly):
            models.update(user, base_model.id, models.ModelChange(description="mine now"))
        with pytest.raises(ReadOnly):
            models.set_alias(user, base_model.id, "live", models.NewAlias(version=1))


def test_an_admin_removes_a_base_that_nobody_uses(ada: User, tiny_base: Path, base_model: ModelRow) -> None:
    over = custom(ada, "over it", base_model.id)
    with pytest.raises(InUse):
        models.delete(ada, base_model.id)
    models.delete(ada, over.id)
    models.delete(ada, base_model.id)
    assert (tiny_base / "config.json").exists()  # a folder that is not ours stays


def test_deleting_a_model_removes_its_weights(
    ada: User, publish: Callable[..., publishing.Published]
) -> None:
    made = publish()
    folder = storage.model_dir(made.version_id)
    assert (folder / "model.safetensors").exists()
    models.delete(ada, made.model_id)
    assert not folder.exists()
    with pytest.raises(NotFound):
        models.get(ada, made.model_id)


def test_a_model_that_something_stands_on_is_not_deleted(
    ada: User, publish: Callable[..., publishing.Published]
) -> None:
    made = publish()
    models.set_alias(ada, made.model_id, "production", models.NewAlias(version=1))
    with pytest.raises(InUse, match="tuned@production"):
        models.delete(ada, made.model_id)
    models.drop_alias(ada, made.model_id, "production")
    over = custom(ada, "over it", made.model_id)
    with pytest.raises(InUse, match="over it"):
        models.delete(ada, made.model_id)
    models.delete(ada, over.id)
    with writing() as session:
        job = JobRow(id=new_id("ftj"), user_id=ada.id, name="j", base_model_id=made.model_id, status="queued")
        session.add(job)
    with pytest.raises(InUse, match=job.id):
        models.delete(ada, made.model_id)
    with writing() as session:
        session.get_one(JobRow, job.id).status = "cancelled"
    models.delete(ada, made.model_id)


def test_publishing_gives_a_model_with_its_lineage(
    ada: User, base_model: ModelRow, tiny_base: Path, publish: Callable[..., publishing.Published]
) -> None:
    job_id = new_id("ftj")
    made = publish(job_id=job_id, metrics={"valid_loss": 0.5}, settings={"seed": 1})
    model = models.get(ada, made.model_id)
    assert (model.type, model.base_model_id, model.finetune_job_id) == ("finetuned", base_model.id, job_id)
    assert (model.latest_version, model.kind, model.context_length) == (1, "full", 128)
    version = models.list_versions(ada, made.model_id).items[0]
    assert (version.metrics, version.settings) == ({"valid_loss": 0.5}, {"seed": 1})
    assert version.chat_template_sha256 == read_facts(tiny_base).chat_template_sha256
    assert version.size_bytes > 0


def test_publishing_a_job_twice_gives_the_first_result(
    ada: User, publish: Callable[..., publishing.Published]
) -> None:
    first = publish(job_id="ftj_x")
    assert publish(job_id="ftj_x") == first
    assert models.get(ada, first.model_id).latest_version == 1


def test_a_name_that_something_else_has_gets_a_number(
    ada: User, base_model: ModelRow, publish: Callable[..., publishing.Published]
) -> None:
    custom(ada, "tuned", base_model.id)
    made = [publish(), publish()]
    assert [models.get(ada, each.model_id).name for each in made] == ["tuned-2", "tuned-2"]


def test_a_publication_that_fails_leaves_no_files(
    data_dir: Path, publish: Callable[..., publishing.Published]
) -> None:
    with pytest.raises(Conflict, match="base model was deleted"):
        publish(base_version_id="mdv_gone")
    assert list((data_dir / "models").iterdir()) == []


def test_recover_sweeps_folders_that_no_row_names(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, publish: Callable[..., publishing.Published]
) -> None:
    kept = storage.model_dir(publish().version_id)
    orphan = storage.model_dir(new_id("mdv"))
    orphan.mkdir()
    models.recover()
    assert orphan.exists()  # fresh: a worker may be about to write its row
    monkeypatch.setattr(publishing, "SWEEP_AFTER_SECONDS", 0)
    models.recover()
    assert (kept.exists(), orphan.exists()) == (True, False)


@pytest.fixture
def bundled(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model in the place of the bundled starter."""
    folder = tmp_path / "weights"
    shutil.copytree(tiny_base, folder)
    monkeypatch.setattr(publishing, "STARTER_WEIGHTS", folder)
    return folder


def starter(user: User) -> models.Model:
    return models.resolve(user, models.STARTER).model


def test_the_starter_is_registered_once_and_says_what_it_is(ada: User, bundled: Path) -> None:
    models.ensure_starter()
    models.ensure_starter()
    found = starter(ada)
    assert (found.type, found.latest_version, found.starter, found.context_length) == ("base", 1, True, 128)
    assert "text that a program wrote" in found.description
    with pytest.raises(ReadOnly):
        models.delete(ada, found.id)


def test_other_starter_weights_become_its_next_version_and_the_old_ones_stay(
    ada: User, bundled: Path
) -> None:
    models.ensure_starter()
    old = models.location(starter(ada).latest_version_id or "")
    before = content_sha256(old.folder)
    (bundled / "README.md").write_text("better now")
    models.ensure_starter()
    assert starter(ada).latest_version == 2
    assert content_sha256(old.folder) == before


def test_what_is_built_on_the_starter_is_marked(ada: User, bundled: Path, base_model: ModelRow) -> None:
    models.ensure_starter()
    assert custom(ada, "small", starter(ada).id).starter
    assert not custom(ada, "other", base_model.id).starter


@pytest.mark.slow
def test_an_admin_adds_a_folder_as_a_base_for_everyone(ada: User, bob: User, tiny_base: Path) -> None:
    new = models.NewBase(name="llama", source=str(tiny_base), description="Ours")
    with pytest.raises(Forbidden):
        models.add_base(bob, new)
    added = models.add_base(ada, new)
    assert models.get(bob, added.id).num_parameters > 10_000
    assert models.location(added.latest_version_id or "").folder == tiny_base
    with pytest.raises(Conflict, match="already a base model named llama"):
        models.add_base(ada, new)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "said"), [("bert", "encoder"), pytest.param("t5", "writes text", marks=pytest.mark.long)]
)
def test_what_is_not_causal_is_not_added(
    ada: User, tiny_base: Path, tmp_path: Path, kind: str, said: str
) -> None:
    source = str(write(kind, tmp_path / "model", tiny_base))
    with pytest.raises(ValidationError, match=said) as caught:
        models.add_base(ada, models.NewBase(name="x", source=source))
    assert [detail.field for detail in caught.value.details] == ["source"]
    assert models.list_models(ada, models.ModelList()).total == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama", pytest.param("opt", marks=pytest.mark.long)])
def test_a_base_is_asked_once_whether_rows_may_be_packed(
    ada: User, tiny_base: Path, tmp_path: Path, kind: str
) -> None:
    source = str(write(kind, tmp_path / "model", tiny_base))
    added = models.add_base(ada, models.NewBase(name="x", source=source))
    version = models.list_versions(ada, added.id).items[0]
    assert version.settings["packs_rows"] is (kind == "llama")


def test_what_is_no_model_is_not_added(ada: User, tmp_path: Path, data_dir: Path) -> None:
    with pytest.raises(ValidationError, match=r"config\.json is missing"):
        models.add_base(ada, models.NewBase(name="x", source=str(tmp_path)))
    with pytest.raises(ValidationError, match="no such folder"):
        models.add_base(ada, models.NewBase(name="x", source="/nowhere/at/all"))
    with pytest.raises((Unavailable, ValidationError), match=r"hub|org/name"):
        models.add_base(ada, models.NewBase(name="x", source="no such/place/on earth"))
    with reading() as session:
        assert session.query(ModelVersionRow).count() == 0
    assert not (data_dir / "models").exists() or list((data_dir / "models").iterdir()) == []
