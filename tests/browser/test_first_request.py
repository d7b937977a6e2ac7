"""A server's first account, and the first request after a start, without a cookie, to anywhere: no data, only
the sign-in page, and behind it what was asked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from core.config import ROOT
from tests.browser.conftest import Server, fill_in_sign_in, register, window
from tests.browser.rest import Rest
from tests.browser.server import serving

PAGES = sorted(p.stem for p in (ROOT / "pages").glob("*.py"))
EMAIL = "ada@example.com"
SECRET = "zanzibar-secret-row"


@dataclass(frozen=True)
class Used:
    """A server that holds somebody's data, and the user who made the first account there by the form."""

    server: Server
    rest: Rest
    dataset: str


@pytest.fixture(scope="module")
def used(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Used]:
    folder: Path = tmp_path_factory.mktemp("used")
    with serving(folder) as server:
        with window(chromium, server) as app:
            register(app, EMAIL).sees("Welcome")
            app.shoot("first-account")
        rest = Rest(server.url, EMAIL, register=False)
        (folder / "secrets.csv").write_text(f"name,value\n{SECRET},1\nother,2\n")
        yield Used(server, rest, rest.upload(folder / "secrets.csv")["id"])


def test_the_first_account_is_the_admin(used: Used) -> None:
    assert used.rest.get("/auth/me")["role"] == "admin"


def test_deep_link_after_a_start_leads_by_the_sign_in_page_to_what_it_names(
    used: Used, chromium: Browser
) -> None:
    used.server.stop()
    used.server.start()
    path = f"/dataset?id={used.dataset}"
    with window(chromium, used.server) as app:
        app.open(path).sees("Sign in")
        text = app.page.inner_text("body")
        assert SECRET not in text
        assert EMAIL not in text
        fill_in_sign_in(app, EMAIL, path=path).sees(SECRET)


@pytest.mark.long
@pytest.mark.parametrize("name", PAGES)
def test_every_deep_link_shows_the_sign_in_page(used: Used, chromium: Browser, name: str) -> None:
    """Each page has to be the very first that is asked for, and so costs a start."""
    used.server.stop()
    used.server.start()
    with window(chromium, used.server) as app:
        app.open("/" if name == "home" else f"/{name}").sees("Sign in")
        text = app.page.inner_text("body")
    assert SECRET not in text
    assert EMAIL not in text
