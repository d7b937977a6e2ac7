"""Both APIs in process, behind the same front door as in production, without Streamlit behind it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.testclient import TestClient

from core import db, stopping
from core.people import api_keys, sessions
from core.people.api_keys import NewKey
from core.people.users import User
from core.server.front_door import FrontDoor

Answer = Any
Client = TestClient


@pytest.fixture
def client() -> Iterator[TestClient]:
    """Nobody: no token, no cookie. What is not ours would go to Streamlit, here to a page that says so."""
    streamlit = Starlette(routes=[Mount("/", app=PlainTextResponse("streamlit"))])
    with TestClient(FrontDoor(streamlit), client=("10.1.1.1", 4711), follow_redirects=False) as made:
        yield made


def signed_in(user: User) -> dict[str, str]:
    return {"Authorization": f"Bearer {sessions.issue_jwt(user).access_token}"}


@pytest.fixture
def as_ada(client: TestClient, ada: User) -> "Caller":
    return Caller(client, signed_in(ada))


@pytest.fixture
def as_bob(client: TestClient, bob: User) -> "Caller":
    return Caller(client, signed_in(bob))


@pytest.fixture
def with_key(client: TestClient) -> Callable[..., "Caller"]:
    def make(user: User, **narrowed: Any) -> Caller:
        _, secret = api_keys.create(user, NewKey(name="test", **narrowed))
        return Caller(client, {"Authorization": f"Bearer {secret}"})

    return make


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """The SQL that has been run, without BEGIN."""
    noted: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if not statement.startswith("BEGIN"):
            noted.append(statement)

    engine = db.engine()
    event.listen(engine, "before_cursor_execute", note)
    yield noted
    event.remove(engine, "before_cursor_execute", note)


class Caller:
    """One user's client: paths, and an answer that is checked for the headers every answer has."""

    def __init__(self, client: TestClient, headers: dict[str, str]) -> None:
        self.client, self.headers = client, headers

    def __call__(self, method: str, path: str, **more: Any) -> Answer:
        headers = {**self.headers, **more.pop("headers", {})}
        answer = self.client.request(method, path, headers=headers, **more)
        assert answer.headers["X-Request-ID"].startswith("req_")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        return answer

    def get(self, path: str, **more: Any) -> Answer:
        return self("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        return self("POST", path, json=body, **more) if body is not None else self("POST", path, **more)

    def patch(self, path: str, body: Any) -> Answer:
        return self("PATCH", path, json=body)

    def delete(self, path: str) -> Answer:
        return self("DELETE", path)


def error_of(answer: Answer) -> dict[str, Any]:
    """The error object of ``/api``, whose shape is checked on the way."""
    assert set(answer.json()) == {"error"}, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error["request_id"] == answer.headers["X-Request-ID"]
    assert error["message"]
    assert ("details" in error) == (error["code"] == "validation_error")
    return error


def fields_of(answer: Answer) -> set[str]:
    assert answer.status_code == 422, answer.text
    return {detail["field"] for detail in error_of(answer)["details"]}


@pytest.fixture(autouse=True)
def not_stopping() -> Iterator[None]:
    yield
    stopping._stopping.clear()
