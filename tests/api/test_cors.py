"""API.md section 1, CORS: every method and header in use, for the configured origins and for nobody else.

Preflights go through the app for every method of every route, and are judged as a browser judges them.
"""

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from core.api import apps, cors
from core.config import ROOT, settings
from core.people.users import User
from core.security import new_id
from core.server import front_door
from tests.api.conftest import Caller, signed_in

ORIGIN = "https://app.example.com"
# What the OpenAI SDK for JavaScript sends, with its options, and what scripts send to our routes
SDK = """
    accept authorization content-type idempotency-key user-agent
    openai-organization openai-project openai-beta
    x-stainless-arch x-stainless-lang x-stainless-os x-stainless-package-version x-stainless-retry-count
    x-stainless-runtime x-stainless-runtime-version x-stainless-timeout x-stainless-helper-method
    x-stainless-poll-helper x-stainless-custom-poll-interval x-stainless-of-tomorrow openai-of-tomorrow
""".split()
EXPOSED = """
    X-Request-ID Retry-After X-Row-Count X-Truncated X-Elapsed-Ms X-Stale X-Made-At ETag Content-Disposition
""".split()
OTHERS = [
    "null",
    f"{ORIGIN}.evil.com",
    "https://evilapp.example.com",
    "https://app.example.co",
    "https://app.example.com:444",
    "https://app.example.com.",
    "https://app.example.com/",
    "http://app.example.com",
    "HTTPS://APP.EXAMPLE.COM",
    f"{ORIGIN}, {ORIGIN}",
    "*",
    "",
]
# A script cannot set these, or a browser lets it without asking
UNASKED = {"content-length", "host", "origin", "sec-fetch-site", "cookie", "range"}


def routes() -> Iterator[tuple[str, str]]:
    """Method and address of every route of both APIs."""
    for prefix, app in zip(("/api", "/v1"), apps(), strict=True):
        for route in app.routes:
            path = re.sub(r"\{(\w+)(:\w+)?\}", lambda _: new_id("x"), getattr(route, "path", ""))
            for method in sorted(getattr(route, "methods", None) or ()):
                yield method, prefix + path


@pytest.fixture
def origins(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def configure(configured: str) -> None:
        monkeypatch.setenv("LUTHIER_CORS_ORIGINS", configured)
        settings.cache_clear()

    return configure


def preflight(client: TestClient, method: str, path: str, *, origin: str = ORIGIN, headers: Any = SDK) -> Any:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": ",".join(headers),
    }
    return client.options(path, headers=asked)


def names(answer: Any, header: str) -> set[str]:
    return {name.strip().lower() for name in answer.headers.get(header, "").split(",")}


def refusal(answer: Any, method: str, headers: Any = SDK, origin: str = ORIGIN) -> str:
    """Why a browser would not send the request: https://fetch.spec.whatwg.org/#cors-preflight-fetch."""
    if not 200 <= answer.status_code < 300:
        return f"status {answer.status_code}"
    if answer.headers.get("Access-Control-Allow-Origin") != origin:
        return "origin"
    if method not in ("GET", "HEAD", "POST") and method not in {
        name.strip() for name in answer.headers["Access-Control-Allow-Methods"].split(",")
    }:
        return f"method {method}"
    missing = set(headers) - names(answer, "Access-Control-Allow-Headers")
    return f"headers {missing}" if missing else ""


def test_every_method_of_every_route_is_allowed(client: TestClient, origins: Callable[[str], None]) -> None:
    origins(f"{ORIGIN}, http://localhost:3000")
    asked = list(routes())
    assert {"GET", "POST", "PATCH", "PUT", "DELETE"} <= {method for method, _ in asked}
    for method, path in asked:
        answer = preflight(client, method, path)
        assert refusal(answer, method) == "", f"{method} {path}"
        assert "Origin" in answer.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "*" not in answer.headers["Access-Control-Allow-Headers"]


def test_every_header_that_the_code_reads_is_allowed() -> None:
    """``request.headers.get("…")`` of the routes, whoever writes a new one."""
    read: set[str] = set()
    for path in Path(ROOT / "core" / "api").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("get", "getlist")
                and ast.unparse(node.func.value).split(".")[-1] in ("headers", "asking")
                and isinstance(node.args[0], ast.Constant)
            ):
                read.add(str(node.args[0].value).lower())
    assert "authorization" in read
    wanted = {name for name in read - UNASKED if not name.startswith("access-control-")}
    assert wanted <= {name.lower() for name in cors.REQUEST_HEADERS}


