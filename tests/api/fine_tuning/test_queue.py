"""The queue and sweeps over ``/api``: what the services do, in the words of HTTP."""

from typing import Any

import pytest

from core import fine_tuning, hardware
from core.db import writing
from core.people.users import User
from core.tables import ModelVersionRow
from tests.api.conftest import Caller, error_of, fields_of
from tests.ui.things import make_dataset, make_job, make_model

ROWS = [{"prompt": f"p{n}", "completion": f"c{n}"} for n in range(20)]


@pytest.fixture
def request_(ada: User) -> dict[str, Any]:
    base = make_model(None, "tiny", capabilities={"chat": True, "finetune": True})
    return {
        "base_model_id": base,
        "dataset_id": make_dataset(ada, ROWS).dataset_id,
        "hyperparameters": {"n_epochs": 1},
    }


def create(as_ada: Caller, request: dict[str, Any], **fields: Any) -> str:
    answer = as_ada("POST", "/api/finetune", json=request | fields)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_the_queue_is_listed_moved_and_prioritised(as_ada: Caller, request_: dict[str, Any]) -> None:
    a, b = create(as_ada, request_, name="a"), create(as_ada, request_, name="b")
    seen = as_ada("GET", "/api/finetune/queue").json()
    assert [item["id"] for item in seen["items"]] == [a, b]
    first = seen["items"][0]
    assert (first["name"], first["place"], first["others_ahead"], first["starts_in_seconds"]) == (
        "a",
        1,
        0,
        0.0,
    )
    assert first["starts_at"].endswith("Z")
    assert (seen["others_waiting"], seen["running"], seen["places"]) == (0, 0, 1)
    moved = as_ada("POST", f"/api/finetune/{b}/move", json={"to": "first"})
    assert (moved.status_code, [item["id"] for item in moved.json()["items"]]) == (200, [b, a])
    moved = as_ada("POST", f"/api/finetune/{b}/move", json={"to": "last"})
    assert [item["id"] for item in moved.json()["items"]] == [a, b]
    assert as_ada("POST", f"/api/finetune/{b}/priority", json={"priority": 1}).json()["priority"] == 1
    assert [item["id"] for item in as_ada("GET", "/api/finetune/queue").json()["items"]] == [b, a]


@pytest.mark.parametrize(
    ("status", "lease", "goes_on"), [("running", "t", "running"), ("queued", None, "queued")]
)
def test_a_pause_is_taken_back_at_once(
    as_ada: Caller, ada: User, status: str, lease: str | None, goes_on: str
) -> None:
    """Also before the worker has let go.

    What the state does not allow is a conflict, and so is a second press.
    """
    path = f"/api/finetune/{make_job(ada, status, lease_token=lease)}"
    for _ in range(2):
        assert error_of(refused := as_ada.post(f"{path}/resume"))["code"] == "conflict"
        assert refused.status_code == 409
        paused, refused = as_ada.post(f"{path}/pause"), as_ada.post(f"{path}/pause")
        assert (paused.status_code, paused.json()["status"], refused.status_code) == (200, "paused", 409)
        resumed = as_ada.post(f"{path}/resume")
        assert (resumed.status_code, resumed.json()["status"]) == (200, goes_on)
        assert as_ada.get(f"{path}/progress").json()["status"] == goes_on
    told = [event["message"] for event in as_ada.get(f"{path}/events").json()["items"]]
    assert told == ["Pause.", fine_tuning.following.RESUMED[goes_on]] * 2


@pytest.mark.parametrize("body", [{}, {"to": "sideways"}, {"to": "up", "before": "ftj_x"}])
def test_a_move_that_means_nothing_is_refused(
    as_ada: Caller, request_: dict[str, Any], body: dict[str, Any]
) -> None:
    answer = as_ada("POST", f"/api/finetune/{create(as_ada, request_)}/move", json=body)
    assert answer.status_code == 422


@pytest.mark.parametrize("priority", [2, -2, 0.5, True, "1", None])
def test_priorities_are_three(as_ada: Caller, request_: dict[str, Any], priority: Any) -> None:
    answer = as_ada("POST", f"/api/finetune/{create(as_ada, request_)}/priority", json={"priority": priority})
    assert (answer.status_code, fields_of(answer)) == (422, {"priority"})


def test_more_devices_than_there_are_are_refused_by_field(as_ada: Caller, request_: dict[str, Any]) -> None:
    answer = as_ada(
        "POST", "/api/finetune", json=request_ | {"num_processes": min(64, hardware.device_count() + 1)}
    )
    assert (answer.status_code, fields_of(answer)) == (422, {"num_processes"})


