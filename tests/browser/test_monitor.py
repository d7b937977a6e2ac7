"""A training watched as people watch it: its curves, answers,
hardest rows and log, then compared with another, and the bell."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import SAMPLE, App
from tests.browser.rest import Rest
from tests.waiting import wait_until

PROMPTS = ["Which electric bikes does Velmora make?", "Where is the moon?"]
ROWS, STEPS = 40, 60


@pytest.fixture(scope="module")
def dataset_id(rest: Rest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A few dozen rows of the sample, and one that contradicts another: it stays hard."""
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()[:ROWS]
    path: Path = tmp_path_factory.mktemp("faq") / "helpdesk.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(rest.upload(path, name="Helpdesk FAQ")["id"])


def start(rest: Rest, dataset_id: str, name: str, **settings: object) -> str:
    given = {"n_epochs": 8, "batch_size": 4, "evaluate_every": 10, "samples_every": 20, "max_steps": STEPS}
    more = {"seed": 7, "validation_fraction": 0.15, "sample_prompts": PROMPTS}
    return rest.train(dataset_id, name, given | settings, **more)


def tab(app: App, name: str) -> App:
    app.by_key("job_tabs").get_by_role("tab", name=name, exact=True).click()
    return app.settled()


def drawn(app: App, key: str) -> Locator:
    """The picture of a chart, once it is there."""
    picture = app.by_key(key).locator("canvas, svg.marks").first
    expect(picture).to_be_visible()
    return picture


def test_a_training_is_watched_and_told(app: App, rest: Rest, dataset_id: str) -> None:
    job_id = start(rest, dataset_id, "helpdesk-slow")
    watch(app, rest, job_id)
    rest.finish(job_id)
    zoom(app, rest, job_id)
    hear_of_it(app, rest, job_id)


@pytest.mark.long
def test_a_trained_model_is_looked_into_and_compared(app: App, rest: Rest, dataset_id: str) -> None:
    """Its answers, hardest rows and log, and how it differs from another."""
    first = start(rest, dataset_id, "helpdesk-slow")
    second = start(rest, dataset_id, "helpdesk-fast", learning_rate=0.004, max_steps=10, samples_every=10)
    rest.finish(first)
    read_samples(app, rest, first)
    open_hardest_row(app, rest, first)
    search_log(app, rest, first)
    annotate(app, rest, first)
    rest.finish(second)
    compare(app, first, second)


def watch(app: App, rest: Rest, job_id: str) -> None:
    """The page moves by itself: nothing is reloaded from here to the end of the training."""
    app.open(f"/job?id={job_id}")
    rest.wait_for_job(job_id, lambda seen: seen["step"] >= 15, seconds=120)
    drawn(app, "job_loss")
    early = int(step_shown(app))
    wait_until(lambda: step_shown(app), lambda step: step > early)
    expect(app.by_key("job_cards")).to_contain_text("Time left")
    app.shoot_in("monitor-running", "desktop-light")


def step_shown(app: App) -> int:
    found = re.search(
        rf"Step ([\d,]+) / {STEPS}", app.page.locator('[data-testid="stProgress"]').first.inner_text()
    )
    return int(found.group(1).replace(",", "")) if found else 0


def zoom(app: App, rest: Rest, job_id: str) -> None:
    """By dragging over the curve, then by the slider's keys;
    the address holds it, and a new tab of it shows the same."""
    expect(app.by_key("job_chat")).to_be_visible()
    expect(app.by_key("job_cards")).to_contain_text("Took")
    picture = drawn(app, "job_loss")
    picture.evaluate("part => part.scrollIntoView({block: 'center'})")
    app.settled().still()
    box = picture.bounding_box()
    assert box
    left, right, y = (
        box["x"] + box["width"] * 0.35,
        box["x"] + box["width"] * 0.75,
        box["y"] + box["height"] * 0.5,
    )
    app.page.mouse.move(left, y)
    app.page.mouse.down()
    app.page.mouse.move((left + right) / 2, y, steps=4)
    app.page.mouse.move(right, y, steps=4)
    app.page.mouse.up()
    first, last = wait_until(lambda: steps_of(app), lambda steps: len(steps) == 2)
    assert 10 < first < last < STEPS, (first, last)
    thumbs = app.by_key(f"steps_{job_id}").get_by_role("slider")
    ends = wait_until(lambda: [int(thumbs.nth(i).input_value()) for i in (0, 1)], [first, last].__eq__)
    assert ends == [first, last]
    app.settled()
    thumbs.nth(0).focus()
    for _ in range(3):
        app.page.keyboard.press("ArrowRight")
    wait_until(lambda: steps_of(app), lambda steps: steps == [first + 3, last])
    within = rest.get(f"/finetune/{job_id}/metrics", from_step=first + 3, to_step=last)["series"][
        "train_loss"
    ]
    assert [within[0][0], within[-1][0]] == [first + 3, last]
    app.page.reload()
    app.settled()
    drawn(app, "job_loss")
    assert steps_of(app) == [first + 3, last]
    app.click("job_zoom_out")
    wait_until(lambda: steps_of(app), lambda steps: steps == [])
    app.settled()
    app.shoot_in("monitor-ended", "desktop-dark", "phone-light")


def steps_of(app: App) -> list[int]:
    found = app.page.evaluate("new URL(location.href).searchParams.getAll('steps')")
    return [int(float(step)) for step in found]


