"""The first request after a start, without a cookie, to anywhere: no data, only the sign-in page or 401."""

import shutil
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from core.config import ROOT
from tests.browser.conftest import Server, window
from tests.browser.rest import Rest

PAGES = sorted(p.stem for p in (ROOT / "pages").glob("*.py"))
SHORT = {"home", "dataset", "job"}  # each costs a restart; the others are in ./test.sh everything
SECRET = "zanzibar-secret-row"


@pytest.fixture(scope="module")
def used_server(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A server that holds somebody's data and was restarted since."""
    ada = Rest(server.url, "ada@example.com")
    file: Path = tmp_path_factory.mktemp("files") / "secrets.csv"
    file.write_text(f"name,value\n{SECRET},1\nother,2\n")
    ada.upload(file)
    server.stop()
    server.start()
    return server


class Shelf:
    """Two servers with the same data: while one is looked at, the other starts."""

    def __init__(self, servers: list[Server]) -> None:
        self.pool = ThreadPoolExecutor(1)
        self.starting: deque[Future[Server]] = deque()
        for server in servers:
            self.put(server)

    def put(self, server: Server) -> None:
        self.starting.append(self.pool.submit(restart, server))

    def take(self) -> Server:
        return self.starting.popleft().result()


@pytest.fixture(scope="module")
def shelf(used_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    used_server.stop()
    twins = [Server(tmp_path_factory.mktemp(name) / "data") for name in ("one", "two")]
    for twin in twins:
        shutil.copytree(used_server.data_dir, twin.data_dir)
    used_server.start()
    made = Shelf(twins)
    yield made
    made.pool.shutdown(wait=True)
    for twin in twins:
        twin.kill_everything()


@pytest.fixture
def fresh_server(shelf: Shelf) -> Iterator[Server]:
    """A server that nobody has asked anything since its start."""
    server = shelf.take()
    yield server
    shelf.put(server)


def restart(server: Server) -> Server:
    server.stop()
    server.start()
    return server


def status_of(url: str, method: str = "GET") -> int:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, method=method, data=b"x" if method != "GET" else None), timeout=20
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize(
    "name", [pytest.param(page, marks=() if page in SHORT else pytest.mark.long) for page in PAGES]
)
def test_deep_link_shows_the_sign_in_page(fresh_server: Server, chromium: Browser, name: str) -> None:
    with window(chromium, fresh_server) as app:
        app.open("/" if name == "home" else f"/{name}").sees("Sign in")
        text = app.page.inner_text("body")
    assert SECRET not in text
    assert "ada@example.com" not in text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/media/0123456789abcdef0123456789abcdef.png"),
        ("PUT", "/_stcore/upload_file/session/file"),
        ("POST", "/uploads"),
        ("GET", "/download/ds_aaaaaaaaaaaaaaaaaaaaaaaa"),
        ("GET", "/api/datasets"),
        ("GET", "/v1/models"),
    ],
)
def test_route_without_a_session_is_refused(used_server: Server, method: str, path: str) -> None:
    assert status_of(used_server.url + path, method) == 401


def test_health_needs_nobody(used_server: Server) -> None:
    assert status_of(used_server.url + "/healthz") == 200
    assert status_of(used_server.url + "/health") == 200
