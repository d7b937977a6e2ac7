"""The Rows tab in a real browser: what is clicked filters and sorts,
a link reopens the same view, a file holds what is shown."""

import csv
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from core.config import ROOT
from tests.browser.conftest import App
from tests.browser.rest import Rest

TICKETS = ROOT / "data" / "samples" / "support_tickets.csv"


@pytest.fixture(scope="module")
def tickets(rest: Rest) -> str:
    dataset = rest.upload(TICKETS, name="Support tickets")["id"]
    rest.get(f"/datasets/{dataset}/profile")
    return str(dataset)


def grid(app: App) -> Locator:
    return app.by_key("rows_grid")


def cells(app: App, column: int) -> list[str]:
    return grid(app).locator(f"tbody tr td:nth-child({column + 2})").all_inner_texts()


def names(app: App) -> list[str]:
    return grid(app).locator("thead .name").all_inner_texts()


def test_clicks_narrow_and_sort_and_a_link_reopens_the_view(app: App, tickets: str, tmp_path: Path) -> None:
    app.open(f"/dataset?id={tickets}")
    # the profile may still be on its way
    expect(grid(app).locator(".bar").first).to_be_visible()
    number = next(
        i
        for i, head in enumerate(grid(app).locator("thead th:not(.line)").all())
        if head.locator(".bar").count()
    )
    bars = grid(app).locator("thead th:not(.line)").nth(number).locator(".bar")
    bars.last.click()
    expect(app.by_key("drop_filter_0")).to_be_visible()
    expect(bars.last).to_have_attribute("aria-pressed", "true")
    grid(app).locator("thead .name").nth(number).click()
    expect(app.by_key("drop_sort")).to_be_visible()
    expect(grid(app).locator("thead th:not(.line)").nth(number)).to_have_attribute("aria-sort", "ascending")
    app.settled()
    expect(app.by_key("rows_foot")).to_contain_text("found among 500")
    shown = {name: cells(app, i) for i, name in enumerate(names(app))}
    assert shown["question"]

    app.page.reload()
    app.settled()
    expect(grid(app).locator("tbody tr")).to_have_count(len(shown["question"]))
    assert {name: cells(app, i) for i, name in enumerate(names(app))} == shown

    app.click("rows_download")
    with app.page.expect_download() as download:
        app.by_key("rows_download_csv").locator("a").click()
    download.value.save_as(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    key = names(app)[0]
    assert [row[key] for row in written][: len(shown[key])] == shown[key]
    app.page.keyboard.press("Escape")
    app.click("drop_all")
    expect(app.by_key("rows_foot")).to_contain_text("of 500")


@pytest.mark.long
def test_search_drawer_and_keys(app: App, tickets: str) -> None:
    app.open(f"/dataset?id={tickets}")
    entry = app.by_key("rows_q").locator("input")
    entry.fill("MOTORcycles")
    entry.press("Enter")
    expect(app.by_key("drop_search")).to_be_visible()
    app.settled()
    expect(grid(app).locator("mark").first).to_have_text("motorcycles")
    app.click("drop_search")
    expect(app.by_key("rows_foot")).to_contain_text("of 500")

    first = grid(app).locator("tbody td").first
    first.focus()
    app.page.keyboard.press("ArrowDown")
    app.page.keyboard.press("ArrowRight")
    expect(grid(app).locator("tbody tr:nth-child(2) td:nth-child(3)")).to_be_focused()
    app.page.keyboard.press("Enter")
    drawer = app.page.get_by_role("dialog")
    expect(drawer).to_contain_text("Row 2 · 2 of 500")
    app.page.keyboard.press("ArrowRight")
    expect(drawer).to_contain_text("Row 3 · 3 of 500")
    drawer.get_by_role("button", name="Copy as JSON").click()
    expect(drawer.locator(".said")).not_to_be_empty()
    app.settled().page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    expect(app.page).not_to_have_url(re.compile("row="))
