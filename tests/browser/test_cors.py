"""A page of another origin calls the API from the browser: a configured one may, and reads what API.md names;
any other is refused by the browser, before anything is changed."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.rest import Rest
from tests.browser.server import Server, serving

# fetch fails with a TypeError where the browser may not hand out the answer
CALL = """async ([url, key, method, path, body]) => {
  try {
    const answer = await fetch(url + path, {method, body: body && JSON.stringify(body), headers: {
      "Authorization": "Bearer " + key, "Content-Type": "application/json", "X-Stainless-Lang": "js"}});
    return {status: answer.status, request: answer.headers.get("x-request-id"), text: await answer.text()};
  } catch (error) { return {refused: error.name}; }
}"""


class BlankPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>another app</title>")

    def log_message(self, *_said: Any) -> None: ...


@contextlib.contextmanager
def _pages() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), BlankPage) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        yield pages.server_port
        pages.shutdown()


@dataclass(frozen=True)
class Origins:
    """Two names for the same pages; only the first is configured. ``key`` is an API key of its user."""

    server: Server
    rest: Rest
    key: str
    ours: str
    other: str


@pytest.fixture(scope="module")
def origins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origins]:
    folder = tmp_path_factory.mktemp("cors")
    with _pages() as port:
        ours, other = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
        with serving(folder, LUTHIER_REGISTRATION="open", LUTHIER_CORS_ORIGINS=ours) as server:
            rest = Rest(server.url, "ada@example.com")
            key = rest.post("/apikeys", {"name": "another app"})["key"]
            yield Origins(server, rest, key, ours, other)


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    with contextlib.closing(chromium.new_context()) as context:
        yield context.new_page()


def _call(page: Page, origins: Origins, method: str, path: str, body: Any = None) -> dict[str, Any]:
    answer: dict[str, Any] = page.evaluate(CALL, [origins.server.url, origins.key, method, path, body])
    return answer


def test_a_configured_origin_reads_changes_and_deletes(origins: Origins, page: Page, tmp_path: Path) -> None:
    (tmp_path / "faq.csv").write_text("q,a\nwhy,so\n")
    dataset = origins.rest.upload(tmp_path / "faq.csv")["id"]
    page.goto(origins.ours)
    listed = _call(page, origins, "GET", "/v1/models")
    assert (listed["status"], listed["request"][:4]) == (200, "req_")
    renamed = _call(page, origins, "PATCH", f"/api/datasets/{dataset}", {"name": "renamed"})
    assert renamed["status"] == 200, renamed
    assert origins.rest.get(f"/datasets/{dataset}")["name"] == "renamed"
    missing = _call(page, origins, "GET", "/api/datasets/ds_none")
    assert (missing["status"], "not_found" in missing["text"]) == (404, True), "an error can be read too"
    assert _call(page, origins, "DELETE", f"/api/datasets/{dataset}")["status"] == 204


def test_another_origin_is_refused_and_changes_nothing(origins: Origins, page: Page, tmp_path: Path) -> None:
    (tmp_path / "faq.csv").write_text("q,a\nwhy,so\n")
    dataset = origins.rest.upload(tmp_path / "faq.csv", name="mine")["id"]
    page.goto(origins.other)
    for method, path, body in (
        ("GET", "/v1/models", None),
        ("PATCH", f"/api/datasets/{dataset}", {"name": "stolen"}),
        ("DELETE", f"/api/datasets/{dataset}", None),
    ):
        assert _call(page, origins, method, path, body) == {"refused": "TypeError"}, method
    assert origins.rest.get(f"/datasets/{dataset}")["name"] == "mine"
