"""``/api/finetune`` before a start: plan, preview, settings."""

from collections.abc import Iterator
from typing import Any

import pytest

from core import fine_tuning, hardware, models
from core.models import ModelList
from core.people.users import User
from core.training import METHODS, Hyperparameters
from tests.api.conftest import Caller, error_of, fields_of
from tests.ui.things import make_dataset

ROWS = [{"prompt": f"How many is {n}?", "completion": f"It is {n}."} for n in range(20)]


@pytest.fixture
def body(ada: User) -> Iterator[dict[str, Any]]:
    models.ensure_starter()
    starter = models.list_models(ada, ModelList(q=models.STARTER)).items[0]
    yield {"base_model_id": starter.id, "dataset_id": make_dataset(ada, ROWS).dataset_id}
    fine_tuning.preview.stop()


def test_a_plan_tells_steps_memory_and_settings_and_starts_nothing(
    as_ada: Caller, body: dict[str, Any]
) -> None:
    found = as_ada.post(
        "/api/finetune/plan", body | {"hyperparameters": {"n_epochs": 2, "batch_size": 4}}
    ).json()
    assert (
        found["plan"]["num_examples"],
        found["plan"]["total_steps"],
        found["plan"]["resolved"]["tuning"],
    ) == (20, 10, "full")
    assert found["memory"]["estimated_bytes"] == sum(found["memory"]["need"].values())
    assert found["memory"]["free"] > 0
    assert found["measured"] is None
    assert as_ada.get("/api/finetune").json()["total"] == 0


def test_a_plan_refuses_what_a_start_would_refuse(as_ada: Caller, body: dict[str, Any]) -> None:
    assert fields_of(as_ada.post("/api/finetune/plan", body | {"hyperparameters": {"tuning": "qlora"}})) == {
        "hyperparameters.tuning"
    }
    assert fields_of(as_ada.post("/api/finetune/plan", body | {"method": "magic"})) == {"method"}


@pytest.mark.slow
def test_a_row_is_shown_as_tokens(as_ada: Caller, body: dict[str, Any]) -> None:
    found = as_ada.post("/api/finetune/preview", body | {"line": 3}).json()
    (sequence,) = found["sequences"]
    assert (found["line"], found["trains"]) == (3, True)
    assert "".join(piece["text"] for piece in sequence["pieces"]) == sequence["text"]
    learned = "".join(piece["text"] for piece in sequence["pieces"] if piece["learned"])
    assert learned == "It is 2.<|end|>"
    missing = as_ada.post("/api/finetune/preview", body | {"line": 21})
    assert (missing.status_code, error_of(missing)["message"]) == (404, "There is no row 21.")
    assert fields_of(as_ada.post("/api/finetune/preview", body | {"line": 0})) == {"line"}


def test_the_settings_are_the_models_own_as_far_as_they_work_here(
    as_ada: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "gpus", lambda: ())
    found = as_ada.get("/api/finetune/settings").json()
    assert set(found["schema"]["properties"]) == set(Hyperparameters.model_fields)
    assert found["schema"]["properties"]["beta"]["section"] == "What is learned"
    assert [method["name"] for method in found["methods"]] == list(METHODS)
    assert "balanced" in [preset["name"] for preset in found["presets"]]
    assert "needs a CUDA GPU" in found["unavailable"]["tuning"]["qlora"]
    assert "qlora" not in str(found["schema"]["properties"]["tuning"]["anyOf"])
