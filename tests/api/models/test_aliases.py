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


@pytest.mark.parametrize("name", ["support-bot@production", "support-bot@2", "shared@1"])
def test_no_other_model_takes_the_name_of_a_version(
    as_ada: Caller, as_bob: Caller, model_id: str, name: str
) -> None:
    base_id = make_model(None, "shared")
    put(as_ada, model_id, {"version": 1})
    other_id = as_ada.post("/api/models", {"name": "other", "base_model_id": model_id}).json()["id"]
    made = as_ada.post("/api/models", {"name": name, "base_model_id": model_id})
    renamed = as_ada.patch(f"/api/models/{other_id}", {"name": name})
    assert [answer.status_code for answer in (made, renamed)] == [409, 409]
    assert "Choose another name" in error_of(made)["message"]
    of_bob = as_bob.post("/api/models", {"name": name, "base_model_id": base_id})
    assert of_bob.status_code == (409 if name == "shared@1" else 201)


def test_an_alias_that_a_model_is_called_already_is_refused(as_ada: Caller, model_id: str) -> None:
    other = {"name": "support-bot@production", "base_model_id": model_id}
    assert as_ada.post("/api/models", other).status_code == 201
    refused = put(as_ada, model_id, {"version": 1})
    assert (refused.status_code, error_of(refused)["code"]) == (409, "conflict")
    assert as_ada.get(f"/api/models/{model_id}").json()["aliases"] == {}


def test_what_keeps_a_model_is_named_as_it_is_called(as_ada: Caller, as_bob: Caller, model_id: str) -> None:
    custom_id = as_ada.post("/api/models", {"name": "custom", "base_model_id": model_id}).json()["id"]
    put(as_ada, custom_id, {"version": 1})
    refused = error_of(as_ada.delete(f"/api/models/{model_id}"))
    assert (refused["code"], refused["message"].split()[0]) == ("in_use", "custom@production")


def test_an_alias_of_somebody_else_is_not_named(as_ada: Caller, as_bob: Caller) -> None:
    base_id = make_model(None, "shared")
    custom_id = as_bob.post("/api/models", {"name": "secret", "base_model_id": base_id}).json()["id"]
    put(as_bob, custom_id, {"version": 1})
    refused = error_of(as_ada.delete(f"/api/models/{base_id}"))
    assert refused["code"] == "in_use"
    assert "secret" not in refused["message"]
    assert "production" not in refused["message"]


@pytest.mark.parametrize("name", [" ", "\t\n", "\u200b", "\u3000"])
def test_a_name_that_nobody_sees_is_refused(as_ada: Caller, model_id: str, name: str) -> None:
    chat_id = as_ada.post("/api/chats", {"model_id": model_id}).json()["id"]
    key_id = as_ada.post("/api/apikeys", {"name": "key"}).json()["id"]
    assert fields_of(as_ada.post("/api/models", {"name": name, "base_model_id": model_id})) == {"name"}
    assert fields_of(as_ada.patch(f"/api/models/{model_id}", {"name": name})) == {"name"}
    assert fields_of(as_ada.patch(f"/api/chats/{chat_id}", {"title": name})) == {"title"}
    assert fields_of(as_ada.patch(f"/api/apikeys/{key_id}", {"name": name})) == {"name"}
    assert fields_of(as_ada.post("/api/apikeys", {"name": "x", "models": [name]})) == {"models[0]"}


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
