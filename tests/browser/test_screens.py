"""Every page at desktop and phone width, light and dark:
no traceback, nothing wider than the window, and a picture to look at.

Then the same addresses opened by another user: for him nothing of it exists.
"""

from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser

from core.config import ROOT
from tests.browser.conftest import App, Server, sign_in, window
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
LOOKS = {"desktop": (False, "light"), "phone": (True, "dark")}
OTHER_LOOKS = {"desktop-dark": (False, "dark"), "phone-light": (True, "light")}


@dataclass(frozen=True)
class Things:
    """What the pages have to show."""

    dataset: str
    job: str
    model: str
    chat: str
    upload: str


@pytest.fixture(scope="module")
def things(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Things:
    rest = Rest(server.url, "ada@example.com")
    dataset = rest.upload(ROOT / "data" / "samples" / "support_faq.jsonl", name="Helpdesk FAQ")
    rest.upload(ROOT / "data" / "samples" / "support_tickets.csv", name="Support tickets")
    starter = rest.starter()
    job = rest.post(
        "/finetune",
        {
            "base_model_id": starter["id"],
            "dataset_id": dataset["id"],
            "name": "helpdesk-bot",
            "hyperparameters": {"max_steps": 12},
        },
    )
    rest.wait_for_job(job["id"], lambda progress: progress["status"] == "succeeded", seconds=180)
    model = rest.get(f"/finetune/{job['id']}")["model_id"]
    chat = rest.post(
        "/chats", {"model_id": model, "dataset_id": dataset["id"], "title": "How do I return an item?"}
    )
    rest.post("/messages", {"chat_id": chat["id"], "content": "How do I return an item?"})
    rest.post("/messages", {"chat_id": chat["id"], "content": "/describe"})
    rest.post("/apikeys", {"name": "nightly report"})
    rest.post(
        "/finetune", {"base_model_id": starter["id"], "dataset_id": dataset["id"], "name": "second try"}
    )
    waiting = tmp_path_factory.mktemp("files") / "salaries of 2026.csv"
    waiting.write_text("name;born;salary\n" + "Ada;01/02/1990;5000,50\nGrace;31/12/1985;6000,75\n" * 30)
    return Things(dataset["id"], job["id"], model, chat["id"], rest.stage(waiting))


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
    """What a dataset shows besides its rows."""
    views = {"columns": "Columns", "versions": "Versions", "training": "Training+view", "use": "Use+it"}
    return {f"dataset_{name}": f"/dataset?id={things.dataset}&view={view}" for name, view in views.items()}


def test_every_page_is_in_the_list() -> None:
    assert {p.stem for p in (ROOT / "pages").glob("*.py")} == set(pages(Things("", "", "", "", "")))


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("phone", "scheme"),
    [
        *(pytest.param(*look, id=name) for name, look in LOOKS.items()),
        *(pytest.param(*look, id=name, marks=pytest.mark.long) for name, look in OTHER_LOOKS.items()),
    ],
)
def test_every_page_fits_and_shows_no_traceback(
    server: Server, chromium: Browser, things: Things, phone: bool, scheme: str
) -> None:
    with window(chromium, server, phone=phone, dark=scheme == "dark") as app:
        sign_in(app, "ada@example.com")
        width = "phone" if phone else "desktop"
        for name, path in {**pages(things), **tabs(things)}.items():
            app.open(path)
            app.page.wait_for_timeout(400)  # charts draw after the script has ended
            app.shoot(f"{name}-{width}-{scheme}")
            wide, room = app.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
            assert wide <= room, f"{name} is {wide} px wide in a window of {room} px"


def test_colours_follow_the_system_under_an_open_page(
    server: Server, chromium: Browser, things: Things
) -> None:
    with window(chromium, server) as app:
        sign_in(app, "ada@example.com", path=f"/dataset?id={things.dataset}")
        light = ground_of(app)
        app.page.emulate_media(color_scheme="dark")
        wait_until(lambda: ground_of(app), lambda seen: seen != light)
        app.shoot("dataset-desktop-turned-dark")


def ground_of(app: App) -> str:
    return str(app.page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor"))


@pytest.mark.long
@pytest.mark.timeout(300)
def test_another_users_things_do_not_exist_for_bob(server: Server, chromium: Browser, things: Things) -> None:
    ada = Rest(server.url, "ada@example.com", register=False)
    with window(chromium, server) as hers:
        sign_in(hers, "ada@example.com")
        hers.open("/admin")
        hers.by_key("registration").get_by_role("radio", name="Open").click()
        hers.settled()
    assert ada.get("/auth/me")["email"] == "ada@example.com"
    Rest(server.url, "bob@example.com")
    with window(chromium, server) as app:
        sign_in(app, "bob@example.com")
        for name, path in pages(things).items():
            app.open(path)
            text = app.page.inner_text("body")
            assert not [secret for secret in SECRETS if secret in text], (
                f"{name} shows Bob something of Ada's"
            )
            app.shoot(f"bob-{name}")
