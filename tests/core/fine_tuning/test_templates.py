"""A base's chat template is known before a training is planned, also of a base that came before templates
were checked."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from core import fine_tuning, models
from core.db import writing
from core.errors import Conflict
from core.fields import parse
from core.fine_tuning import NewJob
from core.fine_tuning.before import process
from core.people.users import User
from core.tables import ModelRow, ModelVersionRow
from tests.core.chat_templates.families import tokenizer_of

Ask = Callable[..., NewJob]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What the process of the preview is asked; it answers for real."""
    requests: list[dict[str, Any]] = []
    ask = process.shared.ask

    def noted(request: dict[str, Any], **more: Any) -> dict[str, Any]:
        requests.append(request)
        return ask(request, **more)

    monkeypatch.setattr(process.shared, "ask", noted)
    yield requests
    process.shared.stop()


@pytest.fixture
def old_base(base_model: ModelRow, tmp_path: Path) -> Callable[..., str]:
    """``old_base("no end", eos=None)``: the files of that family behind a version without any findings."""

    def make(family: str, **changed: str | None) -> str:
        tokenizer = deepcopy(tokenizer_of(family))
        for name, value in changed.items():
            setattr(tokenizer, name, value)
        tokenizer.save_pretrained(tmp_path)
        (tmp_path / "config.json").write_text('{"model_type": "llama"}')
        with writing() as session:
            row = session.query(ModelVersionRow).filter_by(model_id=base_model.id).one()
            row.folder, row.settings = str(tmp_path), {"source": "somewhere"}
            return row.id

    return make


@pytest.fixture
def ask(ada: User, base_model: ModelRow, make_version: Callable[..., Any]) -> Ask:
    data = make_version(ada)

    def make(**more: Any) -> NewJob:
        return parse(NewJob, base_model_id=base_model.id, dataset_id=data.dataset_id, **more)

    return make


def test_what_would_spoil_the_model_refuses_the_start_and_is_asked_once(
    ada: User, old_base: Callable[..., str], ask: Ask, asked: list[dict[str, Any]]
) -> None:
    version_id = old_base("no end", eos_token=None)
    for start in (fine_tuning.plan, fine_tuning.create, fine_tuning.plan):
        with pytest.raises(Conflict, match=r"tiny cannot be trained: the chat template .* would never stop"):
            start(ada, ask())
    assert [request["op"] for request in asked] == ["template"]
    assert fine_tuning.list_jobs(ada).total == 0
    known = models.template_findings(version_id)
    assert known is not None
    assert [one.kind for one in known if one.level == "error"] == ["no_end"]
    with writing() as session:
        assert session.get_one(ModelVersionRow, version_id).settings["source"] == "somewhere"


def test_what_people_should_know_stands_in_the_plan(
    ada: User, old_base: Callable[..., str], ask: Ask, asked: list[dict[str, Any]]
) -> None:
    old_base("no end")
    warnings = fine_tuning.plan(ada, ask()).warnings
    assert any("ends an answer with no token of its own" in warning for warning in warnings)
    assert len(asked) == 1


def test_a_tokenizer_that_cannot_be_read_leaves_the_question_to_the_job(
    ada: User, base_model: ModelRow, old_base: Callable[..., str], ask: Ask, tmp_path: Path
) -> None:
    version_id = old_base("starter")
    (tmp_path / "tokenizer.json").write_text("{")
    assert fine_tuning.plan(ada, ask()).total_steps > 0
    assert models.template_findings(version_id) is None
    process.shared.stop()


def test_nothing_is_to_be_said_of_the_starter() -> None:
    """What ``models.ensure_starter`` writes down without asking."""
    from core import chat_templates
    from core.models.publishing import STARTER_WEIGHTS

    tokenizer = tokenizer_of("starter")
    ends = chat_templates.ends_of_folder(tokenizer, STARTER_WEIGHTS)
    assert chat_templates.check(tokenizer, ends=ends) == []
