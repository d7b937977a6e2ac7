"""Which policy an answer has, and that a route's own one stays."""

import re

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from core.people import sessions
from core.people.users import User
from core.server.front_door import FrontDoor
from core.server.page_policy import DIRECTIVES, FILE, PAGE, policy_for

POLICY = "Content-Security-Policy"


def answer(request: Request) -> Response:
    """Streamlit in its place: what the address asks for."""
    kind = request.query_params.get("type", "text/html; charset=utf-8")
    return Response(
        b"x", status_code=int(request.query_params.get("status", 200)), headers={"Content-Type": kind}
    )


def stricter(request: Request) -> Response:
    return HTMLResponse("x", headers={POLICY: "default-src 'none'"})


@pytest.fixture
def pages(ada: User) -> TestClient:
    app = Starlette(routes=[Route("/guide", stricter), Route("/{path:path}", answer)])
    client = TestClient(FrontDoor(app))
    client.post("/session/claim", json={"ticket": sessions.issue_ticket(ada)})
    return client


@pytest.mark.parametrize(
    "path",
    ["/", "/chat?id=chat_x", "/no/such/page", "/sql?status=404", "/models?status=500", "/api/docs"],
)
def test_every_page_has_the_policy(pages: TestClient, path: str) -> None:
    found = pages.get(path, headers={"Accept": "text/html"})
    assert found.headers["Content-Type"].startswith("text/html")
    assert found.headers[POLICY] == PAGE
    assert found.headers["Referrer-Policy"] == "same-origin"
    assert found.headers["X-DNS-Prefetch-Control"] == "off"


@pytest.mark.parametrize(
    "kind",
    [
        "image/svg+xml",
        "text/xml",
        "application/xml",
        "application/pdf",
        "text/plain",
        "application/octet-stream",
        "",
    ],
)
def test_a_file_that_a_browser_shows_runs_nothing(pages: TestClient, kind: str) -> None:
    assert pages.get("/media/a", params={"type": kind}).headers[POLICY] == FILE


@pytest.mark.parametrize(
    "path", ["/download/ds_x", "/uploads/upl_x", "/api/nothing", "/v1/nothing", "/healthz"]
)
def test_our_own_answers_are_no_pages(pages: TestClient, path: str) -> None:
    assert pages.get(path).headers[POLICY] == FILE


def test_a_route_may_be_stricter(pages: TestClient) -> None:
    assert pages.get("/guide").headers[POLICY] == "default-src 'none'"


@pytest.mark.parametrize(
    ("path", "status", "kind", "policy"),
    [
        ("/x", 200, "TEXT/HTML", PAGE),
        ("/x", 200, "application/xhtml+xml; charset=utf-8", PAGE),
        ("/x", 200, None, FILE),
        ("/x.js", 200, "text/javascript; charset=utf-8", None),
        ("/x.woff2", 200, "font/woff2", None),
        ("/", 304, None, PAGE),
        ("/x.js", 304, None, None),
    ],
)
def test_policy_of(path: str, status: int, kind: str | None, policy: str | None) -> None:
    assert policy_for(path, status, kind) == policy


def test_no_other_host_is_named() -> None:
    """And nothing runs that was made of text: no ``unsafe-eval``."""
    for name, sources in DIRECTIVES.items():
        assert not re.search(r"\*|https?:|wss?:|'unsafe-eval'", sources), name
    assert DIRECTIVES["connect-src"] == "'self'"
    assert "'unsafe-inline'" in DIRECTIVES["script-src"]
    assert "allow" not in FILE
