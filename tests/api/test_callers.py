"""Who calls: found out once per request, by one indexed query, in the thread that answers."""

from collections.abc import Callable
from typing import Any

import anyio.to_thread
import pytest
from starlette.testclient import TestClient

from core import db
from core.api.deps import JsonRequest
from core.people import sessions
from core.people.users import User
from tests.api.conftest import Caller, signed_in
from tests.ui.things import make_model


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What requests have given to a thread."""
    run, noted = anyio.to_thread.run_sync, []

    async def note(function: Any, *args: Any, **options: Any) -> Any:
        noted.append(function)
        return await run(function, *args, **options)

    monkeypatch.setattr(anyio.to_thread, "run_sync", note)
    return noted


@pytest.mark.parametrize("path", ["/api/auth/me", "/api/chats", "/api/datasets?limit=5"])
def test_a_request_without_a_body_is_handed_to_a_thread_once(
    as_ada: Caller, handed_over: list[Any], path: str
) -> None:
    as_ada.get(path)  # what is imported or made at the first time
    handed_over.clear()
    assert as_ada.get(path).status_code == 200
    assert len(handed_over) == 1


def test_a_request_with_a_small_body_is_handed_to_a_thread_once(
    ada: User, as_ada: Caller, handed_over: list[Any]
) -> None:
    new = {"model_id": make_model(ada, "parrot", provider="echo")}
    assert as_ada.post("/api/chats", new).status_code == 201
    handed_over.clear()
    assert as_ada.post("/api/chats", new).status_code == 201
    assert len(handed_over) == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_nobody_unknown_sends_much(client: TestClient, as_ada: Caller, chunked: bool) -> None:
    """More than a small body is not read before it is known who calls."""
    pieces = (b'{"name": "', b"x" * 50, b'", "note": "', b"y" * 20_000, b'"}')
    body = iter(pieces) if chunked else b"".join(pieces)
    headers = {"Content-Type": "application/json"}
    read: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JsonRequest, "_read_body", note_call(read, JsonRequest._read_body))
        assert client.post("/api/apikeys", content=body, headers=headers).status_code == 401
        assert not read
        assert as_ada.post("/api/apikeys", content=b"".join(pieces), headers=headers).status_code == 201
        assert read


def note_call(noted: list[Any], function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        noted.append(args)
        return function(*args)

    return call


def test_v1_hands_a_request_to_a_thread_once(
    ada: User, with_key: Callable[..., Caller], handed_over: list[Any]
) -> None:
    assert with_key(ada).get("/v1/models").status_code == 200
    assert len(handed_over) == 1


def test_one_query_answers_who_has_a_token(as_ada: Caller, statements: list[str]) -> None:
    as_ada.get("/api/auth/me")
    assert len(statements) == 1
    require_index(statements[0])


def test_one_query_answers_who_has_a_cookie(ada: User, statements: list[str]) -> None:
    token = sessions.claim_ticket(sessions.issue_ticket(ada))
    statements.clear()
    assert sessions.user_for(token) == ada
    assert len(statements) == 1
    require_index(statements[0])


def test_one_query_answers_who_has_a_key(
    ada: User, with_key: Callable[..., Caller], statements: list[str]
) -> None:
    call = with_key(ada)
    call.get("/v1/models/nobody")  # notes that the key is in use, once a minute
    statements.clear()
    call.get("/v1/models/nobody")
    asking = [statement for statement in statements if "api_keys" in statement]
    assert len(asking) == 1
    require_index(asking[0])


def test_every_request_asks_again_who_calls(client: TestClient, ada: User, bob: User) -> None:
    headers = signed_in(ada)
    assert client.get("/api/auth/me", headers=headers).json()["id"] == ada.id
    assert client.get("/api/auth/me", headers=signed_in(bob)).json()["id"] == bob.id
    sessions.end_all(ada)
    assert client.get("/api/auth/me", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/chats?limit=ten", None),
        ("GET", "/api/datasets/ds_x/versions/no-number", None),
        ("POST", "/api/chats", {"title": 5}),
        ("POST", "/api/finetune/ftj_x/checkpoints/no-number/pin", None),
        ("PUT", "/api/uploads/upl_x?offset=-1", None),
    ],
)
def test_nobody_unknown_is_told_what_is_wrong_with_a_request(
    client: TestClient, as_ada: Caller, method: str, path: str, body: Any
) -> None:
    assert client.request(method, path, json=body).status_code == 401
    assert as_ada(method, path, json=body).status_code == 422


def require_index(statement: str) -> None:
    """SQLite finds the rows of every table in it by an index."""
    with db.reading() as session:
        plan = session.connection().exec_driver_sql(
            f"EXPLAIN QUERY PLAN {statement}", ("",) * statement.count("?")
        )
        steps = [str(row[3]) for row in plan]
    assert steps
    assert all(step.startswith(("SEARCH", "LIST", "CORRELATED", "SCALAR")) for step in steps), steps
