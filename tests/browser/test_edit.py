"""The table editor in a real browser: whatever is typed is there, however fast the next click comes."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import App
from tests.browser.rest import Rest
from tests.browser.table_editor import open_editor, place, table, texts, type_text, upload_words
from tests.waiting import wait_until

# The table takes them a moment after a click
KEYS_GO_TO_THE_TABLE = "Boolean(document.activeElement?.closest('.st-key-edit_box'))"


@pytest.fixture
def words(rest: Rest, tmp_path: Path) -> str:
    return upload_words(rest, tmp_path)


def turn_to(app: App, page: int) -> None:
    app.by_key("edit_page").get_by_text(str(page), exact=True).click()


def test_what_is_typed_survives_turning_leaving_and_saving(app: App, rest: Rest, words: str) -> None:
    open_editor(app, words)
    type_text(app, 2, "typed at once")
    type_text(app, 4, "left open", key=None)
    turn_to(app, 3)
    expect(app.by_key("edit_saving")).to_contain_text("2 cells changed")
    app.settled()

    type_text(app, 3, "before a link")
    app.page.get_by_role("link", name="Words").click()
    app.reaches(r"/dataset\?")
    app.click("versions_edit")
    expect(app.by_key("edit_saving")).to_contain_text("3 cells changed")
    expect(table(app)).to_be_visible()
    app.settled()

    app.page.mouse.click(*place(app, 5, 0.01))
    expect(
        app.by_key("edit_box").get_by_role("button", name="Delete row(s)")
    ).to_be_visible()  # the row is chosen
    wait_until(lambda: app.page.evaluate(KEYS_GO_TO_THE_TABLE))
    app.page.keyboard.press("Delete")
    app.fill("edit_search", "word 120")
    expect(app.by_key("edit_saving")).to_contain_text("3 cells changed, 1 row deleted")
    expect(app.by_key("edit_page")).to_have_count(0)
    app.settled()
    app.page.mouse.move(*place(app, 1, 0.5))
    app.by_key("edit_box").get_by_role("button", name="Add row").click()
    type_text(app, 2, "a new row")
    app.fill("edit_search", "")
    expect(app.by_key("edit_saving")).to_contain_text("1 row added")
    expect(app.by_key("edit_page")).to_be_visible()
    app.settled()
    type_text(app, 6, "open while saving", key=None)
    app.by_key("edit_note").locator("input").fill("mended")
    app.click("edit_save")
    app.reaches(r"/dataset\?.*view=Versions")
    saved = rest.get(f"/datasets/{words}/versions")["items"][0]
    assert (saved["version"], saved["note"], saved["origin"]) == (2, "mended", "edit")
    typed = {2: "typed at once", 4: "left open", 6: "open while saving", 103: "before a link"}
    wanted = [typed.get(n, f"word {n}") for n in range(1, 121) if n != 105] + ["a new row"]
    assert [pair for pair in zip(texts(rest, words), wanted, strict=True) if pair[0] != pair[1]] == []
