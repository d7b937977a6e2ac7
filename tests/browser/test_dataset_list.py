"""The list of datasets and the Training view in a real browser:
headers, keyboard, the way back, cards on a phone."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import App
from tests.browser.rest import Rest

FILES = {
    "faq.jsonl": '{"prompt": "how", "completion": "so"}\n{"prompt": "who", "completion": ""}\n',
    "www.example.com.csv": "x,y,z\n" + "1,2,3\n" * 9,
    "notes.jsonl": '{"text": "one"}\n{"text": "two"}\n{"text": "three"}\n',
}


@pytest.fixture(scope="module", autouse=True)
def stocked(rest: Rest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Three datasets, brought in over the API."""
    folder: Path = tmp_path_factory.mktemp("files")
    for name, text in FILES.items():
        (folder / name).write_text(text)
        rest.upload(folder / name)


def names(app: App) -> list[str]:
    app.page.locator(".st-key-datasets_table tbody a").first.wait_for()
    return app.page.locator(".st-key-datasets_table tbody a").all_inner_texts()


def test_headers_sort_enter_opens_and_back_comes_back(app: App) -> None:
    app.open("/datasets")
    assert names(app) == ["notes", "www.example.com", "faq"]
    first = app.page.locator(".st-key-datasets_table tbody a").first
    app.page.locator(".st-key-datasets_table th button", has_text="Rows").click()
    expect(first).to_have_text("www.example.com")
    app.page.wait_for_url("**/datasets?datasets_sort=-num_rows")
    first.focus()
    app.page.keyboard.press("ArrowDown")
    app.page.keyboard.press("ArrowDown")
    app.page.keyboard.press("Enter")
    app.page.wait_for_url("**/dataset?id=ds_*")
    expect(app.page.get_by_role("heading", name="faq")).to_be_visible()
    app.page.go_back()
    app.page.wait_for_url("**/datasets?datasets_sort=-num_rows")
    expect(first).to_have_text("www.example.com")
    app.page.locator(".st-key-datasets_table tbody tr").first.locator("td").nth(3).click()
    expect(app.page.get_by_role("heading", name="www.example.com")).to_be_visible()
    assert app.page.get_by_role("link", name="www.example.com").count() == 0


def test_phone_has_cards_and_training_errors_open_their_row(app: App) -> None:
    app.show("phone-dark").open("/datasets")
    assert len(names(app)) == 3
    assert app.page.locator(".st-key-datasets_table thead").is_hidden()
    app.fits("datasets")
    app.page.locator(".st-key-datasets_table select").select_option("name")
    expect(app.page.locator(".st-key-datasets_table tbody a").first).to_have_text("faq")
    app.page.locator(".st-key-datasets_table tbody a").first.click()
    app.page.get_by_role("tab", name="Training view").click()
    app.sees("1 row cannot be learned").click("training_error_row_0")
    app.page.wait_for_url("**row=2**")
    app.sees("who")
    app.shoot("training-row-phone")
