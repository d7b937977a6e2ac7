"""Another user's object does not exist: over every route of both APIs and of the browser's own.

The routes are read from the applications. A new one fails here until it is clear what it names: objects in
its path are found by the name of the parameter, objects in its body are listed in ``NAMED_IN_BODY``, and what
names none in ``WITHOUT_OBJECTS``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route
from starlette.testclient import TestClient

from core import chats, uploads
from core.api import apps, browser
from core.api.scopes import scopes_for
from core.people import api_keys, sessions
from core.people.api_keys import NewKey
from core.people.users import User
from core.providers import PROVIDERS
from core.security import new_id
from tests.api.conftest import signed_in
from tests.ui.things import Echo, make_alert, make_dataset, make_export, make_job, make_model, make_sweep

BODIES: dict[str, Any] = {
    "PATCH /api/chats/{chat_id}": {"title": "mine now"},
    "PATCH /api/datasets/{dataset_id}": {"name": "mine now"},
    "GET /api/datasets/{dataset_id}/diff": {"?from": "1", "?to": "1"},
    "GET /api/datasets/{dataset_id}/leaks": {"?against": "dsv_x"},
    "POST /api/datasets/{dataset_id}/edits": {"deleted": [1]},
    "POST /api/models/{model_id}/exports": {"kind": "merged"},
    "POST /api/datasets/{dataset_id}/splits": {"seed": 1},
    "POST /api/datasets/{dataset_id}/versions": {"sql": "SELECT 1 AS a"},
    "POST /api/models/{model_id}/versions/{number}/evaluate": {"dataset_version_id": "dsv_x"},
    "PATCH /api/apikeys/{key_id}": {"name": "mine now"},
    "PATCH /api/models/{model_id}": {"description": "mine now"},
    "PUT /api/models/{model_id}/aliases/{alias}": {"version": 1},
    "PATCH /api/finetune/{job_id}": {"notes": "mine now"},
    "POST /api/finetune/{job_id}/move": {"to": "up"},
    "POST /api/finetune/{job_id}/priority": {"priority": 1},
    "PUT /api/uploads/{upload_id}": {"?offset": 0},
    "PUT /uploads/{upload_id}": {"?offset": 0},
    "POST /api/uploads/{upload_id}/look": {"options": {"header": False}},
}
# What a body or an address names. "own:x" is the other user's object x, "mine:x" the caller's own
NAMED_IN_BODY: dict[str, list[dict[str, Any]]] = {
    "POST /api/chats": [
        {"model_id": "own:model_id"},
        {"model_id": "mine:model_id", "dataset_id": "own:dataset_id"},
    ],
    "POST /api/messages": [
        {"chat_id": "own:chat_id", "content": "hello", "generate": False},
        {"chat_id": "own:chat_id", "content": "hello"},
    ],
    "GET /api/messages": [{"?chat_id": "own:chat_id"}],
    "POST /api/models": [{"name": "x", "base_model_id": "own:model_id"}],
    "POST /api/finetune": [
        {"base_model_id": "own:model_id", "dataset_id": "mine:dataset_id"},
        {"base_model_id": "base", "dataset_id": "own:dataset_id"},
        {"base_model_id": "base", "dataset_id": "mine:dataset_id", "dataset_version_id": "own:version_id"},
        {"base_model_id": "base", "dataset_id": "mine:dataset_id", "validation_dataset_id": "own:dataset_id"},
        {"base_model_id": "base", "dataset_id": "mine:dataset_id", "copied_from": "own:job_id"},
    ],
    "POST /api/sweeps": [
        {
            "job": {"base_model_id": "own:model_id", "dataset_id": "mine:dataset_id"},
            "space": {"n_epochs": [1, 2]},
        },
        {"job": {"base_model_id": "base", "dataset_id": "own:dataset_id"}, "space": {"n_epochs": [1, 2]}},
    ],
    "POST /api/finetune/plan": [
        {"base_model_id": "own:model_id", "dataset_id": "mine:dataset_id"},
        {"base_model_id": "base", "dataset_id": "own:dataset_id"},
    ],
    "POST /api/finetune/preview": [
        {"base_model_id": "own:model_id", "dataset_id": "mine:dataset_id"},
        {"base_model_id": "base", "dataset_id": "own:dataset_id"},
        {"base_model_id": "base", "dataset_id": "mine:dataset_id", "dataset_version_id": "own:version_id"},
    ],
    "POST /uploads": [{"dataset_id": "own:dataset_id", "filename": "a.csv", "size_bytes": 8}],
    "POST /api/uploads": [{"dataset_id": "own:dataset_id", "filename": "a.csv", "size_bytes": 8}],
    "POST /api/datasets": [{"upload_id": "own:upload_id"}],
    "GET /api/finetune/compare": [{"?id": "own:job_id"}],
    "GET /download/changes": [
        {"?from": "own:version_id", "?to": "mine:version_id"},
        {"?from": "mine:version_id", "?to": "own:version_id"},
    ],
    "POST /v1/chat/completions": [
        {"model": "own:model_id", "messages": [{"role": "user", "content": "hello"}]},
        {"model": "own:model_name", "messages": [{"role": "user", "content": "hello"}], "stream": True},
    ],
}
WITHOUT_OBJECTS = {
    "GET /api/openapi.json",
    "GET /api/docs",
    "GET /api/docs/{name}",
    "POST /api/auth/register",
    "POST /api/auth/login",
    "GET /api/auth/me",
    "PATCH /api/auth/me",
    "POST /api/auth/logout",
    "GET /api/chats",
    "GET /api/datasets",
    "GET /api/uploads",
    "POST /api/query",  # names tables: tested below
    "GET /api/models",
    "POST /api/models/bases",
    "GET /api/finetune",
    "GET /api/finetune/queue",
    "GET /api/sweeps",
    "GET /api/finetune/settings",
    "GET /api/alerts",
    "POST /api/alerts/seen",
    "GET /api/webhook",
    "PUT /api/webhook",
    "DELETE /api/webhook",
    "POST /api/webhook/test",
    "POST /api/apikeys",
    "GET /api/apikeys",
    "GET /api/usage",
    "GET /v1/models",
    "GET /healthz",
    "GET /health",
    "POST /session/claim",
    "POST /session/end",
}
LISTS = [
    "/api/chats",
    "/api/datasets",
    "/api/uploads",
    "/api/models",
    "/api/finetune",
    "/api/finetune/queue",
    "/api/sweeps",
    "/api/apikeys",
    "/api/alerts",
]
PREFIXES = {
    "chat_id": "chat",
    "message_id": "msg",
    "dataset_id": "ds",
    "version_id": "dsv",
    "upload_id": "upl",
    "model_id": "mdl",
    "job_id": "ftj",
    "alert_id": "alr",
    "key_id": "key",
    "sweep_id": "swp",
    "export_id": "exp",
}


def routes() -> Iterator[str]:
    for prefix, app in (("/api", apps()[0]), ("/v1", apps()[1]), ("", browser.site)):
        for route in app.routes:
            assert isinstance(route, (APIRoute, Route)), f"{route} is no plain route: add it here"
            for method in sorted((route.methods or set()) - {"HEAD"}):
                yield f"{method} {prefix}{route.path}"


@dataclass
class Things:
    """The ids of one user's objects, by the name of the path parameter that names them."""

    ids: dict[str, str]

    @classmethod
    def of(cls, user: User) -> "Things":
        model_id = make_model(user, f"model of {user.name}", provider="echo")
        version = make_dataset(
            user, [{"prompt": f"p{i}", "completion": f"c{i}"} for i in range(20)], name=f"data_of_{user.name}"
        )
        chat = chats.create(user, chats.NewChat(model_id=model_id))
        message = chats.start(
            user, chats.NewMessage(chat_id=chat.id, content="secret", generate=False)
        ).message
        key, _ = api_keys.create(user, NewKey(name="x"))
        return cls(
            {
                "chat_id": chat.id,
                "message_id": message.id,
                "dataset_id": version.dataset_id,
                "version_id": version.id,
                "upload_id": uploads.begin(user, uploads.NewUpload(filename="a.csv", size_bytes=8)).id,
                "model_id": model_id,
                "model_name": f"model of {user.name}",
                "name": f"model of {user.name}",
                "job_id": (job_id := make_job(user, status="paused", lease_token=None)),
                "alert_id": make_alert(user, job_id),
                "key_id": key.id,
                "sweep_id": make_sweep(user, [{"n_epochs": 1}, {"n_epochs": 2}]),
                "export_id": make_export(user, model_id),
                "alias": "production",
                "number": "1",
                "step": "1",
            }
        )

    @classmethod
    def that_nobody_has(cls) -> "Things":
        names = {
            "model_name": "model of nobody",
            "name": "model of nobody",
            "alias": "production",
            "number": "1",
            "step": "1",
        }
        return cls({field: new_id(prefix) for field, prefix in PREFIXES.items()} | names)