def test_a_job_runs_again_once_per_key_and_is_deleted_once_it_ended(
    as_ada: Caller, request_: dict[str, Any]
) -> None:
    job_id = create(as_ada, request_, seed=5)
    assert error_of(as_ada("DELETE", f"/api/finetune/{job_id}"))["code"] == "in_use"
    as_ada("POST", f"/api/finetune/{job_id}/cancel")
    first, second = (as_ada("POST", f"/api/finetune/{job_id}/rerun?idempotency_key=k") for _ in range(2))
    assert (first.status_code, first.json()["copied_from"], first.json()["seed"]) == (201, job_id, 5)
    assert first.json()["id"] == second.json()["id"]
    answer = as_ada("DELETE", f"/api/finetune/{job_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert as_ada("GET", f"/api/finetune/{job_id}").status_code == 404
    assert as_ada("POST", f"/api/finetune/{job_id}/rerun").status_code == 404


def test_running_again_what_is_gone_is_a_conflict(
    as_ada: Caller, ada: User, request_: dict[str, Any]
) -> None:
    job_id = make_job(ada, "failed", base_model_id=request_["base_model_id"])
    with writing() as session:
        session.query(ModelVersionRow).delete()
    answer = as_ada("POST", f"/api/finetune/{job_id}/rerun")
    assert (answer.status_code, error_of(answer)["code"]) == (409, "conflict")


def test_a_sweep_is_started_seen_sorted_cancelled_and_deleted(
    as_ada: Caller, request_: dict[str, Any]
) -> None:
    space = {"learning_rate": [0.001, 0.01], "batch_size": [2, 4]}
    made = as_ada(
        "POST", "/api/sweeps", json={"job": request_, "space": space, "name": "first", "idempotency_key": "k"}
    )
    assert made.status_code == 201, made.text
    sweep = made.json()
    assert (sweep["num_jobs"], sweep["settings"], sweep["statuses"]) == (
        4,
        ["learning_rate", "batch_size"],
        {"queued": 4},
    )
    again = as_ada(
        "POST", "/api/sweeps", json={"job": request_, "space": space, "idempotency_key": "k"}
    ).json()
    assert again["id"] == sweep["id"]
    listed = as_ada("GET", "/api/sweeps").json()
    assert [(one["id"], one["trials"]) for one in listed["items"]] == [(sweep["id"], [])]
    by_batch = as_ada("GET", f"/api/sweeps/{sweep['id']}?sort=-batch_size").json()["trials"]
    assert [trial["values"]["batch_size"] for trial in by_batch] == [4, 4, 2, 2]
    assert as_ada("GET", f"/api/sweeps/{sweep['id']}?sort=colour").status_code == 422
    assert as_ada("DELETE", f"/api/sweeps/{sweep['id']}").status_code == 409
    assert as_ada("POST", f"/api/sweeps/{sweep['id']}/cancel").json()["statuses"] == {"cancelled": 4}
    assert as_ada("POST", f"/api/sweeps/{sweep['id']}/cancel").status_code == 409
    assert as_ada("DELETE", f"/api/sweeps/{sweep['id']}").status_code == 204
    assert as_ada("GET", "/api/finetune").json()["total"] == 0


def test_a_random_search_takes_ranges(as_ada: Caller, request_: dict[str, Any]) -> None:
    space = {"learning_rate": {"low": 1e-4, "high": 1e-2, "scale": "log"}, "n_epochs": {"low": 1, "high": 3}}
    body = {"job": request_, "space": space, "kind": "random", "count": 5, "seed": 1}
    made = as_ada("POST", "/api/sweeps", json=body).json()
    assert (made["num_jobs"], made["kind"], made["space"]["learning_rate"]["scale"]) == (5, "random", "log")


@pytest.mark.parametrize(
    ("space", "field"),
    [
        ({}, "space"),
        ({"nothing": [1]}, "space.nothing"),
        ({"n_epochs": [0]}, "space.n_epochs[0]"),
        ({"n_epochs": {"low": 1, "high": 2}}, "space.n_epochs"),
        ({"n_epochs": 3}, "space.n_epochs"),
    ],
)
def test_what_cannot_be_tried_is_told_by_field(
    as_ada: Caller, request_: dict[str, Any], space: Any, field: str
) -> None:
    answer = as_ada("POST", "/api/sweeps", json={"job": request_, "space": space})
    assert answer.status_code == 422
    assert any(name.startswith(field) for name in fields_of(answer)), fields_of(answer)
    assert as_ada("GET", "/api/finetune").json()["total"] == 0