def read_samples(app: App, rest: Rest, job_id: str) -> None:
    """The same prompt at the first and the last step, beside each other."""
    app.open(f"/job?id={job_id}")
    tab(app, "Samples")
    told = rest.get(f"/finetune/{job_id}/samples", kind="fixed", limit=100)["items"]
    steps = sorted({sample["step"] for sample in told})
    assert len(steps) >= 2, steps
    assert {sample["prompt"] for sample in told} >= set(PROMPTS)
    card = app.by_key("sample_0")
    expect(card).to_contain_text(f"Step {steps[0]}")
    expect(card).to_contain_text(f"Step {steps[-1]}")
    columns = [card.get_by_text(f"Step {step}", exact=True).first for step in (steps[0], steps[-1])]
    early, late = wait_until(
        lambda: [column.bounding_box() or {"x": 0, "y": 0} for column in columns],
        lambda boxes: boxes[0]["y"] == pytest.approx(boxes[1]["y"], abs=2),  # side by side, once it is still
    )
    assert early["x"] < late["x"]
    app.shoot_in("monitor-samples", "desktop-light", "phone-dark", at="job_tabs")


def open_hardest_row(app: App, rest: Rest, job_id: str) -> None:
    tab(app, "Rows")
    hardest = rest.get(f"/finetune/{job_id}/rows")["items"]
    assert [row["loss"] for row in hardest] == sorted((row["loss"] for row in hardest), reverse=True)
    line = hardest[0]["line"]
    card = app.by_key(f"hard_row_{line}")
    expect(card).to_contain_text(f"{hardest[0]['loss']:.3f}")
    app.shoot_in("monitor-rows", "desktop-dark", "phone-light", at="job_tabs")
    card.get_by_role("link", name=re.compile(rf"Row {line}\b")).click()
    app.reaches(rf"/dataset\?.*row={line}\b")
    question = json.loads(SAMPLE.read_text(encoding="utf-8").splitlines()[line - 1])["messages"][0]["content"]
    app.sees(question).shoot("monitor-row-in-dataset")


def search_log(app: App, rest: Rest, job_id: str) -> None:
    app.open(f"/job?id={job_id}")
    tab(app, "Log").fill("job_log_search", "STEP").settled()
    marks = app.by_key("job_log").locator("mark")
    expect(marks.first).to_have_text(re.compile("step", re.IGNORECASE))
    lines = rest.http.get(f"/api/finetune/{job_id}/logs", params={"q": "STEP"}).text.splitlines()
    app.sees(re.compile(rf"^{len(lines)} lines? of \d+"))
    app.shoot_in("monitor-log", "desktop-dark", "phone-light", at="job_tabs")
    app.fill("job_log_search", "no line holds this").sees(re.compile(r"No line of \d+ holds that"))
    for name in ("Events", "Settings"):
        tab(app, name)
        app.shoot_in(f"monitor-{name.lower()}", "phone-dark", at="job_tabs")


def annotate(app: App, rest: Rest, job_id: str) -> None:
    app.by_key("job_notes_open").locator("button").first.click()
    entry = app.by_key("job_tags").locator("input").first
    entry.fill("baseline")
    entry.press("Enter")
    app.fill("job_notes_field", "The first try.\nKeep it.")
    app.click("job_notes_save").settled()
    wait_until(lambda: rest.get(f"/finetune/{job_id}")["tags"], lambda tags: tags == ["baseline"])
    app.open(f"/job?id={job_id}")
    expect(app.by_key("job_notes")).to_contain_text("baseline")
    expect(app.by_key("job_notes_text")).to_contain_text("Keep it.")
    app.shoot("monitor-notes")


def compare(app: App, first: str, second: str) -> None:
    """From the job's page: the other run is picked there, and the address names both."""
    app.by_key("job_tools").get_by_role("link", name="Compare with").click()
    app.reaches(rf"/compare\?.*ids={first}").choose("compare_runs", "helpdesk-fast")
    app.reaches(rf"ids={first}(%2C|,){second}")
    app.page.keyboard.press("Escape")
    drawn(app, "compare_chart_box")
    settings = app.by_key("compare_settings_box")
    expect(settings).to_contain_text("Learning rate")
    expect(settings).to_contain_text("0.004")
    expect(settings).not_to_contain_text("Batch size")
    expect(app.by_key("compare_outcomes_box")).to_contain_text("helpdesk-slow")
    app.shoot_in("monitor-compare", "desktop-dark", "phone-light")
    app.by_key("compare_axis").get_by_text("Tokens", exact=True).click()
    app.reaches(r"compare_axis=Tokens")
    drawn(app, "compare_chart_box")


def hear_of_it(app: App, rest: Rest, job_id: str) -> None:
    bell = app.by_key("bell")
    expect(bell).to_contain_text("Alerts (1)")
    bell.get_by_role("link").click()
    app.reaches(r"/alerts")
    told = rest.get("/alerts")["items"]
    assert [(alert["job_id"], alert["kind"]) for alert in told] == [(job_id, "finished")]
    app.shoot_in("monitor-alerts", "desktop-light", "phone-dark")
    app.by_key(f"alert_{told[0]['id']}").get_by_role("link", name="helpdesk-slow").click()
    app.reaches(rf"/job\?.*id={job_id}").sees("The model is ready").shoot("monitor-from-the-bell")
    app.open("/alerts").click(f"seen_{told[0]['id']}").settled()
    expect(bell).not_to_contain_text("Alerts (")
