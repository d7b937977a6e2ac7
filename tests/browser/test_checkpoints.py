"""Checkpoints in Chromium: keep, promote, delete, chat with and evaluate one; and the run taken along.

A real, short training.
"""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import SAMPLE, App
from tests.browser.rest import Rest
from tests.waiting import wait_until

SHORT = {"n_epochs": 10, "max_steps": 30, "batch_size": 4, "evaluate_every": 10, "keep": "best"}
ROWS = 30
ROW_HEIGHT = 35  # pixels


@pytest.fixture(scope="module")
def job(rest: Rest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished run with at least two checkpoints."""
    few: Path = tmp_path_factory.mktemp("faq") / "faq.jsonl"
    few.write_text("\n".join(SAMPLE.read_text(encoding="utf-8").splitlines()[:ROWS]) + "\n", encoding="utf-8")
    dataset = rest.upload(few)["id"]
    done = rest.finish(rest.train(dataset, "support-bot", SHORT, validation_fraction=0.2, seed=1))
    assert len(steps_of(rest, done["id"])) >= 2
    return done


def steps_of(rest: Rest, job_id: str) -> list[int]:
    """Newest first."""
    return [c["step"] for c in rest.get(f"/finetune/{job_id}/checkpoints", sort="-step")["items"]]


def more(app: App, action: str) -> App:
    app.by_key("checkpoint_more").locator("button").first.click()
    app.page.get_by_role("menuitem", name=re.compile(rf"{action}$")).click()
    return app.settled()


def choose_row(app: App, number: int) -> App:
    """Press the box before a row of the table, which is drawn on a canvas."""
    table = app.by_key("job_checkpoint_table").locator("canvas").first
    table.click(position={"x": 14, "y": ROW_HEIGHT * (number + 1) + ROW_HEIGHT // 2}, force=True)
    return app.settled()


@pytest.mark.long
def test_what_can_be_done_with_a_checkpoint(app: App, rest: Rest, job: Any) -> None:
    newest, older = steps_of(rest, job["id"])[:2]
    app.open(f"/job?id={job['id']}").sees(f"Step {newest}")
    choose_row(app, 1).sees(f"Step {older}")
    more(app, "Keep")
    wait_until(lambda: rest.get(f"/finetune/{job['id']}/checkpoints/{older}"), lambda c: c["pinned"])
    app.shoot("checkpoints-kept")

    more(app, "Promote").sees("Promote to the registry")
    app.shoot("checkpoints-promote")
    app.fill("checkpoint_name", "early-bot")
    app.click("checkpoint_promote")
    app.sees(re.compile("early-bot, version 1"))

    more(app, "Delete").sees("Delete this checkpoint?")
    app.click("checkpoint_delete_yes")
    wait_until(lambda: steps_of(rest, job["id"]), lambda steps: older not in steps)
    app.settled().shoot("checkpoints-deleted")
    made = next(m for m in rest.get("/models")["items"] if m["name"] == "early-bot")
    assert rest.get(f"/models/{made['id']}/versions")["items"][0]["settings"]["checkpoint_step"] == older


@pytest.mark.long
def test_a_checkpoint_is_evaluated_and_answers_in_the_chat(app: App, rest: Rest, job: Any) -> None:
    """An evaluation gives way to everything else: on a busy machine it takes minutes."""
    newest = steps_of(rest, job["id"])[0]
    app.open(f"/job?id={job['id']}").sees(f"Step {newest}")
    more(app, "Evaluate").sees("Evaluate on rows")
    app.shoot("checkpoints-evaluate")
    app.click("checkpoint_evaluate")
    app.sees(re.compile("of tokens right"), timeout=400)
    app.sees(re.compile("kept for validation"))
    app.shoot("checkpoints-evaluated")

    app.click("checkpoint_chat")
    app.reaches(rf"/chat\?.*model={job['id']}")
    app.sees(re.compile(rf"support-bot:step-{newest}"))
    app.by_key("chat_input").locator("textarea").fill("How do I reset my password?")
    app.by_key("chat_input").locator("textarea").press("Enter")
    expect(app.page.get_by_test_id("stChatMessage")).to_have_count(2)
    expect(app.by_key("chat_regenerate")).to_be_visible()
    app.shoot("checkpoints-chat")
    assert rest.get("/chats")["items"][0]["model_id"] == f"{job['id']}:step-{newest}"


@pytest.mark.long
def test_a_run_is_taken_along_also_by_phone(app: App, job: Any) -> None:
    app.show("phone-light").open(f"/job?id={job['id']}")
    app.by_key("checkpoint_actions").scroll_into_view_if_needed()
    app.settled().fits("job").shoot("checkpoints-phone")
    app.by_key("job_reports").scroll_into_view_if_needed()
    app.by_key("job_reports").locator("button").first.click()
    app.sees("Plain files").shoot("checkpoints-export-phone")
    app.show("desktop-light").open(f"/job?id={job['id']}")
    app.by_key("job_reports").locator("button").first.click()
    app.sees("Configuration, curves, samples")
    app.shoot("checkpoints-export")
    link = app.by_key("job_report_ipynb").locator("a").first.get_attribute("href")
    answer = app.page.request.get(f"{app.server.url}{link}")
    assert answer.status == 200
    book = nbformat.reads(answer.text(), as_version=4)
    nbformat.validate(book)
    assert any(
        "image/svg+xml" in output.get("data", {}) for cell in book.cells for output in cell.get("outputs", [])
    )
