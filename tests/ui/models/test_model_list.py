"""The table of models: what a row tells, order, filters, columns, and what is done with chosen rows."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core import models
from core.db import writing
from core.models import NewAlias, NewModel
from core.people.users import User
from core.tables import ModelVersionRow
from core.ui.models import model_list
from tests.ui.conftest import Visit, names_of, table_of, text_of
from tests.ui.things import make_dataset, make_job, make_model

MADE: dict[str, Any] = {
    "method": "supervised",
    "resolved": {"learning_rate": 0.002},
    "dataset": {"name": "gone", "number": 4},
}


def tell(model_id: str, **values: Any) -> None:
    """Of every version of the model."""
    with writing() as session:
        for version in session.query(ModelVersionRow).filter_by(model_id=model_id):
            for name, value in values.items():
                setattr(version, name, value)


def tick(app: AppTest, *model_ids: str) -> AppTest:
    app.session_state[model_list.TICKED] = list(model_ids)
    return app.run()


def test_a_row_tells_everything_at_a_glance(ada: User, visit: Visit) -> None:
    base = make_model(None, "tiny-base")
    model_id = make_model(ada, versions=2, base_model_id=base, description="Answers.\nMore.")
    tell(model_id, settings=MADE, metrics={"train_loss": 0.25, "valid_loss": 0.3, "seconds": 125.0})
    models.set_alias(ada, model_id, "production", NewAlias(version=1))
    app = visit(ada, "models")
    row, _ = table_of(app)["rows"]
    shown = {"name": "support-bot", "state": "Fine-tuned", "base": "tiny-base", "version": "2"}
    numbers = {"train_loss": "0.250", "valid_loss": "0.300", "learning_rate": "0.002", "time": "2 min 5 s"}
    weights = {"parameters": "1.3M", "size": "2.6 MB", "aliases": ["@production → v1"]}
    more = {"about": "Answers.", "href": f"model?id={model_id}", "data": "gone v4", "created": "just now"}
    assert row.items() >= {**shown, **numbers, **weights, **more}.items()
    assert [column["name"] for column in table_of(app)["columns"]] == ["name", "status", *model_list.DEFAULT]


def test_what_a_base_has_not_is_missing(ada: User, visit: Visit) -> None:
    base = make_model(None, "tiny-base")
    tell(base, metrics={}, settings={})
    app = visit(ada, "models")
    (row,) = table_of(app)["rows"]
    assert {row[name] for name in ("base", "data", "method", "learning_rate", "train_loss", "time")} == {None}
    assert table_of(app)["missing"] == "null"
    assert "Models of your own appear here" in text_of(app)


def test_a_custom_model_has_nothing_of_what_it_stands_on(ada: User, visit: Visit) -> None:
    base = make_model(None, "tiny-base")
    models.create_custom(ada, NewModel(name="helpdesk", base_model_id=base, system_prompt="Be kind."))
    row = table_of(visit(ada, "models"))["rows"][0]
    assert (row["state"], row["base"], row["version"], row["train_loss"]) == (
        "Custom",
        "tiny-base",
        None,
        None,
    )


def test_every_header_sorts(ada: User, visit: Visit) -> None:
    one, two = make_model(ada, "one"), make_model(ada, "two")
    data = make_dataset(ada, [{"prompt": "a", "completion": "b"}] * 4)
    slow, fast = {"learning_rate": 0.0001}, {"learning_rate": 0.01}
    tell(
        one,
        metrics={"train_loss": 0.5, "valid_loss": 0.1, "seconds": 9.0},
        settings={"method": "supervised", "resolved": slow},
        size_bytes=5,
        num_parameters=70,
        dataset_version_id=data.id,
    )
    tell(
        two,
        metrics={"train_loss": 0.4, "valid_loss": 0.2, "seconds": 100.0},
        settings={"method": "dpo", "resolved": fast},
        size_bytes=9,
        num_parameters=700,
    )
    make_model(ada, "none", versions=0)
    expected = {
        "name": ["none", "one", "two"],
        "train_loss": ["two", "one", "none"],
        "-train_loss": ["one", "two", "none"],
        "valid_loss": ["one", "two", "none"],
        "-size_bytes": ["two", "one", "none"],
        "method": ["two", "one", "none"],  # dpo, supervised
        "-learning_rate": ["two", "one", "none"],
        "-duration": ["two", "one", "none"],
        "num_parameters": ["one", "two", "none"],
        "wrong": ["none", "two", "one"],
    }
    for sort, names in expected.items():
        assert names_of(visit(ada, "models", models_sort=sort)) == names, sort
    assert names_of(visit(ada, "models", models_sort="dataset"))[0] == "one", "the others have no data"
    for column in model_list.COLUMNS:
        if column["sort"]:
            assert len(names_of(visit(ada, "models", models_sort=column["sort"]))) == 3, column


def test_newest_version_decides_the_order(ada: User, visit: Visit) -> None:
    """0.6, then 0.3 for the one of two versions; 0.6 for the one of one."""
    make_model(ada, "one")
    make_model(ada, "two", versions=2)
    assert names_of(visit(ada, "models", models_sort="valid_loss")) == ["two", "one"]


def test_filters_of_the_address_narrow_the_list(ada: User, bob: User, visit: Visit) -> None:
    base, other = make_model(None, "tiny-base"), make_model(None, "large-base")
    data = make_dataset(ada, [{"prompt": "a", "completion": "b"}] * 4)
    one = make_model(ada, "one", base_model_id=base)
    make_model(ada, "two", base_model_id=other)
    tell(one, dataset_version_id=data.id)
    make_model(bob, "secret", base_model_id=base)
    assert names_of(visit(ada, "models")) == ["two", "one", "large-base", "tiny-base"]
    assert names_of(visit(ada, "models", models_type="Base")) == ["large-base", "tiny-base"]
    assert names_of(visit(ada, "models", models_base="tiny-base")) == ["one"]
    app = visit(ada, "models", models_dataset="faq")
    assert (names_of(app), table_of(app)["rows"][0]["data"]) == (["one"], "faq v1")
    app.text_input(key="models_search").set_value("zzz").run()
    assert "No model matches" in text_of(app)
    assert "models_dataset" not in {box.key for box in visit(bob, "models").selectbox}


def test_columns_are_chosen(ada: User, visit: Visit) -> None:
    make_model(ada)
    app = visit(ada, "models")
    app.get_by_key("models_columns").set_value(["method", "size"]).run()
    assert [column["name"] for column in table_of(app)["columns"]] == ["name", "status", "method", "size"]


def test_runs_of_ticked_models_are_compared(ada: User, visit: Visit) -> None:
    jobs = [make_job(ada, "succeeded", name=name) for name in ("one", "two")]
    ids = [make_model(ada, name, job_id=job) for name, job in zip(("one", "two"), jobs, strict=True)]
    app = tick(visit(ada, "models"), *ids)
    app.button(key="models_compare").click().run()
    assert not app.exception
    assert app.query_params["ids"] == ",".join(jobs)


def test_how_many_of_the_runs_are_compared_is_said(
    ada: User, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_list, "MOST", 2)
    jobs = [make_job(ada, "succeeded", name=name) for name in ("one", "two", "three")]
    names = ("one", "two", "three")
    ids = [make_model(ada, name, job_id=job) for name, job in zip(names, jobs, strict=True)]
    app = tick(visit(ada, "models"), *ids)
    assert app.button(key="models_compare").label == "Compare the first 2 of their runs"
    app.button(key="models_compare").click().run()
    assert app.query_params["ids"] == ",".join(jobs[:2])


def test_of_one_ticked_model_its_versions_are_compared(ada: User, visit: Visit) -> None:
    jobs = [make_job(ada, "succeeded", name=name) for name in ("one", "two")]
    model_id = make_model(ada, versions=2)
    with writing() as session:
        for version in session.query(ModelVersionRow).filter_by(model_id=model_id):
            version.finetune_job_id = jobs[version.version - 1]
    assert model_list.job_ids_of(ada, [models.get(ada, model_id)]) == jobs[::-1]
    app = tick(visit(ada, "models"), model_id)
    assert {"models_compare", "models_chat", "models_tune"} <= {button.key for button in app.button}
    app.button(key="models_none").click().run()
    assert "models_compare" not in {button.key for button in app.button}


def test_without_runs_there_is_nothing_to_compare(ada: User, visit: Visit) -> None:
    app = tick(visit(ada, "models"), make_model(None, "tiny-base"), make_model(ada))
    assert app.button(key="models_compare").disabled
