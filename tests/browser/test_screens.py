"""Every page at desktop and phone width, light and dark, as it is with a trained model:
no traceback, nothing wider than the window, and a picture to look at.

Then the same addresses opened by another user: for him nothing of it exists.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, expect

from core.config import ROOT
from tests.browser.conftest import LOOKS, SAMPLE, App, Server, Tuned, window
from tests.browser.rest import Rest
from tests.waiting import wait_until

SECRETS = [
    "Helpdesk FAQ",
    "helpdesk-bot",
    "salaries of 2026",
    "How do I return an item?",
    "ada@example.com",
    "nightly report",
]


@dataclass(frozen=True)
class Things:
    """What the pages have to show."""

    dataset: str
    tickets: str
    job: str
    model: str
    chat: str
    upload: str


@pytest.fixture(scope="module")
def rest(ada: Rest) -> Iterator[Rest]:
    yield ada
    ada.cancel_all()


@pytest.fixture(scope="module")
def things(rest: Rest, tuned: Tuned, tmp_path_factory: pytest.TempPathFactory) -> Things:
    tickets = rest.upload(ROOT / "data" / "samples" / "support_tickets.csv", name="Support tickets")["id"]
    chat = rest.post(
        "/chats",
        {"model_id": tuned.model, "dataset_id": tuned.dataset, "title": "How do I return an item?"},
    )
    rest.post("/messages", {"chat_id": chat["id"], "content": "How do I return an item?"})
    rest.post("/messages", {"chat_id": chat["id"], "content": "/describe"})
    rest.post("/apikeys", {"name": "nightly report"})
    rest.train(tuned.dataset, "second try", {"max_steps": 3})
    waiting = tmp_path_factory.mktemp("files") / "salaries of 2026.csv"
    waiting.write_text("name;born;salary\n" + "Ada;01/02/1990;5000,50\nGrace;31/12/1985;6000,75\n" * 30)
    return Things(tuned.dataset, tickets, tuned.job, tuned.model, chat["id"], rest.stage(waiting))


def pages(things: Things) -> dict[str, str]:
    return {
        "home": "/",
        "datasets": "/datasets",
        "dataset": f"/dataset?id={things.dataset}",
        "diff": f"/diff?id={things.dataset}",
        "edit": f"/edit?id={things.dataset}",
        "review": f"/review?id={things.upload}",
        "sql": "/sql",
        "fine_tuning": "/fine_tuning",
        "job": f"/job?id={things.job}",
        "compare": f"/compare?ids={things.job}",
        "sweep": "/sweep?id=swp_aaaaaaaaaaaaaaaa",
        "models": "/models",
        "model": f"/model?id={things.model}",
        "chat": f"/chat?id={things.chat}",
        "api_keys": "/api_keys",
        "usage": "/usage",
        "guide": "/guide",
        "alerts": "/alerts",
        "settings": "/settings",
        "admin": "/admin",
    }


def tabs(things: Things) -> dict[str, str]:
    """What a dataset shows besides its rows, and rows that were searched, sorted and opened."""
    views = {"columns": "Columns", "versions": "Versions", "training": "Training+view", "use": "Use+it"}
    where = quote(json.dumps({"priority": {"one_of": ["high"]}}))
    return {
        **{f"dataset_{name}": f"/dataset?id={things.dataset}&view={view}" for name, view in views.items()},
        "rows": f"/dataset?id={things.tickets}&where={where}&sort=-created_at",
        "row": f"/dataset?id={things.dataset}&row=2",
    }


def test_every_page_is_in_the_list() -> None:
    assert {p.stem for p in (ROOT / "pages").glob("*.py")} == set(pages(Things("", "", "", "", "", "")))


@pytest.mark.long
@pytest.mark.parametrize("look", LOOKS)
def test_every_page_fits_and_shows_no_traceback(app: App, things: Things, look: str) -> None:
    app.show(look)
    for name, path in all_of(things).items():
        see(app.open(path), name, look)


def all_of(things: Things) -> dict[str, str]:
    return {**pages(things), **tabs(things)}


def see(app: App, name: str, look: str) -> None:
    app.still()  # charts draw after the script has ended
    if name in ("rows", "row"):
        expect(app.by_key("rows_grid").locator("tbody tr").first).to_be_visible()
    app.fits(name).shoot(f"{name}-{look}")


def test_colours_follow_the_system_under_an_open_page(app: App, rest: Rest) -> None:
    app.open(f"/dataset?id={rest.upload(SAMPLE)['id']}")
    light = ground_of(app)
    app.page.emulate_media(color_scheme="dark")
    wait_until(lambda: ground_of(app), lambda seen: seen != light)
    app.shoot("dataset-desktop-turned-dark")


def ground_of(app: App) -> str:
    return str(app.page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor"))


@pytest.mark.long
def test_another_users_things_do_not_exist_for_bob(server: Server, chromium: Browser, things: Things) -> None:
    with window(chromium, server, user=Rest(server.url, "bob@example.com")) as app:
        for name, path in pages(things).items():
            app.open(path)
            text = app.page.inner_text("body")
            assert not [secret for secret in SECRETS if secret in text], (
                f"{name} shows Bob something of Ada's"
            )
            app.shoot(f"bob-{name}")
