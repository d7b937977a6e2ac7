"""API.md section 6: aliases move with a reason, and the log says who, when, from, to and why."""

from datetime import datetime

import pytest
from starlette.testclient import TestClient

from core.people.users import User
from tests.api.conftest import Caller, error_of, fields_of
from tests.ui.things import make_model


@pytest.fixture
def model_id(ada: User) -> str:
    return make_model(ada, versions=3)


def put(caller: Caller, model_id: str, body: dict[str, object]) -> object:
    return caller("PUT", f"/api/models/{model_id}/aliases/production", json=body)


def test_a_move_is_in_the_log_with_who_when_from_to_and_why(as_ada: Caller, ada: User, model_id: str) -> None:
    assert put(as_ada, model_id, {"version": 1}).status_code == 200
    assert put(as_ada, model_id, {"version": 3, "reason": "fewer wrong refunds"}).json()["aliases"] == {
        "production": 3
    }
    page = as_ada.get(f"/api/models/{model_id}/aliases/production/moves").json()
    assert {name: page[name] for name in ("total", "limit", "offset")} == {
        "total": 2,
        "limit": 20,
        "offset": 0,
    }
    moved, made = page["items"]
    assert moved.items() >= {"from": 1, "to": 3, "reason": "fewer wrong refunds", "by": ada.id}.items()
    assert made.items() >= {"from": None, "to": 1, "reason": None, "by": ada.id}.items()
    assert made["at"].endswith("Z")
    assert datetime.fromisoformat(made["at"]) <= datetime.fromisoformat(moved["at"])
    first = as_ada.get(f"/api/models/{model_id}/aliases/production/moves?limit=1&offset=1").json()
    assert (first["items"], first["total"]) == ([made], 2)


@pytest.mark.parametrize("version", [0, 2**31, 2**63, 10**30, "1", True, None])
def test_a_number_that_no_version_can_have_is_named(as_ada: Caller, model_id: str, version: object) -> None:
    assert fields_of(put(as_ada, model_id, {"version": version})) == {"version"}


@pytest.mark.parametrize(
    "body",
    [
        {"version": 2},
        {"version": 2, "reason": None},
        {"version": 2, "reason": ""},
        {"version": 2, "reason": "  "},
        {"version": 2, "reason": "x" * 501},
        {"version": 2, "reason": "a\u0000"},
        {"version": 2, "reason": 5},
        {"version": 2, "force": True},  # nothing reads it any more
    ],
)
def test_a_move_needs_a_reason(as_ada: Caller, model_id: str, body: dict[str, object]) -> None:
    put(as_ada, model_id, {"version": 1})
    assert fields_of(put(as_ada, model_id, body)) == {"reason"}
    assert as_ada.get(f"/api/models/{model_id}").json()["aliases"] == {"production": 1}
    assert as_ada.get(f"/api/models/{model_id}/aliases/production/moves").json()["total"] == 1


@pytest.mark.parametrize("length", [1, 500])
def test_a_reason_is_kept_as_it_is(as_ada: Caller, model_id: str, length: int) -> None:
    put(as_ada, model_id, {"version": 1})
    reason = "🎻" * length
    assert put(as_ada, model_id, {"version": 2, "reason": reason}).status_code == 200
    newest = as_ada.get(f"/api/models/{model_id}/aliases/production/moves").json()["items"][0]
    assert newest["reason"] == reason


def test_the_log_outlives_the_alias(
    as_ada: Caller, as_bob: Caller, model_id: str, client: TestClient
) -> None:
    path = f"/api/models/{model_id}/aliases/production"
    assert as_ada.get(f"{path}/moves").status_code == 404
    put(as_ada, model_id, {"version": 1})
    assert as_ada.delete(path).status_code == 204
    removed, _ = as_ada.get(f"{path}/moves").json()["items"]
    assert (removed["from"], removed["to"]) == (1, None)
    others = as_bob.get(f"{path}/moves")
    assert (others.status_code, error_of(others)["code"]) == (404, "not_found")


def test_the_force_of_an_alias_is_gone_from_the_description(client: TestClient) -> None:
    schemas = client.get("/api/openapi.json").json()["components"]["schemas"]
    assert set(schemas["NewAlias"]["properties"]) == {"version", "reason"}
    assert "force" in schemas["Edits"]["properties"]
    assert {"from", "to", "reason", "by", "at"} <= set(schemas["AliasMove"]["properties"])
