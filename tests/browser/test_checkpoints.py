"""Checkpoints in Chromium: chat with one, keep, evaluate, promote and delete; and the run taken along.

A real, short training.
"""

import re
from collections.abc import Iterator
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Browser, expect

from core.config import ROOT
from tests.browser.conftest import DESKTOP, PHONE, App, Server, register, window
from tests.browser.rest import Rest
from tests.waiting import wait_until

SAMPLE = ROOT / "data" / "samples" / "support_faq.jsonl"
SHORT = {"n_epochs": 10, "max_steps": 60, "evaluate_every": 15, "keep": "best", "tuning": "full"}
ROW_HEIGHT = 35


@pytest.fixture(scope="module")
def user(chromium: Browser, server: Server) -> Iterator[App]:
    with window(chromium, server) as app:
        register(app, "ada@example.com")
        yield app


@pytest.fixture(scope="module")
def rest(user: App, server: Server) -> Rest:
    return Rest(server.url, "ada@example.com", register=False)


@pytest.fixture(scope="module")
def dataset(rest: Rest) -> Any:
    made = rest.upload(SAMPLE)
    return wait_until(
        lambda: rest.get(f"/datasets/{made['id']}"), lambda d: d["status"] == "ready", seconds=60
    )


@pytest.fixture(scope="module")
def job(rest: Rest, dataset: Any) -> Any:
    """A finished run with at least two checkpoints."""
    body = {
        "base_model_id": rest.starter()["id"],
        "dataset_id": dataset["id"],
        "name": "support-bot",
        "hyperparameters": SHORT,
    }
    made = rest.post("/finetune", {**body, "validation_fraction": 0.2, "seed": 1})
    done = rest.wait_for_job(made["id"], lambda p: p["status"] in ("succeeded", "failed"), seconds=240)
    assert done["status"] == "succeeded", rest.get(f"/finetune/{made['id']}")["error"]
    assert len(steps_of(rest, made["id"])) >= 2
    return rest.get(f"/finetune/{made['id']}")


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


@pytest.mark.timeout(400)
def test_what_can_be_done_with_a_checkpoint(user: App, rest: Rest, job: Any) -> None:
    newest, older = steps_of(rest, job["id"])[:2]
    user.open(f"/job?id={job['id']}").sees(f"Step {newest}")
    choose_row(user, 1).sees(f"Step {older}")
    more(user, "Keep")
    wait_until(lambda: rest.get(f"/finetune/{job['id']}/checkpoints/{older}"), lambda c: c["pinned"])
    user.shoot("checkpoints-kept")

    more(user, "Promote").sees("Promote to the registry")
    user.shoot("checkpoints-promote")
    user.fill("checkpoint_name", "early-bot")
    user.click("checkpoint_promote")
    user.sees(re.compile("early-bot, version 1"), timeout=20)

    more(user, "Delete").sees("Delete this checkpoint?")
    user.click("checkpoint_delete_yes")
    wait_until(lambda: steps_of(rest, job["id"]), lambda steps: older not in steps)
    user.settled().shoot("checkpoints-deleted")
    made = next(m for m in rest.get("/models")["items"] if m["name"] == "early-bot")
    assert rest.get(f"/models/{made['id']}/versions")["items"][0]["settings"]["checkpoint_step"] == older


@pytest.mark.timeout(200)
def test_a_checkpoint_answers_in_the_chat(user: App, rest: Rest, job: Any) -> None:
    newest = steps_of(rest, job["id"])[0]
    user.open(f"/job?id={job['id']}").sees(f"Step {newest}")
    user.click("checkpoint_chat")
    user.reaches(rf"/chat\?.*model={job['id']}")
    user.sees(re.compile(rf"support-bot:step-{newest}"))
    user.by_key("chat_input").locator("textarea").fill("How do I reset my password?")
    user.by_key("chat_input").locator("textarea").press("Enter")
    expect(user.page.get_by_test_id("stChatMessage")).to_have_count(2, timeout=60_000)
    expect(user.by_key("chat_regenerate")).to_be_visible(timeout=60_000)
    user.shoot("checkpoints-chat")
    assert rest.get("/chats")["items"][0]["model_id"] == f"{job['id']}:step-{newest}"


@pytest.mark.timeout(200)
def test_a_checkpoint_answers_while_its_job_still_trains(rest: Rest, dataset: Any, job: Any) -> None:
    settings = {**SHORT, "n_epochs": 50, "max_steps": 100_000, "evaluate_every": 10}
    body = {
        "base_model_id": rest.starter()["id"],
        "dataset_id": dataset["id"],
        "name": "long",
        "hyperparameters": settings,
    }
    running = rest.post("/finetune", {**body, "validation_fraction": 0.2})
    step = wait_until(lambda: steps_of(rest, running["id"]), bool, seconds=90)[0]
    rest.post(f"/finetune/{running['id']}/checkpoints/{step}/pin")
    chat = rest.post("/chats", {"model_id": f"{running['id']}:step-{step}"})
    sent = rest.post("/messages", {"chat_id": chat["id"], "content": "Hello!"})
    assert sent["reply"]["model_id"] == f"{running['id']}:step-{step}"
    assert sent["reply"]["usage"]["completion_tokens"] > 0
    assert rest.get(f"/finetune/{running['id']}")["status"] == "running"
    rest.post(f"/finetune/{running['id']}/cancel")


@pytest.mark.timeout(100)
def test_a_run_is_taken_along(user: App, server: Server, job: Any) -> None:
    user.open(f"/job?id={job['id']}")
    user.by_key("job_reports").locator("button").first.click()
    user.sees("Configuration, curves, samples")
    user.shoot("checkpoints-export")
    link = user.by_key("job_report_ipynb").locator("a").first.get_attribute("href")
    answer = user.page.request.get(f"{server.url}{link}")
    assert answer.status == 200
    book = nbformat.reads(answer.text(), as_version=4)
    nbformat.validate(book)
    assert any(
        "image/svg+xml" in output.get("data", {}) for cell in book.cells for output in cell.get("outputs", [])
    )


@pytest.mark.timeout(100)
def test_the_page_on_a_phone(user: App, job: Any) -> None:
    user.page.set_viewport_size(PHONE)
    user.open(f"/job?id={job['id']}")
    user.by_key("checkpoint_actions").scroll_into_view_if_needed()
    user.settled().shoot("checkpoints-phone")
    width = user.page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"]
    user.by_key("job_reports").scroll_into_view_if_needed()
    user.by_key("job_reports").locator("button").first.click()
    user.sees("Plain files").shoot("checkpoints-export-phone")


@pytest.mark.timeout(500)
def test_a_checkpoint_is_evaluated(user: App, job: Any) -> None:
    """Last, because it gives way to everything else: on a busy machine it takes minutes."""
    user.page.set_viewport_size(DESKTOP)
    more(user.open(f"/job?id={job['id']}"), "Evaluate").sees("Evaluate on rows")
    user.shoot("checkpoints-evaluate")
    user.click("checkpoint_evaluate")
    user.sees(re.compile("of tokens right"), timeout=400)
    user.sees(re.compile("kept for validation"))
    user.shoot("checkpoints-evaluated")
