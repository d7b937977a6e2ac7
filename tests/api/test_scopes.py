"""API.md section 8: which routes a key reaches by its scopes, over every route of both APIs."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from core import chats, clock, models
from core.api import apps, scopes
from core.api.deps import Public, SigningIn
from core.chats import NewChat
from core.db import writing
from core.people import api_keys, usage
from core.people.api_keys import SCOPES, NewKey
from core.people.users import User
from core.providers import PROVIDERS
from core.security import new_id
from core.tables import ApiKeyRow
from tests.api.conftest import Caller, error_of, signed_in
from tests.ui.things import Echo, make_dataset, make_model

FOR_ANYBODY = {"GET /api/docs", "GET /api/docs/{name}"}
# As the contract has it, by the beginning of the route; the longest that fits counts
CONTRACT: dict[str, str] = {
    "GET /api/auth/me": "chat finetune files query",
    "/api/auth": "",
    "/api/apikeys": "",
    "/api/usage": "",
    "/api/alerts": "",
    "/api/webhook": "",
    "/api/chats": "chat",
    "/api/messages": "chat",
    "/api/datasets": "files",
    "GET /api/datasets": "files finetune query",
    "/api/uploads": "files",
    "/api/query": "query",
    "/api/finetune": "finetune",
    "/api/models": "finetune",
    "GET /api/models": "chat finetune",
    "GET /api/models/{model_id}/export": "finetune",
    "POST /api/models/bases": "",
    "/api/sweeps": "finetune",
    "/api/exports": "finetune",
    "/v1/models": "finetune",
    "GET /v1/models": "chat finetune",
    "/v1/chat/completions": "chat",
    "/v1/completions": "chat",
    "/v1/responses": "chat",
    "/v1/embeddings": "chat",
    "/v1/files": "files",
    "/v1/fine_tuning": "finetune",
}


def guarded() -> Iterator[tuple[APIRoute, str, str]]:
    """Every route that asks who calls, with its method and its path."""
    for prefix, app in zip(("/api", "/v1"), apps(), strict=True):
        for route in app.routes:
            if isinstance(route, APIRoute) and type(route) is not Public:
                for method in sorted(route.methods):
                    yield route, method, prefix + route.path


ROUTES = sorted(f"{method} {path}" for _, method, path in guarded())


def enough_for(route: str) -> set[str]:
    """The scopes of which the contract asks for one."""
    _, path = route.split(" ", 1)
    lines = {
        line: names for line, names in CONTRACT.items() if route.startswith(line) or path.startswith(line)
    }
    longest = max(lines, key=lambda line: (len(line.split(" ")[-1]), " " in line))
    return set(lines[longest].split())


def call(caller: Caller, route: str) -> Any:
    """With a body that no route could read: what a key may not reach is said before."""
    method, path = route.split(" ", 1)
    address = re.sub(r"\{(\w+)(:\w+)?\}", lambda _: new_id("x"), path)
    sent = {"content": b"{", "headers": {"Content-Type": "application/json"}} if method != "GET" else {}
    return caller(method, address, **sent)


def test_every_route_is_decided() -> None:
    undecided = [route for route in ROUTES if scopes.decision(*route.split(" ", 1)) is None]
    assert undecided == [], "give these a line in core/api/scopes.py"
    public = {
        f"{method} /api{route.path}"
        for route in apps()[0].routes
        if type(route) is Public
        for method in route.methods
    }
    assert public == FOR_ANYBODY


def test_every_line_of_the_table_decides_something_or_is_v1s() -> None:
    deciding = {scopes.decision(*route.split(" ", 1)) for route in ROUTES}
    assert not [line for line in scopes.TABLE if line not in deciding and not line.path.startswith("/v1/")]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_reaches_what_its_scope_names_and_nothing_else(
    ada: User, with_key: Callable[..., Caller], scope: str
) -> None:
    program = with_key(ada, scopes=[scope])
    for route in ROUTES:
        answer, enough = call(program, route), enough_for(route)
        if scope in enough:
            assert answer.status_code not in (401, 403), route
            continue
        assert answer.status_code == 403, route
        error = answer.json()["error"]
        assert error["code"] == "scope_missing", route
        assert all(name in error["message"] for name in enough), route
        if not enough:
            assert "API keys may not be used for this" in error["message"], route


def test_a_token_reaches_every_route_of_api(ada: User, client: TestClient) -> None:
    person = Caller(client, signed_in(ada))
    for route in ROUTES:
        if " /api/" in route and route != "POST /api/auth/logout":
            assert call(person, route).status_code not in (401, 403), route


def age(key_id: str) -> None:
    with writing() as session:
        session.get_one(ApiKeyRow, key_id).reaches_api = False


def test_a_key_from_before_reaches_v1_only_until_its_scopes_are_set_again(
    client: TestClient, ada: User, as_ada: Caller
) -> None:
    key, secret = api_keys.create(ada, NewKey(name="old"))
    program = Caller(client, {"Authorization": f"Bearer {secret}"})
    age(key.id)
    assert as_ada.get("/api/apikeys").json()["items"][0]["reaches_api"] is False
    for route in ROUTES:
        answer = call(program, route)
        if " /v1/" in route:
            assert answer.status_code not in (401, 403), route
        else:
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "scope_missing"), route
    assert "Set its scopes again" in error_of(program.get("/api/datasets"))["message"]
    as_ada.patch(f"/api/apikeys/{key.id}", {"name": "older"})
    assert program.get("/api/datasets").status_code == 403
    assert as_ada.patch(f"/api/apikeys/{key.id}", {"scopes": ["query"]}).json()["reaches_api"] is True
    assert program.get("/api/datasets").status_code == 200
    assert program.get("/v1/models").status_code == 403


@pytest.mark.parametrize("key", [b"sk-" + b"x" * 43, b"sk-", "sk-ü".encode()])
def test_an_unknown_key_is_unauthorized(client: TestClient, key: bytes) -> None:
    for path in ("/api/datasets", "/api/apikeys", "/v1/models"):
        answer = client.get(path, headers={"Authorization": b"Bearer " + key})
        assert answer.status_code == 401
        assert "WWW-Authenticate" in answer.headers


def test_others_objects_do_not_exist_for_a_key(ada: User, bob: User, with_key: Callable[..., Caller]) -> None:
    dataset_id = make_dataset(ada, [{"a": 1}]).dataset_id
    assert with_key(ada).get(f"/api/datasets/{dataset_id}").status_code == 200
    theirs, nobodys = (with_key(bob).get(f"/api/datasets/{name}") for name in (dataset_id, new_id("ds")))
    assert theirs.status_code == nobodys.status_code == 404
    assert error_of(theirs)["message"] == error_of(nobodys)["message"]


def test_nobody_signs_in_with_a_key(client: TestClient, ada: User, with_key: Callable[..., Caller]) -> None:
    assert {
        type(route) for route, _, path in guarded() if path in ("/api/auth/login", "/api/auth/register")
    } == {SigningIn}
    answer = with_key(ada).post("/api/auth/login", {"email": ada.email, "password": "correct horse battery"})
    assert error_of(answer)["code"] == "scope_missing"


@pytest.fixture
def parrot(ada: User, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(PROVIDERS, "echo", Echo())
    return make_model(ada, "parrot", provider="echo")


def test_naming_a_dataset_in_a_chat_needs_query(
    ada: User, parrot: str, with_key: Callable[..., Caller]
) -> None:
    dataset_id = make_dataset(ada, [{"a": 1}]).dataset_id
    new = {"model_id": parrot, "dataset_id": dataset_id}
    only_chat, both = with_key(ada, scopes=["chat"]), with_key(ada, scopes=["chat", "query"])
    refused = only_chat.post("/api/chats", new)
    assert (refused.status_code, error_of(refused)["code"]) == (403, "scope_missing")
    assert "query" in error_of(refused)["message"]
    made = only_chat.post("/api/chats", {**new, "dataset_id": None}).json()
    assert only_chat.patch(f"/api/chats/{made['id']}", {"dataset_id": dataset_id}).status_code == 403
    assert both.patch(f"/api/chats/{made['id']}", {"dataset_id": dataset_id}).status_code == 200
    say = {"chat_id": made["id"], "content": "/describe"}
    assert error_of(only_chat.post("/api/messages", say))["code"] == "scope_missing"
    assert only_chat.post("/api/messages", {**say, "content": "hello"}).status_code == 201
    assert both.post("/api/messages", say).status_code == 201
    assert only_chat.patch(f"/api/chats/{made['id']}", {"dataset_id": None, "title": "x"}).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_keys_models_hold_for_messages(
    ada: User, parrot: str, with_key: Callable[..., Caller], stream: bool
) -> None:
    chat = chats.create(ada, NewChat(model_id=parrot))
    say = {"chat_id": chat.id, "content": "hello", "stream": stream}
    answer = with_key(ada, models=["another"]).post("/api/messages", say)
    assert (answer.status_code, error_of(answer)["code"]) == (404, "not_found")
    assert chats.get(ada, chat.id).message_count == 0
    assert (
        with_key(ada, models=["another"]).post("/api/messages", {**say, "generate": False}).status_code == 201
    )
    for name in ("parrot", parrot):
        assert with_key(ada, models=[name]).post("/api/messages", say).status_code in (200, 201)


@pytest.mark.parametrize("stream", [False, True])
def test_a_keys_tokens_hold_for_messages(ada: User, parrot: str, client: TestClient, stream: bool) -> None:
    key, secret = api_keys.create(ada, NewKey(name="x", monthly_token_limit=1000))
    program = Caller(client, {"Authorization": f"Bearer {secret}"})
    chat = chats.create(ada, NewChat(model_id=parrot))
    say = {"chat_id": chat.id, "content": "hello", "stream": stream}
    assert program.post("/api/messages", say).status_code in (200, 201)
    lines = {line.group: line.requests for line in usage.summary(ada, group_by="key")}
    assert lines[key.id] == 1
    with writing() as session:
        usage.record(session, user_id=ada.id, kind="chat", api_key_id=key.id, prompt_tokens=1000)
    count = chats.get(ada, chat.id).message_count
    refused = program.post("/api/messages", say)
    assert (refused.status_code, error_of(refused)["code"]) == (429, "insufficient_quota")
    days_left = 32 - clock.now().day
    assert 0 < int(refused.headers["Retry-After"]) <= days_left * 86400
    assert int(refused.headers["Retry-After"]) > 60 or clock.now().day > 27
    assert chats.get(ada, chat.id).message_count == count
    assert models.get(ada, parrot)


def test_a_chat_whose_model_is_gone_is_a_conflict_for_a_key_too(
    ada: User, parrot: str, with_key: Callable[..., Caller]
) -> None:
    chat = chats.create(ada, NewChat(model_id=parrot))
    models.delete(ada, parrot)
    for narrowed in ({}, {"models": ["another"]}):
        answer = with_key(ada, **narrowed).post("/api/messages", {"chat_id": chat.id, "content": "hello"})
        assert answer.status_code == 409


def test_the_description_says_which_scopes_a_route_takes(client: TestClient) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    assert "scope `query`" in paths["/query"]["post"]["description"]
    assert "`query` or `files` or `finetune`" in paths["/datasets"]["get"]["description"]
    assert "API keys: none" in paths["/apikeys"]["post"]["description"]
