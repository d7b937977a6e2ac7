"""A tuned model leaves: trained through the API, exported in the browser,
checked, downloaded, and read by plain transformers."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from core.config import ROOT
from tests.browser.conftest import App, Server, register, sign_in, window
from tests.browser.rest import Rest
from tests.waiting import wait_until

SAMPLE = ROOT / "data" / "samples" / "support_faq.jsonl"
MAKING_SECONDS = 120
ROWS = 12


@pytest.fixture(scope="module")
def user(chromium: Browser, server: Server) -> Iterator[App]:
    with window(chromium, server) as app:
        yield register(app, "ada@example.com")


@pytest.fixture(scope="module")
def rest(user: App, server: Server) -> Rest:
    return Rest(server.url, "ada@example.com", register=False)


@pytest.fixture(scope="module")
def model_id(rest: Rest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A LoRA over the starter that knows its few rows by heart: where two words are about equally likely, 16
    bits may well choose the other one, and such an export is not offered."""
    few: Path = tmp_path_factory.mktemp("faq") / "faq.jsonl"
    few.write_text("\n".join(SAMPLE.read_text(encoding="utf-8").splitlines()[:ROWS]) + "\n", encoding="utf-8")
    data = rest.upload(few)
    settings = {"n_epochs": 40, "batch_size": 4, "learning_rate": 0.005, "tuning": "lora", "lora_rank": 8}
    asked = {
        "base_model_id": rest.starter()["id"],
        "dataset_id": data["id"],
        "name": "support-bot",
        "hyperparameters": settings,
    }
    job = rest.post("/finetune", asked | {"seed": 7})
    done = rest.wait_for_job(job["id"], lambda p: p["status"] in ("succeeded", "failed"), seconds=240)
    assert done["status"] == "succeeded", rest.get(f"/finetune/{job['id']}")["error"]
    return str(rest.get(f"/finetune/{job['id']}")["model_id"])


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


@pytest.mark.timeout(600)
def test_a_tuned_model_is_exported_checked_and_downloaded(
    user: App, rest: Rest, model_id: str, tmp_path: Path
) -> None:
    user.open(f"/model?id={model_id}&view=export")
    user.sees("Nothing exported yet")
    expect(user.by_key("export_gguf-f16").get_by_text("Export")).to_be_visible()
    user.shoot("exports-cards")
    user.click("export_gguf-f16")
    user.sees(re.compile("Waiting for its turn|Loading the version"))
    user.shoot("exports-making")
    user.click("export_merged")
    expect(user.page.get_by_text("float32; ")).to_be_visible()
    user.shoot("exports-dialog")
    user.click("export_submit")
    merged, gguf = made(rest, model_id, "merged"), made(rest, model_id, "gguf-f16")
    assert (merged["num_same"], gguf["num_same"]) == (10, 10)
    user.sees(re.compile("10 of 10 answers the same"))  # by itself: the page was not touched
    expect(user.by_key(f"export_row_{merged['id']}").get_by_text("Ready")).to_be_visible(timeout=20_000)
    user.by_key(f"export_checks_{gguf['id']}").locator("summary").click()
    user.by_key(f"export_use_{gguf['id']}").locator("summary").click()
    user.page.get_by_role("tab", name="Ollama").first.click()
    user.sees(re.compile("ollama create support-bot"))
    user.by_key(f"export_row_{gguf['id']}").scroll_into_view_if_needed()
    user.settled().shoot("exports-ready")
    user.page.get_by_role("tab", name="Versions").click()
    user.page.get_by_text("How it was made").first.click()
    user.sees("Tokens trained").settled().shoot("exports-facts")
    user.page.get_by_role("tab", name="Export").click()
    file = download(user, gguf, tmp_path)
    assert file.read_bytes()[:4] == b"GGUF"
    with zipfile.ZipFile(download(user, merged, tmp_path)) as archive:
        assert archive.testzip() is None
        names = {Path(name).name for name in archive.namelist()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja", "README.md"} <= names


@pytest.mark.timeout(300)
def test_on_a_phone_in_the_dark(chromium: Browser, server: Server, rest: Rest, model_id: str) -> None:
    with window(chromium, server, phone=True, dark=True) as app:
        sign_in(app, "ada@example.com")
        app.open(f"/model?id={model_id}&view=export")
        app.sees("Merged weights").shoot("exports-phone-cards")
        app.by_key("export_card_hub").scroll_into_view_if_needed()
        app.click("export_hub")
        app.sees("Only then they leave this server").settled().shoot("exports-phone-push")
        app.page.keyboard.press("Escape")
        app.page.get_by_text("How to load it").last.scroll_into_view_if_needed()
        app.settled().shoot("exports-phone-list")
        assert app.page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"), (
            "the page scrolls sideways"
        )
        app.open(f"/model?id={model_id}")
        app.sees("Version 1")
        app.page.get_by_text("How it was made").first.click()
        app.sees("Tokens trained").settled().shoot("exports-phone-facts")


@pytest.mark.timeout(120)
def test_delete_asks_first(user: App, rest: Rest, model_id: str) -> None:
    export = rest.post(f"/models/{model_id}/exports", {"kind": "adapter"})
    made(rest, model_id, "adapter")
    user.open(f"/model?id={model_id}&view=export")
    user.click(f"export_delete_{export['id']}")
    user.sees(re.compile("can be made again")).shoot("exports-delete")
    user.click(f"export_delete_{export['id']}_yes")
    wait_until(
        lambda: rest.get(f"/models/{model_id}/exports")["items"], lambda found: export["id"] not in str(found)
    )
