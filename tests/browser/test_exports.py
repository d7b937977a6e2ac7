"""A tuned model leaves: trained through the API, exported in the browser,
checked, downloaded, and read by plain transformers."""

import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import App, Tuned
from tests.browser.rest import Rest
from tests.waiting import wait_until

MAKING_SECONDS = 400  # on a busy machine


@pytest.fixture(scope="module")
def rest(ada: Rest) -> Rest:
    return ada


@pytest.fixture(scope="module")
def model_id(tuned: Tuned) -> str:
    return tuned.model


def made(rest: Rest, model_id: str, kind: str) -> dict:
    """The export as soon as it is over; it must be ready."""

    def look() -> dict:
        return next(
            (e for e in rest.get(f"/models/{model_id}/exports")["items"] if e["kind"] == kind),
            {"status": "none"},
        )

    export = wait_until(look, lambda e: e["status"] in ("ready", "failed"), seconds=MAKING_SECONDS)
    assert export["status"] == "ready", export
    return export


def download(app: App, export: dict, to: Path) -> Path:
    with app.page.expect_download() as waiting:
        app.click(f"export_download_{export['id']}")
    path = to / waiting.value.suggested_filename
    waiting.value.save_as(path)
    assert path.name == export["filename"]
    assert path.stat().st_size == export["size_bytes"]
    return path


@pytest.mark.long
def test_a_tuned_model_is_exported_checked_and_downloaded(
    app: App, rest: Rest, model_id: str, tmp_path: Path
) -> None:
    app.open(f"/model?id={model_id}&view=export")
    app.sees("Nothing exported yet")
    expect(app.by_key("export_gguf-f16").get_by_text("Export")).to_be_visible()
    app.shoot("exports-cards")
    app.click("export_gguf-f16")
    app.sees(re.compile("Waiting for its turn|Loading the version"))
    app.shoot("exports-making")
    app.click("export_merged")
    expect(app.page.get_by_text("float32; ")).to_be_visible()
    app.shoot("exports-dialog")
    app.click("export_submit")
    merged, gguf = made(rest, model_id, "merged"), made(rest, model_id, "gguf-f16")
    assert (merged["num_same"], gguf["num_same"]) == (10, 10)
    app.sees(re.compile("10 of 10 answers the same"))  # by itself: the page was not touched
    expect(app.by_key(f"export_row_{merged['id']}").get_by_text("Ready")).to_be_visible()
    app.by_key(f"export_checks_{gguf['id']}").locator("summary").click()
    app.by_key(f"export_use_{gguf['id']}").locator("summary").click()
    app.page.get_by_role("tab", name="Ollama").first.click()
    app.sees(re.compile("ollama create helpdesk-bot"))
    app.by_key(f"export_row_{gguf['id']}").scroll_into_view_if_needed()
    app.settled().shoot("exports-ready")
    app.page.get_by_role("tab", name="Versions").click()
    app.page.get_by_text("How it was made").first.click()
    app.sees("Tokens trained").settled().shoot("exports-facts")
    app.page.get_by_role("tab", name="Export").click()
    file = download(app, gguf, tmp_path)
    assert file.read_bytes()[:4] == b"GGUF"
    with zipfile.ZipFile(download(app, merged, tmp_path)) as archive:
        assert archive.testzip() is None
        names = {Path(name).name for name in archive.namelist()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja", "README.md"} <= names

    delete(app, rest, model_id, gguf)
    look_on_a_phone(app, model_id)


def delete(app: App, rest: Rest, model_id: str, export: dict) -> None:
    """It asks first."""
    app.click(f"export_delete_{export['id']}")
    app.sees(re.compile("can be made again")).shoot("exports-delete")
    app.click(f"export_delete_{export['id']}_yes")
    wait_until(
        lambda: rest.get(f"/models/{model_id}/exports")["items"], lambda left: export["id"] not in str(left)
    )


def look_on_a_phone(app: App, model_id: str) -> None:
    app.show("phone-dark").open(f"/model?id={model_id}&view=export")
    app.sees("Merged weights").shoot("exports-phone-cards")
    app.by_key("export_card_hub").scroll_into_view_if_needed()
    app.click("export_hub")
    app.sees("Only then they leave this server").settled().shoot("exports-phone-push")
    app.page.keyboard.press("Escape")
    app.page.get_by_text("How to load it").last.scroll_into_view_if_needed()
    app.settled().fits("exports").shoot("exports-phone-list")
    app.open(f"/model?id={model_id}").sees("Version 1")
    app.page.get_by_text("How it was made").first.click()
    app.sees("Tokens trained").settled().shoot("exports-phone-facts")