@pytest.mark.parametrize(
    "name", ["x-evil", "cookie", "x-stainless-ü", "x-stainless-a b", "openai-" + "x" * 200]
)
def test_no_other_header_is_allowed(client: TestClient, origins: Callable[[str], None], name: str) -> None:
    origins(ORIGIN)
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": f"accept,{name}".encode(),
    }
    answer = client.options("/api/chats", headers=asked)
    assert "accept" in names(answer, "Access-Control-Allow-Headers")
    assert name not in answer.headers["Access-Control-Allow-Headers"]


def test_a_page_may_read_what_answers_say(
    client: TestClient, origins: Callable[[str], None], ada: User, with_key: Callable[..., Caller]
) -> None:
    origins(ORIGIN)
    program = with_key(ada)
    for caller, path, status in (
        (program, "/api/datasets", 200),
        (program, "/v1/models", 200),
        (program, "/api/apikeys", 403),  # errors carry them, too, or a page could not read them
        (program, "/api/chats/x", 404),
        (program, "/api/nothing", 404),
        (Caller(client, {}), "/api/auth/me", 401),
        (Caller(client, {}), "/v1/models", 401),
    ):
        answer = caller.get(path, headers={"Origin": ORIGIN})
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert {name.lower() for name in EXPOSED} <= names(answer, "Access-Control-Expose-Headers")
        assert "Access-Control-Allow-Methods" not in answer.headers
    wrong = client.put("/api/chats", headers={"Origin": ORIGIN, **signed_in(ada)})
    assert (wrong.status_code, wrong.headers["Access-Control-Allow-Origin"]) == (405, ORIGIN)


def test_rate_limits_of_any_name_may_be_read(origins: Callable[[str], None]) -> None:
    import anyio

    origins(ORIGIN)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"x-ratelimit-remaining-tokens", b"5")],
    }
    scope = {"type": "http", "method": "GET", "headers": [(b"origin", ORIGIN.encode())]}
    anyio.run(cors.answering(scope, send, ["GET"]), start)
    headers = dict(sent[0]["headers"])
    assert b"x-ratelimit-remaining-tokens" in headers[b"access-control-expose-headers"]


@pytest.mark.parametrize("origin", OTHERS)
def test_other_origins_get_nothing(
    client: TestClient, origins: Callable[[str], None], ada: User, origin: str
) -> None:
    for configured in ("", ORIGIN, "*", f"*, {ORIGIN}"):
        origins(configured)
        for path in ("/api/chats", "/v1/models"):
            for answer in (
                preflight(client, "POST", path, origin=origin),
                client.get(path, headers={"Origin": origin, **signed_in(ada)}),
            ):
                said = [name for name in answer.headers if name.lower().startswith("access-control-")]
                assert said == [], (configured, path)
                assert ("Origin" in answer.headers.get("Vary", "")) == (ORIGIN in configured)


def test_nothing_is_said_without_an_origin(client: TestClient, origins: Callable[[str], None]) -> None:
    origins(ORIGIN)
    answer = client.get("/api/auth/me")
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Origin" in answer.headers["Vary"]  # a cache must not give this answer to a page


def test_what_the_front_door_refuses_can_be_read_too(
    client: TestClient, origins: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.errors import BadRequest
    from core.server.request_body import RequestBody

    def refuse(_self: Any) -> None:
        raise BadRequest("Two lengths.")

    origins(ORIGIN)
    monkeypatch.setattr(RequestBody, "require_one_length", refuse)
    for edge in front_door.EDGES:
        answer = client.get(f"{edge.prefix}/models", headers={"Origin": ORIGIN})
        assert answer.status_code == 400
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert json.loads(answer.text)["error"]["message"] == "Two lengths."


def test_ours_own_pages_are_called_by_no_other_origin(
    client: TestClient, origins: Callable[[str], None]
) -> None:
    origins(ORIGIN)
    for path in ("/healthz", "/uploads", "/session/end"):
        answer = client.options(path, headers={"Origin": ORIGIN, "Access-Control-Request-Method": "POST"})
        assert "Access-Control-Allow-Origin" not in answer.headers
