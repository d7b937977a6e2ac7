"""The SQL page in a real browser: writing with the list of tables,
mistakes marked, the plan drawn, a long query stopped."""

from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from core.config import ROOT
from tests.browser.conftest import App
from tests.browser.rest import Rest

ENDLESS = "SELECT count(*) FROM range(100000000000) a WHERE hash(a.range) % 7 = 1"
EDITOR = ".st-key-sql_editor textarea"


@pytest.fixture(scope="module", autouse=True)
def tickets(rest: Rest) -> None:
    rest.upload(ROOT / "data" / "samples" / "support_tickets.csv", name="Support tickets")


def test_names_are_written_at_the_caret_and_mistakes_are_marked(app: App) -> None:
    page = app.open("/sql").page
    editor, tables = page.locator(EDITOR), page.locator(".st-key-sql_tables")
    editor.fill("SELECT nope FROM ")
    tables.locator("summary .title").first.wait_for()
    name = tables.locator("summary .title").first.inner_text()
    tables.get_by_role("button", name="Insert").first.click()
    expect(editor).to_have_value(f"SELECT nope FROM {name}")
    editor.press("Control+Enter")
    app.sees("Unknown column")
    expect(page.locator(".st-key-sql_editor .wrong")).to_have_text("nope")
    column = tables.locator(".column .name").first.text_content()
    editor.evaluate("text => text.setSelectionRange(7, 11)")
    tables.locator(".column").first.click()
    expect(editor).to_have_value(f"SELECT {column} FROM {name}")
    editor.press("Control+Enter")
    page.locator(".st-key-sql_facts").wait_for()
    assert quote(f"SELECT {column} FROM ", safe="") in page.url.replace("+", "%20")


@pytest.mark.long
def test_the_plan_is_drawn(app: App) -> None:
    page = app.open("/sql").page
    tables = page.locator(".st-key-sql_tables")
    tables.locator("summary .title").first.wait_for()
    name, column = (
        tables.locator("summary .title").first.text_content(),
        tables.locator(".column .name").first.text_content(),
    )
    app.open(f"/sql?answer=Plan&sql={quote(f'SELECT count(*) FROM {name} a JOIN {name} b USING ({column})')}")
    steps = page.locator(".st-key-sql_plan .step")
    steps.first.wait_for()
    assert steps.get_by_text("Table scan").count() >= 2
    assert page.locator(".st-key-sql_plan .bar").count() == steps.count()


def test_a_long_query_can_be_stopped_and_the_page_stays_alive(app: App) -> None:
    page = app.open(f"/sql?sql={quote(ENDLESS)}").page
    page.locator(".st-key-sql_running").wait_for()
    app.sees("Running")
    page.locator(EDITOR).fill("SELECT 42 AS answer")
    app.click("sql_running_stop")
    app.sees("The query was stopped.")
    expect(page.locator(EDITOR)).to_have_value("SELECT 42 AS answer")
    page.locator(EDITOR).press("Control+Enter")
    app.sees("1 row")
    app.shoot("sql-after-stop")
