"""API.md section 1: what every address of ``/api`` does, whatever it is about.

And section 9: the health check.
"""

import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from core import db, models
from core.api import last_resort
from core.people import sessions
from core.people.users import User
from core.server import logs
from tests.api.conftest import Caller, error_of, fields_of, signed_in


@pytest.mark.parametrize("path", ["/healthz", "/health"])
def test_health_needs_nobody_and_tells_nothing(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert client.head(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/",
        "/api/nothing",
        "/api/chats/",
        "/api//chats",
        "/api/auth",
        "/api/%00",
        "/api/%2e%2e/passwd",
        "/api/a%2fb",
    ],
)
def test_unknown_path_has_the_error_body(client: TestClient, as_ada: Caller, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        for answer in (as_ada(method, path), client.request(method, path)):
            assert answer.status_code == 404
            assert error_of(answer)["code"] == "not_found"


def test_paths_beside_the_apis_are_streamlits_or_nothing(client: TestClient) -> None:
    for path in ("/", "/datasets"):
        assert client.get(path).text == "streamlit"
    for path in ("/apis", "/v10", "/healthzz", "/uploaded"):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/auth/me", {"GET", "PATCH", "HEAD", "OPTIONS"}),
        ("/api/auth/register", {"POST", "OPTIONS"}),
        ("/api/chats", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("/api/chats/chat_x", {"GET", "HEAD", "PATCH", "DELETE", "OPTIONS"}),
        ("/api/models/mdl_x/aliases/production", {"PUT", "DELETE", "OPTIONS"}),
    ],
)
def test_wrong_method_says_what_is_allowed(
    client: TestClient, as_ada: Caller, path: str, allowed: set[str]
) -> None:
    for method in {"GET", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"} - allowed:
        answer = as_ada(method, path)
        assert answer.status_code == 405
        assert error_of(answer)["code"] == "method_not_allowed"
        assert set(answer.headers["Allow"].split(", ")) == allowed


def test_options_needs_nobody(client: TestClient) -> None:
    answer = client.options("/api/chats")
    assert answer.status_code == 204
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST", "OPTIONS"}
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_head_is_get_without_a_body(client: TestClient, as_ada: Caller) -> None:
    get, head = as_ada.get("/api/auth/me"), as_ada("HEAD", "/api/auth/me")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
    assert client.head("/api/auth/me").status_code == 401


def test_method_overrides_have_no_effect(as_ada: Caller) -> None:
    for more in ({"headers": {"X-HTTP-Method-Override": "DELETE"}}, {"params": {"_method": "DELETE"}}):
        assert as_ada.get("/api/apikeys", **more).status_code == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"name": }', b"{'name': 'x'}", b'{"name": NaN}', b'{"name": "x"} x', b"\xff\xfe{\x00}\x00"],
)
def test_body_that_is_no_json_is_a_bad_request(as_ada: Caller, body: bytes) -> None:
    answer = as_ada.post("/api/apikeys", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert error_of(answer)["code"] == "bad_request"


def test_json_that_is_not_utf8_is_a_bad_request(as_ada: Caller) -> None:
    for body in ('{"name": "é"}'.encode("latin-1"), '{"name": "x"}'.encode("utf-16")):
        assert (
            as_ada.post(
                "/api/apikeys", content=body, headers={"Content-Type": "application/json"}
            ).status_code
            == 400
        )


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "image/png", ""],
)
def test_other_content_types_are_a_bad_request(as_ada: Caller, kind: str) -> None:
    answer = as_ada.post("/api/apikeys", content=b'{"name": "x"}', headers={"Content-Type": kind})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"]
)
def test_json_by_other_names_is_json(as_ada: Caller, kind: str) -> None:
    assert (
        as_ada.post("/api/apikeys", content=b'{"name": "x"}', headers={"Content-Type": kind}).status_code
        == 201
    )


