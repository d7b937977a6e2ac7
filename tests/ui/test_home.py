"""The home page: the next sensible step at each point of the loop, and what is new."""

from collections.abc import Callable

import pytest

from core import chats, datasets, fine_tuning, models
from core.chats import NewChat
from core.datasets import Dataset, DatasetList
from core.db import writing
from core.models import ModelList
from core.people import api_keys
from core.people.api_keys import NewKey
from core.people.users import User
from core.tables import JobRow
from tests.ui.conftest import Visit, jsonl, text_of
from tests.ui.things import make_model, make_sweep


@pytest.fixture
def starter() -> None:
    models.ensure_starter()


def test_a_newcomer_begins_with_a_sample_and_lands_in_the_fine_tuning_form(
    visit: Visit, ada: User, starter: None
) -> None:
    app = visit(ada, "home")
    assert not app.exception
    assert "Make your first model" in text_of(app)
    app.button(key="next_step_go").click().run()
    assert not app.exception
    made = datasets.list_datasets(ada, DatasetList()).items
    assert len(made) == 1
    assert app.query_params["dataset"] == made[0].id


def test_with_a_dataset_the_next_step_is_to_fine_tune_on_it(
    visit: Visit, ada: User, starter: None, dataset_of: Callable[..., Dataset]
) -> None:
    made = dataset_of(ada, "faq", jsonl({"prompt": "q", "completion": "a"}))
    app = visit(ada, "home")
    assert "Fine-tune your first model" in text_of(app)
    assert "faq" in text_of(app)
    app.button(key="next_step_go").click().run()
    assert app.query_params["dataset"] == made.id


def test_counts_and_recent_things_are_the_callers_own(
    visit: Visit, ada: User, bob: User, starter: None, dataset_of: Callable[..., Dataset]
) -> None:
    dataset_of(ada, "faq", jsonl({"a": 1}))
    model = models.list_models(ada, ModelList(type="base")).items[0]
    chats.create(ada, NewChat(model_id=model.id, title="About violins"))
    api_keys.create(ada, NewKey(name="k"))
    app = visit(ada, "home")
    assert {m.label: m.value for m in app.metric} == {
        "Datasets": "1",
        "Fine-tuned models": "0",
        "Fine-tunings": "0",
        "Chats": "1",
    }
    assert "About violins" in [link.label for link in app.page_link]
    others = visit(bob, "home")
    assert {m.value for m in others.metric} == {"0"}
    assert "faq" not in text_of(others)


def test_of_a_sweep_the_best_model_is_proposed_and_not_the_last(
    visit: Visit, ada: User, starter: None
) -> None:
    sweep = fine_tuning.sweeps.get(ada, make_sweep(ada, [{"n_epochs": n} for n in (1, 2, 3)]))
    by_loss = sorted(sweep.trials, key=lambda trial: trial.valid_loss or 0)
    for trial in by_loss:  # the best is made first, so it is not the newest
        model_id = make_model(ada, f"model of {trial.name}", job_id=trial.job_id)
        with writing() as session:
            session.get_one(JobRow, trial.job_id).model_id = model_id
    app = visit(ada, "home")
    assert "Talk to your model" in text_of(app)
    assert f"model of {by_loss[0].name} is ready" in text_of(app)
    assert sweep.best_job_id == by_loss[0].job_id


def test_a_newest_model_without_a_job_is_proposed_itself(
    visit: Visit, ada: User, starter: None, dataset_of: Callable[..., Dataset]
) -> None:
    dataset_of(ada, "faq", jsonl({"a": 1}))
    make_model(ada, "alone")
    assert "alone is ready" in text_of(visit(ada, "home"))