@pytest.fixture
def adas(ada: User, monkeypatch: pytest.MonkeyPatch) -> Things:
    monkeypatch.setitem(PROVIDERS, "echo", Echo())
    return Things.of(ada)


@pytest.fixture
def bobs(bob: User, adas: Things) -> Things:
    return Things.of(bob)


@pytest.fixture
def base_id(adas: Things) -> str:
    return make_model(None, "shared base")


class Bob:
    """Calls any route as Bob, with whatever proves it there; with ``by_key`` ``/api`` by an API key, too."""

    def __init__(self, client: TestClient, user: User, *, by_key: bool = False) -> None:
        self.client = client
        _, key = api_keys.create(user, NewKey(name="bob"))
        with_key = {"Authorization": f"Bearer {key}"}
        self.proof = {"/api": with_key if by_key else signed_in(user), "/v1": with_key}
        self.cookie = sessions.claim_ticket(sessions.issue_ticket(user))

    def __call__(self, route: str, things: Things, body: dict[str, Any] | None) -> tuple[int, str]:
        method, path = route.split(" ", 1)
        address = re.sub(r"\{(\w+)(:\w+)?\}", lambda found: things.ids[found[1]], path)
        query = {name[1:]: value for name, value in (body or {}).items() if name.startswith("?")}
        rest = {name: value for name, value in (body or {}).items() if not name.startswith("?")}
        headers = next(
            (proof for prefix, proof in self.proof.items() if path.startswith(prefix)),
            {"Cookie": f"{sessions.COOKIE}={self.cookie}"},
        )
        sends_bytes = method == "PUT" and "/uploads/" in path
        sent = {"content": b"a,b\n1,2\n"} if sends_bytes else {"json": rest or None}
        answer = self.client.request(method, address, params=query, headers=headers, **sent)
        named = sorted(set(things.ids.values()) - {"1"}, key=len, reverse=True)
        text = re.sub("|".join(map(re.escape, named)), "IT", answer.text)
        return answer.status_code, re.sub(r"req_\w+", "REQUEST", text)


