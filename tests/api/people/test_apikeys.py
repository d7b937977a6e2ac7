"""API.md section 8: keys, and what they used. What they reach: ``tests/api/test_scopes.py``."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from core import clock
from core.db import writing
from core.errors import Conflict
from core.people import api_keys, usage
from core.people.api_keys import KeyChange, NewKey
from core.people.users import User
from tests.api.conftest import Caller, error_of, fields_of

FIELDS = {"id", "name", "prefix", "created_at", "expires_at", "last_used_at", "revoked_at"}


def test_key_is_in_the_answer_to_its_creation_only(
    as_ada: Caller, data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = as_ada.post("/api/apikeys", {"name": "ci"})
        made = answer.json()
        listed = as_ada.get("/api/apikeys?include_revoked=true")
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(made) >= FIELDS | {"key"}
    assert made["key"].startswith("sk-")
    assert len(made["key"]) >= 46
    assert made["prefix"] == made["key"][:7]
    assert made["id"].startswith("key_")
    assert set(listed.json()["items"][0]) >= FIELDS
    assert made["key"] not in listed.text
    assert made["key"] not in caplog.text
    for file in data_dir.rglob("*"):
        assert not file.is_file() or made["key"].encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": 5}, "name"),
        ({"name": "a\u0000"}, "name"),
        ({"name": "x", "expires_in_days": 0}, "expires_in_days"),
        ({"name": "x", "expires_in_days": 366}, "expires_in_days"),
        ({"name": "x", "expires_in_days": 1.5}, "expires_in_days"),
        ({"name": "x", "expires_in_days": True}, "expires_in_days"),
        ({"name": "x", "expires_in_days": "30"}, "expires_in_days"),
        ({"name": "x", "scopes": ["admin"]}, "scopes[0]"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "models": "all"}, "models"),
        ({"name": "x", "monthly_token_limit": 0}, "monthly_token_limit"),
    ],
)
def test_broken_field_is_named(as_ada: Caller, body: dict[str, Any], field: str) -> None:
    assert fields_of(as_ada.post("/api/apikeys", body)) == {field}


@pytest.mark.parametrize("name", ["x", "🎻" * 100, " spaces ", "'; DROP TABLE api_keys; --"])
def test_name_is_kept_as_it_is(as_ada: Caller, name: str) -> None:
    assert as_ada.post("/api/apikeys", {"name": name}).json()["name"] == name


def test_expiry_is_in_days(as_ada: Caller) -> None:
    made = as_ada.post("/api/apikeys", {"name": "x", "expires_in_days": 30}).json()
    days = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert days == timedelta(days=30)
    assert as_ada.post("/api/apikeys", {"name": "x", "expires_in_days": None}).json()["expires_at"] is None


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"name": " later 🎻"}, {"name": " later 🎻"}),
        ({"scopes": ["query", "chat", "query"]}, {"scopes": ["chat", "query"]}),
        ({"models": ["support-bot"]}, {"models": ["support-bot"]}),
        ({"models": None}, {"models": None}),
        ({"monthly_token_limit": 5}, {"monthly_token_limit": 5}),
        ({"monthly_token_limit": None}, {"monthly_token_limit": None}),
        ({"expires_in_days": None}, {"expires_at": None}),
        ({}, {}),
        ({"id": "key_x", "prefix": "sk-zzzz", "revoked_at": "2026-01-31T12:00:00Z", "colour": "blue"}, {}),
    ],
)
def test_what_is_given_is_changed_and_the_rest_stays(
    as_ada: Caller, change: dict[str, Any], shown: dict[str, Any]
) -> None:
    new = {"name": "ci", "scopes": ["files"], "models": ["a"], "monthly_token_limit": 9, "expires_in_days": 3}
    made = as_ada.post("/api/apikeys", new).json()
    secret = made.pop("key")
    answer = as_ada.patch(f"/api/apikeys/{made['id']}", change)
    assert answer.status_code == 200
    assert answer.json() == made | shown
    assert as_ada.get("/api/apikeys").json()["items"] == [made | shown]
    assert api_keys.identify(secret).key_id == made["id"]


def test_days_of_a_change_count_from_now(as_ada: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    made = as_ada.post("/api/apikeys", {"name": "x", "expires_in_days": 300}).json()
    noon = clock.now() + timedelta(seconds=2)
    monkeypatch.setattr(clock, "now", lambda: noon)
    changed = as_ada.patch(f"/api/apikeys/{made['id']}", {"expires_in_days": 10}).json()
    assert datetime.fromisoformat(changed["expires_at"]) == noon + timedelta(days=10)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": None}, "scopes"),
        ({"scopes": ["admin"]}, "scopes[0]"),
        ({"models": "all"}, "models"),
        ({"models": [""]}, "models[0]"),
        ({"monthly_token_limit": 0}, "monthly_token_limit"),
        ({"expires_in_days": 366}, "expires_in_days"),
        ({"expires_in_days": "30"}, "expires_in_days"),
    ],
)
def test_a_broken_change_is_named_and_changes_nothing(
    as_ada: Caller, body: dict[str, Any], field: str
) -> None:
    made = as_ada.post("/api/apikeys", {"name": "ci"}).json()
    made.pop("key")
    assert fields_of(as_ada.patch(f"/api/apikeys/{made['id']}", {"name": "other", **body})) == {field}
    assert as_ada.get("/api/apikeys").json()["items"] == [made]


def test_a_revoked_key_cannot_be_changed(as_ada: Caller, as_bob: Caller) -> None:
    made = as_ada.post("/api/apikeys", {"name": "x"}).json()
    assert as_bob.patch(f"/api/apikeys/{made['id']}", {"name": "y"}).status_code == 404
    as_ada.delete(f"/api/apikeys/{made['id']}")
    assert as_ada.patch(f"/api/apikeys/{made['id']}", {"name": "y"}).status_code == 404


def test_a_change_holds_from_the_next_request_on(client: TestClient, as_ada: Caller) -> None:
    made = as_ada.post("/api/apikeys", {"name": "x", "scopes": ["files"]}).json()
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert client.get("/api/finetune", headers=headers).status_code == 403
    as_ada.patch(f"/api/apikeys/{made['id']}", {"scopes": ["finetune"]})
    assert client.get("/api/finetune", headers=headers).status_code == 200
    assert client.get("/api/uploads", headers=headers).status_code == 403


def test_an_expired_key_comes_back_only_where_there_is_room(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = api_keys.create(ada, NewKey(name="old", expires_in_days=1))
    monkeypatch.setattr(clock, "now", lambda now=clock.now: now() + timedelta(days=2))
    ids = [api_keys.create(ada, NewKey(name=str(i)))[0].id for i in range(50)]
    with pytest.raises(Conflict, match="50 active keys"):
        api_keys.update(ada, old.id, KeyChange(expires_in_days=30))
    api_keys.update(ada, old.id, KeyChange(name="older"))
    api_keys.update(ada, ids[0], KeyChange(expires_in_days=30))
    api_keys.revoke(ada, ids[0])
    assert api_keys.update(ada, old.id, KeyChange(expires_in_days=30)).name == "older"


def test_read_only_fields_are_ignored(as_ada: Caller, ada: User) -> None:
    made = as_ada.post(
        "/api/apikeys",
        {"name": "x", "id": "key_mine", "key": "sk-mine", "user_id": "usr_x", "prefix": "sk-zzzz"},
    )
    assert made.json()["id"] != "key_mine"
    assert made.json()["key"] != "sk-mine"
    assert api_keys.identify(made.json()["key"]).user == ada


def test_revoked_key_is_refused_from_the_next_request_on(client: TestClient, as_ada: Caller) -> None:
    made = as_ada.post("/api/apikeys", {"name": "x"}).json()
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert client.get("/v1/models", headers=headers).status_code == 200
    assert as_ada.delete(f"/api/apikeys/{made['id']}").status_code == 204
    assert client.get("/v1/models", headers=headers).status_code == 401
    assert as_ada.delete(f"/api/apikeys/{made['id']}").status_code == 404
    assert as_ada.get("/api/apikeys").json()["total"] == 0
    revoked = as_ada.get("/api/apikeys?include_revoked=true").json()["items"]
    assert [item["revoked_at"] is not None for item in revoked] == [True]
    assert fields_of(as_ada.get("/api/apikeys?include_revoked=perhaps")) == {"include_revoked"}


def test_expired_key_is_refused(ada: User, with_key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    program = with_key(ada, expires_in_days=1)
    assert program.get("/v1/models").status_code == 200
    monkeypatch.setattr(clock, "now", lambda now=clock.now: now() + timedelta(days=1, seconds=1))
    assert program.get("/v1/models").status_code == 401


def test_use_is_noted(as_ada: Caller, ada: User, with_key: Any) -> None:
    program = with_key(ada)
    assert as_ada.get("/api/apikeys").json()["items"][0]["last_used_at"] is None
    program.get("/v1/models")
    assert as_ada.get("/api/apikeys").json()["items"][0]["last_used_at"] is not None


def test_fifty_active_keys_are_the_most(as_ada: Caller, ada: User, as_bob: Caller) -> None:
    ids = [api_keys.create(ada, NewKey(name=str(i)))[0].id for i in range(50)]
    answer = as_ada.post("/api/apikeys", {"name": "one more"})
    assert answer.status_code == 409
    assert error_of(answer)["code"] == "conflict"
    assert as_bob.post("/api/apikeys", {"name": "others are free"}).status_code == 201
    as_ada.delete(f"/api/apikeys/{ids[0]}")
    assert as_ada.post("/api/apikeys", {"name": "one more"}).status_code == 201


def test_expired_keys_leave_room(as_ada: Caller, ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(50):
        api_keys.create(ada, NewKey(name=str(i), expires_in_days=1))
    monkeypatch.setattr(clock, "now", lambda now=clock.now: now() + timedelta(days=2))
    api_keys.create(ada, NewKey(name="one more"))


@pytest.mark.parametrize(
    "sort", ["created_at", "-created_at", "name", "-name", "last_used_at", "-last_used_at"]
)
def test_lists_sort_by_what_the_contract_names(as_ada: Caller, sort: str) -> None:
    for name in ("b", "c", "a"):
        as_ada.post("/api/apikeys", {"name": name})
    names = [item["name"] for item in as_ada.get(f"/api/apikeys?sort={sort}").json()["items"]]
    if sort.endswith("name"):
        assert names == sorted(names, reverse=sort.startswith("-"))
    assert len(names) == 3


def test_usage_is_summed_by_what_was_asked(as_ada: Caller, ada: User, bob: User) -> None:
    key, _ = api_keys.create(ada, NewKey(name="ci"))
    with writing() as session:
        usage.record(
            session,
            user_id=ada.id,
            kind="chat",
            api_key_id=key.id,
            prompt_tokens=10,
            completion_tokens=5,
            seconds=2,
        )
        usage.record(session, user_id=ada.id, kind="training", trained_tokens=1000, seconds=60)
        usage.record(session, user_id=ada.id, kind="query", seconds=0.5)
        usage.record(session, user_id=ada.id, kind="storage", bytes=4096)
        usage.record(session, user_id=bob.id, kind="chat", prompt_tokens=999)
    for group_by in ("day", "model", "key", "kind"):
        answer = as_ada.get(f"/api/usage?group_by={group_by}")
        assert answer.status_code == 200
        total = answer.json()["total"]
        assert (total["prompt_tokens"], total["completion_tokens"], total["trained_tokens"]) == (10, 5, 1000)
        assert (
            total["requests"],
            total["training_seconds"],
            total["query_seconds"],
            total["stored_bytes"],
        ) == (2, 60, 0.5, 4096)
    by_kind = {line["group"]: line for line in as_ada.get("/api/usage?group_by=kind").json()["items"]}
    assert by_kind.keys() == {"chat", "training", "query", "storage"}
    by_key = {line["group"]: line["label"] for line in as_ada.get("/api/usage?group_by=key").json()["items"]}
    assert by_key[key.id] == "ci"


def test_usage_can_be_limited_in_time(as_ada: Caller, ada: User) -> None:
    with writing() as session:
        usage.record(session, user_id=ada.id, kind="query")
    today = clock.now().date()
    assert as_ada.get(f"/api/usage?from={today}&to={today}").json()["total"]["requests"] == 1
    assert as_ada.get(f"/api/usage?to={today - timedelta(days=1)}").json()["total"]["requests"] == 0
    assert as_ada.get(f"/api/usage?from={today}T00:00:00Z").json()["total"]["requests"] == 1


@pytest.mark.parametrize(
    ("query", "requests"),
    [
        ("from=2026-03-05&to=2026-03-05", 1),
        ("from=2026-03-05&to=2026-03-05T00:00:00Z", 0),
        ("from=2026-03-05&to=2026-03-05T00:00:00", 0),
        ("from=2026-03-05&to=2026-03-05T12:30:00Z", 1),
        ("from=2026-03-06T00:00:00%2B14:00&to=2026-03-06", 1),
        ("from=2026-03-06T00:00:00Z&to=2026-03-06", 0),
        ("from=2026-03-05&to=9999-12-30", 1),
    ],
)
def test_midnight_is_a_moment_and_only_a_date_is_a_day(
    as_ada: Caller, ada: User, monkeypatch: pytest.MonkeyPatch, query: str, requests: int
) -> None:
    noon = datetime(2026, 3, 5, 12, tzinfo=UTC)
    with monkeypatch.context() as patch, writing() as session:
        patch.setattr(clock, "now", lambda: noon)
        usage.record(session, user_id=ada.id, kind="query")
    assert as_ada.get(f"/api/usage?{query}").json()["total"]["requests"] == requests


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("group_by=colour", "group_by"),
        ("from=yesterday", "from"),
        ("to=2026-13-01", "to"),
        ("from=20261201", "from"),  # no seconds since 1970
        ("from=5", "from"),
        ("from=", "from"),
        ("to=9999-12-31", "to"),
        ("to=9999-12-31T23:59:59-14:00", "to"),
        ("from=0001-01-01T00:00:00%2B14:00", "from"),
    ],
)
def test_broken_usage_queries_are_named(as_ada: Caller, query: str, field: str) -> None:
    assert fields_of(as_ada.get(f"/api/usage?{query}")) == {field}
