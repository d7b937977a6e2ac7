"""What is at no address answers 404, whoever asks; all that there is answers as before."""

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.web.server.starlette.starlette_static_routes import create_streamlit_static_assets_routes

from core.people import sessions
from core.people.users import User
from core.server.addresses import SAID
from core.server.front_door import FrontDoor
from core.ui import menu

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def streamlits(ada: User) -> Iterator[TestClient]:
    """Streamlit's own files, and its index page for anything else, behind the front door."""
    app = FrontDoor(Starlette(routes=create_streamlit_static_assets_routes("")))
    with TestClient(app, follow_redirects=False) as client:
        client.post("/session/claim", json={"ticket": sessions.issue_ticket(ada)})
        yield client


@pytest.mark.parametrize(
    "path",
    [
        "/docs",
        "/metrics",
        "/redoc",
        "/openapi.json",
        "/robots.txt",
        "/home",
        "/Datasets",
        "/datasets/old",
        "/apis",
        "/v2/models",
        "/dataset/_stcore/health",
        "/static/js/none.js",
        "/_stcore/none",
        "/media",
        "/mediathek",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/app/static/../../../pages/home.py",
    ],
)
def test_nothing_is_there(streamlits: TestClient, path: str) -> None:
    told = streamlits.get(path)
    assert told.status_code == 404, told.text[:200]
    assert told.json()["error"]["message"] == SAID
    shown = streamlits.get(path + "?id=1", headers=BROWSER)
    assert (shown.status_code, SAID in shown.text) == (404, True)
    assert "default-src 'self'" in shown.headers["Content-Security-Policy"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_nothing_is_there_by_any_method(streamlits: TestClient, method: str) -> None:
    assert streamlits.request(method, "/docs").status_code == 404


@pytest.mark.parametrize("entry", menu.ENTRIES, ids=lambda entry: entry.name)
def test_every_page_is_there_with_its_question(streamlits: TestClient, entry: menu.MenuEntry) -> None:
    path = "/" if entry is menu.ENTRIES[0] else f"/{entry.name}"
    shown = streamlits.get(f"{path}?id=ds_1&row=2", headers=BROWSER)
    assert (shown.status_code, '<div id="root">' in shown.text) == (200, True)
    assert streamlits.head(path).status_code == 200


def test_streamlits_files_are_there(streamlits: TestClient) -> None:
    index = streamlits.get("/index.html").text
    script = index.partition('src="./')[2].partition('"')[0]
    for path in ("/favicon.png", f"/{script}"):
        assert streamlits.get(path).status_code == 200, path
    slash = streamlits.get("/datasets/?id=ds_1")
    assert (slash.status_code, slash.headers["Location"]) == (301, "/datasets?id=ds_1")