@pytest.fixture
def as_bob_anywhere(client: TestClient, bob: User) -> Bob:
    return Bob(client, bob)


def names_objects(route: str) -> bool:
    return "{" in route and route not in WITHOUT_OBJECTS


def test_every_route_is_classified() -> None:
    for route in routes():
        named = set(re.findall(r"\{(\w+)(?::\w+)?\}", route)) if names_objects(route) else set()
        assert named <= set(PREFIXES) | {"name", "alias", "number", "step"}, (
            f"{route}: name the parameter after the object, and put it into PREFIXES"
        )
        assert named or route in NAMED_IN_BODY or route in WITHOUT_OBJECTS, (
            f"{route}: say in this file what this route names"
        )


def test_nothing_is_classified_that_is_gone() -> None:
    assert (set(BODIES) | set(NAMED_IN_BODY) | WITHOUT_OBJECTS) <= set(routes())


@pytest.mark.parametrize("route", sorted(filter(names_objects, routes())))
def test_another_users_object_in_the_path_does_not_exist(
    route: str, adas: Things, as_bob_anywhere: Bob
) -> None:
    others = as_bob_anywhere(route, adas, BODIES.get(route))
    nobodys = as_bob_anywhere(route, Things.that_nobody_has(), BODIES.get(route))
    assert others == nobodys
    assert others[0] == 404