@pytest.mark.parametrize("body", ["[]", '"x"', "null", "5", "true", "[{}]"])
def test_json_that_is_no_object_breaks_a_rule(as_ada: Caller, body: str) -> None:
    answer = as_ada.post("/api/apikeys", content=body.encode(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


def test_body_over_one_mebibyte_is_too_large(as_ada: Caller) -> None:
    filler = "x" * (2**20 - 30)
    assert as_ada.post("/api/apikeys", {"name": "fits", "note": filler}).status_code == 201
    for body in ({"name": "x" * 2**20}, {"name": "x", "unknown": "x" * 2**20}):
        answer = as_ada.post("/api/apikeys", body)
        assert answer.status_code == 413
        assert error_of(answer)["code"] == "too_large"
    chunked = as_ada.post(
        "/api/apikeys", content=iter([b"x" * 2**19] * 3), headers={"Content-Type": "application/json"}
    )
    assert chunked.status_code == 413


@pytest.mark.parametrize("depth", [500, 100_000])
def test_deep_json_does_not_break_the_server(as_ada: Caller, depth: int) -> None:
    body = '{"name": "x", "unknown": ' + "[" * depth + "]" * depth + "}"
    answer = as_ada.post("/api/apikeys", content=body.encode(), headers={"Content-Type": "application/json"})
    assert answer.status_code in (201, 400)


def test_who_calls_is_asked_before_the_body_is_read(client: TestClient) -> None:
    answer = client.post("/api/chats", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 401


BROKEN_LISTS = """
    limit=0 limit=101 limit=-1 limit=ten limit=1.5 limit=1e1 limit= limit=99999999999999999999 offset=-1
    offset=1000000001 offset=x sort=password_hash sort=--name sort= sort=name;DROP+TABLE+users q=%00
""".split()


@pytest.mark.parametrize(
    "path", ["/api/apikeys", "/api/models", "/api/chats", "/api/datasets", "/api/finetune"]
)
def test_broken_list_queries_are_named(as_ada: Caller, path: str) -> None:
    for query in BROKEN_LISTS:
        assert fields_of(as_ada.get(f"{path}?{query}")) == {query.partition("=")[0]}, query


def test_unknown_query_names_are_ignored(as_ada: Caller) -> None:
    assert as_ada.get("/api/apikeys?colour=blue&limit=1&_method=DELETE").status_code == 200


def test_a_search_is_a_literal_part_of_a_name(as_ada: Caller) -> None:
    for name in ("100% mine", "1000 mine", "Other"):
        as_ada.post("/api/apikeys", {"name": name})
    found = {q: as_ada.get("/api/apikeys", params={"q": q}).json() for q in ("0%", "MINE", "oTh", "_", "")}
    assert {q: page["total"] for q, page in found.items()} == {"0%": 1, "MINE": 2, "oTh": 1, "_": 0, "": 3}
    assert found["0%"]["items"][0]["name"] == "100% mine"


def test_pages_of_a_list(as_ada: Caller) -> None:
    made = [as_ada.post("/api/apikeys", {"name": f"key {i}"}).json()["id"] for i in range(5)]
    page = as_ada.get("/api/apikeys?limit=2&offset=1&sort=created_at").json()
    assert page.keys() == {"items", "total", "limit", "offset"}
    assert [item["id"] for item in page["items"]] == made[1:3]
    assert (page["total"], page["limit"], page["offset"]) == (5, 2, 1)
    newest_first = as_ada.get("/api/apikeys").json()
    assert [item["id"] for item in newest_first["items"]] == made[::-1]
    assert newest_first["limit"] == 20
    past = as_ada.get("/api/apikeys?offset=1000000000").json()
    assert (past["items"], past["total"]) == ([], 5)


def test_what_nobody_expected_is_an_internal_error_and_tells_nothing(
    as_ada: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(*_: Any, **__: Any) -> None:
        raise KeyError("/secret/path SELECT * FROM users sqlalchemy")

    monkeypatch.setattr(models, "list_models", explode)
    logging.getLogger("core").propagate = True
    answer = as_ada.get("/api/models")
    assert answer.status_code == 500
    error = error_of(answer)
    assert error["code"] == "internal_error"
    for leak in ("secret", "SELECT", "KeyError", "Traceback", "sqlalchemy", ".py"):
        assert leak not in answer.text
    assert error["request_id"] in caplog.text
    assert "KeyError" in caplog.text


def test_full_disk_is_unavailable(as_ada: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", "/secret/path")

    monkeypatch.setattr(models, "list_models", explode)
    answer = as_ada.get("/api/models")
    assert answer.status_code == 503
    assert error_of(answer)["code"] == "unavailable"
    assert "secret" not in answer.text


def test_a_database_that_is_away_is_unavailable_and_health_says_so(
    client: TestClient,
    as_ada: Caller,
    with_key: Callable[..., Caller],
    ada: User,
    data_dir: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by_key = with_key(ada)
    monkeypatch.setattr(last_resort._failures, "_said_at", {})
    db.engine().dispose()
    (data_dir / "luthier.db").rename(data_dir / "elsewhere.db")
    page = client.get("/media/x.png", headers={"Cookie": f"{sessions.COOKIE}=some-token"})
    for answer in (as_ada.get("/api/datasets"), client.get("/healthz"), page):
        assert (answer.status_code, error_of(answer)["code"]) == (503, "unavailable")
        assert "database cannot be reached" in error_of(answer)["message"]
    assert by_key.get("/v1/models").status_code == 503
    said = [record for record in caplog.records if "could not be answered" in record.getMessage()]
    assert [record.exc_info for record in said] == [None]  # a line a minute, and no traceback
    (data_dir / "elsewhere.db").rename(data_dir / "luthier.db")
    assert client.get("/healthz").json() == {"status": "ok"}
    assert as_ada.get("/api/datasets").status_code == 200


@pytest.fixture
def log_lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.JsonLines())
    monkeypatch.setattr(logs.requests, "handlers", [handler])
    before = logs.requests.level
    logs.requests.setLevel(logging.INFO)
    monkeypatch.setattr(logs.requests, "propagate", False)
    yield written
    logs.requests.setLevel(before)


def test_request_log_has_a_line_per_request(
    as_ada: Caller, ada: User, client: TestClient, log_lines: io.StringIO
) -> None:
    as_ada.get("/api/auth/me?secret=hunter2")
    client.get("/api/auth/me")
    first, second = map(json.loads, log_lines.getvalue().splitlines())
    assert set(first) == {"time", "request_id", "user", "method", "path", "status", "ms"}
    assert (first["user"], first["method"], first["path"], first["status"]) == (
        ada.id,
        "GET",
        "/api/auth/me",
        200,
    )
    assert (second["user"], second["status"]) == (None, 401)


def test_request_log_holds_no_secret(
    as_ada: Caller, client: TestClient, ada: User, log_lines: io.StringIO
) -> None:
    key = as_ada.post("/api/apikeys", {"name": "x"}).json()["key"]
    client.get(f"/v1/models?key={key}", headers={"Authorization": f"Bearer {key}"})
    client.get(f"/?token={key}", headers={"Cookie": f"{sessions.COOKIE}={key}"})
    client.post("/api/auth/login", json={"email": ada.email, "password": "hunter2 hunter2"})
    assert len(log_lines.getvalue().splitlines()) == 4
    for secret in (key, as_ada.headers["Authorization"], "hunter2"):
        assert secret not in log_lines.getvalue()


def test_line_breaks_in_a_path_stay_in_one_log_line(client: TestClient, log_lines: io.StringIO) -> None:
    client.get("/api/x%0a%7b%22status%22:200%7d")
    assert len(log_lines.getvalue().splitlines()) == 1


def test_no_answer_sets_a_cookie(as_ada: Caller, client: TestClient) -> None:
    for answer in (as_ada.get("/api/auth/me"), client.get("/healthz"), client.get("/api/nothing")):
        assert "set-cookie" not in answer.headers


def test_times_are_rfc_3339_in_utc(as_ada: Caller) -> None:
    from datetime import datetime

    created = as_ada.get("/api/auth/me").json()["created_at"]
    assert created.endswith("Z")
    datetime.fromisoformat(created)


def test_a_token_is_refused_by_v1(client: TestClient, ada: User) -> None:
    assert client.get("/v1/models", headers=signed_in(ada)).status_code == 401
