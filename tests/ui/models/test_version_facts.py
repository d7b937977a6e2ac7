"""What the Versions tab says of a version's making."""

from typing import Any

from core.db import writing
from core.people.users import User
from core.tables import ModelVersionRow
from tests.ui.conftest import Visit, text_of
from tests.ui.things import make_job, make_model

SETTINGS: dict[str, Any] = {
    "method": "dpo",
    "seed": 7,
    "resolved": {"tuning": "lora", "learning_rate": 0.002, "n_epochs": 3, "stop_at": None},
    "dataset": {"name": "faq", "number": 2, "rows": 72, "content_hash": "abc"},
    "environment": {"python": "3.11", "torch": "2.13"},
    "hardware": {"machine": "x86_64", "cores": 2, "memory_bytes": 8_000_000_000},
    "cost": {"device_hours": 0.5, "per_hour": 2.5, "total": 1.25},
}
METRICS = {"train_loss": 0.25, "seconds": 125.0, "trained_tokens": 12_345}


def tell(model_id: str, **values: Any) -> None:
    with writing() as session:
        version = session.query(ModelVersionRow).filter_by(model_id=model_id).one()
        for name, value in values.items():
            setattr(version, name, value)


def test_all_that_the_worker_recorded_is_there(ada: User, visit: Visit) -> None:
    model_id = make_model(ada, job_id=make_job(ada, "succeeded"))
    tell(model_id, settings=SETTINGS, metrics=METRICS, chat_template_sha256="f" * 64)
    app = visit(ada, "model", id=model_id)
    assert not app.exception
    said = text_of(app)
    for fact in (
        "0.2500",
        "dpo",
        "LoRA",
        "faq v2, 72 rows",
        "12,345",
        "2 min 5 s",
        "2 cores · x86",
        "1.25",
        "f" * 64,
    ):
        assert fact in said, fact
    tables = {frame.value.columns[0]: dict(frame.value.itertuples(index=False)) for frame in app.dataframe}
    assert "stop_at" not in tables["Setting"]
    assert (tables["Setting"]["learning_rate"], tables["Setting"]["seed"]) == ("0.002", "7")
    assert (tables["Part"]["torch"], tables["Part"]["memory bytes"]) == ("2.13", "8 GB")
    assert tables["Part"]["dataset: content hash"] == "abc"


def test_without_a_price_the_hours_are_the_cost(ada: User, visit: Visit) -> None:
    model_id = make_model(ada)
    tell(model_id, settings={"cost": {"device_hours": 0.25, "per_hour": 0.0, "total": 0.0}})
    assert "0.25 device hours" in text_of(visit(ada, "model", id=model_id))


def test_versions_that_know_nothing_say_nothing(ada: User, visit: Visit) -> None:
    model_id = make_model(ada)
    tell(model_id, settings={"versions": {"torch": "2.0"}, "cost": None, "hardware": None}, metrics={})
    app = visit(ada, "model", id=model_id)
    assert not app.exception
    assert "Cost" not in text_of(app)