def test_another_users_object_does_not_exist_for_a_key(client: TestClient, bob: User, adas: Things) -> None:
    call = Bob(client, bob, by_key=True)
    reached = [route for route in routes() if names_objects(route) and scopes_for(*route.split(" ", 1))]
    assert len(reached) > 50
    for route in reached:
        others = call(route, adas, BODIES.get(route))
        assert others == call(route, Things.that_nobody_has(), BODIES.get(route)), route
        assert others[0] == 404, route


CASES = [(route, index) for route, bodies in NAMED_IN_BODY.items() for index in range(len(bodies))]


@pytest.mark.parametrize(("route", "index"), CASES)
def test_another_users_object_in_the_body_does_not_exist(
    route: str, index: int, adas: Things, bobs: Things, base_id: str, as_bob_anywhere: Bob
) -> None:
    def fill(others: Things) -> dict[str, Any]:
        return {field: replace(value, others) for field, value in NAMED_IN_BODY[route][index].items()}

    def replace(value: Any, others: Things) -> Any:
        if isinstance(value, dict):
            return {field: replace(inner, others) for field, inner in value.items()}
        whose, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
        return (
            {"own": others.ids, "mine": bobs.ids}[whose][name]
            if name
            else base_id
            if value == "base"
            else value
        )

    nobody = Things.that_nobody_has()
    others, nobodys = as_bob_anywhere(route, adas, fill(adas)), as_bob_anywhere(route, nobody, fill(nobody))
    assert others == nobodys
    assert others[0] == 404


def test_another_users_table_does_not_exist(adas: Things, as_bob_anywhere: Bob) -> None:
    for name in ("data_of_Ada", adas.ids["dataset_id"], adas.ids["version_id"], "data_of_Ada@1"):
        nobodys = name.replace("Ada", "Eve") if "Ada" in name else new_id(name.split("_")[0])
        queries = [
            as_bob_anywhere("POST /api/query", adas, {"sql": f'SELECT * FROM "{table}"'})
            for table in (name, nobodys)
        ]
        shown = [(status, text.replace(name, "IT").replace(nobodys, "IT")) for status, text in queries]
        assert shown[0] == shown[1]
        assert shown[0][0] == 422


@pytest.mark.parametrize("path", LISTS)
def test_lists_hold_only_what_is_ones_own(path: str, adas: Things, as_bob_anywhere: Bob) -> None:
    status, text = as_bob_anywhere(f"GET {path}", Things({"none": "none of these"}), None)
    assert status == 200
    for thing in adas.ids.values():
        assert thing in ("production", "1") or thing not in text


def test_filters_find_nothing_of_others(adas: Things, as_bob_anywhere: Bob) -> None:
    for path, field in (
        ("/api/chats", "model_id"),
        ("/api/chats", "dataset_id"),
        ("/api/finetune", "dataset_id"),
    ):
        _, text = as_bob_anywhere(
            f"GET {path}", Things({"none": "none of these"}), {f"?{field}": adas.ids[field]}
        )
        assert '"total":0' in text


def test_names_of_others_are_free(adas: Things, bobs: Things, base_id: str, as_bob_anywhere: Bob) -> None:
    status, _ = as_bob_anywhere(
        "POST /api/models", bobs, {"name": adas.ids["model_name"], "base_model_id": base_id}
    )
    assert status == 201


FOR_EVERYBODY = {
    "GET /api/openapi.json",
    "GET /api/docs",
    "GET /api/docs/{name}",
    "POST /api/auth/register",
    "POST /api/auth/login",
    "GET /healthz",
    "GET /health",
    "POST /session/claim",
    "POST /session/end",
}


def test_nobody_is_let_in_without_proof(client: TestClient, adas: Things) -> None:
    for route in sorted(set(routes()) - FOR_EVERYBODY):
        method, path = route.split(" ", 1)
        address = re.sub(r"\{(\w+)(:\w+)?\}", lambda found: adas.ids[found[1]], path)
        answer = client.request(method, address, headers={"Content-Type": "application/json"}, content=b"{")
        assert answer.status_code == 401, route
        assert "WWW-Authenticate" in answer.headers
