"""The Rows tab in a real browser: what is clicked filters and sorts,
a link reopens the same view, a file holds what is shown."""

import csv
import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from core.config import ROOT
from tests.browser.conftest import App, Server, sign_in, window
from tests.browser.rest import Rest

TICKETS = ROOT / "data" / "samples" / "support_tickets.csv"
FAQ = ROOT / "data" / "samples" / "support_faq.jsonl"
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def rest(server: Server) -> Rest:
    return Rest(server.url, "ada@example.com")


@pytest.fixture(scope="module")
def tickets(rest: Rest) -> str:
    dataset = rest.upload(TICKETS, name="Support tickets")["id"]
    rest.get(f"/datasets/{dataset}/profile")
    return str(dataset)


@pytest.fixture
def user(app: App, rest: Rest) -> App:
    return sign_in(app, "ada@example.com")


def grid(app: App) -> Locator:
    return app.by_key("rows_grid")


def cells(app: App, column: int) -> list[str]:
    return grid(app).locator(f"tbody tr td:nth-child({column + 2})").all_inner_texts()


def names(app: App) -> list[str]:
    return grid(app).locator("thead .name").all_inner_texts()


def test_clicks_narrow_and_sort_and_a_link_reopens_the_view(user: App, tickets: str, tmp_path: Path) -> None:
    user.open(f"/dataset?id={tickets}")
    # the profile may still be on its way
    expect(grid(user).locator(".bar").first).to_be_visible(timeout=30_000)
    number = next(
        i
        for i, head in enumerate(grid(user).locator("thead th:not(.line)").all())
        if head.locator(".bar").count()
    )
    bars = grid(user).locator("thead th:not(.line)").nth(number).locator(".bar")
    bars.last.click()
    expect(user.by_key("drop_filter_0")).to_be_visible()
    expect(bars.last).to_have_attribute("aria-pressed", "true")
    grid(user).locator("thead .name").nth(number).click()
    expect(user.by_key("drop_sort")).to_be_visible()
    expect(grid(user).locator("thead th:not(.line)").nth(number)).to_have_attribute("aria-sort", "ascending")
    user.settled()
    expect(user.by_key("rows_foot")).to_contain_text("found among 500")
    shown = {name: cells(user, i) for i, name in enumerate(names(user))}
    assert shown["question"]

    user.page.reload()
    user.settled()
    expect(grid(user).locator("tbody tr")).to_have_count(len(shown["question"]))
    assert {name: cells(user, i) for i, name in enumerate(names(user))} == shown

    user.click("rows_download")
    with user.page.expect_download() as download:
        user.by_key("rows_download_csv").locator("a").click()
    download.value.save_as(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    key = names(user)[0]
    assert [row[key] for row in written][: len(shown[key])] == shown[key]
    user.page.keyboard.press("Escape")
    user.click("drop_all")
    expect(user.by_key("rows_foot")).to_contain_text("of 500")


def test_search_drawer_and_keys(user: App, tickets: str) -> None:
    user.open(f"/dataset?id={tickets}")
    entry = user.by_key("rows_q").locator("input")
    entry.fill("MOTORcycles")
    entry.press("Enter")
    expect(user.by_key("drop_search")).to_be_visible()
    user.settled()
    expect(grid(user).locator("mark").first).to_have_text("motorcycles")
    user.click("drop_search")
    expect(user.by_key("rows_foot")).to_contain_text("of 500")

    first = grid(user).locator("tbody td").first
    first.focus()
    user.page.keyboard.press("ArrowDown")
    user.page.keyboard.press("ArrowRight")
    expect(grid(user).locator("tbody tr:nth-child(2) td:nth-child(3)")).to_be_focused()
    user.page.keyboard.press("Enter")
    drawer = user.page.get_by_role("dialog")
    expect(drawer).to_contain_text("Row 2 · 2 of 500")
    user.page.keyboard.press("ArrowRight")
    expect(drawer).to_contain_text("Row 3 · 3 of 500")
    drawer.get_by_role("button", name="Copy as JSON").click()
    expect(drawer.locator(".said")).not_to_be_empty()
    user.settled().page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    expect(user.page).not_to_have_url(re.compile("row="))


@pytest.mark.parametrize(
    ("phone", "dark"), [(True, True), pytest.param(False, False, marks=pytest.mark.long)]
)
def test_it_fits_and_shows_no_traceback(
    chromium: Browser, server: Server, rest: Rest, tickets: str, *, phone: bool, dark: bool
) -> None:
    where = json.dumps({"priority": {"one_of": ["high"]}})
    chats = rest.upload(FAQ, name="FAQ")["id"]
    with window(chromium, server, phone=phone, dark=dark) as app:
        sign_in(app, "ada@example.com")
        for name, path in {
            "rows": f"id={tickets}&where={where}&sort=-created_at",
            "row": f"id={chats}&row=2",
        }.items():
            app.open(f"/dataset?{path}")
            expect(grid(app).locator("tbody tr").first).to_be_visible()
            app.shoot(f"{name}-{'phone' if phone else 'desktop'}-{'dark' if dark else 'light'}")
            width, window_width = app.page.evaluate(
                "[document.documentElement.scrollWidth, window.innerWidth]"
            )
            assert width <= window_width
