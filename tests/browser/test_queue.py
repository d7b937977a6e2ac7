"""The queue and a sweep as people use them:
jobs put in another order, one run again, a sweep's jobs compared in a plot."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import SAMPLE, App
from tests.browser.rest import Rest
from tests.waiting import wait_until

LOOKS = ("desktop-light", "phone-dark")


@pytest.fixture(scope="module")
def dataset_id(rest: Rest) -> str:
    return str(rest.upload(SAMPLE, name="Helpdesk FAQ")["id"])


def start(rest: Rest, dataset_id: str, name: str) -> str:
    """A training that takes much longer than a test waits for anything."""
    return rest.train(dataset_id, name, {"n_epochs": 50, "batch_size": 1})


def order(rest: Rest) -> list[str]:
    return [item["name"] for item in rest.get("/finetune/queue")["items"]]


def shown(app: App) -> list[str]:
    return [
        text.split()[-1]
        for text in app.by_key("queue").locator('[data-testid="stPageLink"]').all_inner_texts()
    ]


def test_waiting_jobs_are_put_in_order_and_one_is_run_again(app: App, rest: Rest, dataset_id: str) -> None:
    running = start(rest, dataset_id, "runs-first")
    rest.wait_for_job(running, lambda progress: progress["step"] > 5)
    ids = {name: start(rest, dataset_id, name) for name in ("first-idea", "second-idea", "third-idea")}
    app.open("/fine_tuning").sees("1 of 1 place taken").sees("starts in about")
    app.click(f"queue_up_{ids['third-idea']}")
    wait_until(lambda: order(rest), lambda seen: seen == ["first-idea", "third-idea", "second-idea"])
    wait_until(lambda: shown(app), lambda seen: seen == ["first-idea", "third-idea", "second-idea"])
    app.click(f"queue_priority_{ids['second-idea']}")
    ids["fourth-idea"] = start(rest, dataset_id, "fourth-idea")
    wait_until(lambda: shown(app), lambda seen: seen[-1] == "fourth-idea")  # drawn again: the menu stays open
    app.page.get_by_text("High", exact=True).filter(visible=True).first.click()
    wanted = ["second-idea", "first-idea", "third-idea", "fourth-idea"]
    wait_until(lambda: order(rest), lambda seen: seen == wanted)
    assert [item["priority"] for item in rest.get("/finetune/queue")["items"]] == [1, 0, 0, 0]
    expect(app.by_key(f"queue_up_{ids['second-idea']}").locator("button").first).to_be_disabled()
    app.shoot_in("queue", *LOOKS)
    app.open(f"/job?id={ids['first-idea']}").sees("Place 2 in the queue")
    app.shoot_in("queue-job", *LOOKS)

    rest.cancel_all()
    app.open(f"/job?id={ids['second-idea']}")
    app.click("job_rerun")
    app.reaches(rf"/job\?.*id=ftj_(?!{ids['second-idea'][4:]})")
    again, first = rest.get("/finetune", limit=1)["items"][0], rest.get(f"/finetune/{ids['second-idea']}")
    assert again["copied_from"] == first["id"]
    copied = ("seed", "base_version_id", "asked")
    assert [again[name] for name in copied] == [first[name] for name in copied]
    app.open(f"/job?id={ids['second-idea']}")
    app.click("job_delete")
    app.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    app.reaches("/fine_tuning").sees("second-idea is deleted")
    rest.cancel_all()


@pytest.mark.long
@pytest.mark.parametrize(("sizes", "jobs"), [("8", 2), ("8, 16", 4)])
def test_a_sweep_goes_from_the_form_to_its_plot(
    app: App, rest: Rest, dataset_id: str, sizes: str, jobs: int
) -> None:
    app.open(f"/fine_tuning?dataset={dataset_id}")
    app.sees("306 steps").sees("Every row is learned whole")  # all of the form is there
    app.fill("ft_name", "helpdesk").settled()
    app.fill("ft_n_epochs", "1").sees("18 steps")
    app.by_key("ft_sweep").locator("label").first.click()
    app.settled().sees("3 jobs")
    app.fill("ft_sweep_learning_rate", "0.0003, 0.003").settled()
    app.by_key("ft_sweep_settings").locator("input").first.fill("Batch")
    app.page.get_by_role("option", name="Batch size").click()
    app.page.keyboard.press("Escape")
    app.settled().fill("ft_sweep_batch_size", sizes).settled()
    app.sees(f"{jobs} jobs")
    app.by_key("ft_sweep_box").scroll_into_view_if_needed()
    app.shoot("sweep-form-desktop-light")
    app.click("ft_start")
    app.reaches(r"/sweep\?.*id=swp_")
    app.sees(re.compile(r"\d queued|\d running")).shoot("sweep-waiting-desktop-light")
    sweep_id = str(app.page.evaluate("new URL(location.href).searchParams.get('id')"))
    sweep = wait_until(lambda: rest.get(f"/sweeps/{sweep_id}"), lambda seen: not seen["active"], seconds=400)
    assert sweep["statuses"] == {"succeeded": jobs}
    best = next(trial for trial in sweep["trials"] if trial["best"])
    assert best[sweep["measure"]] == min(trial[sweep["measure"]] for trial in sweep["trials"])
    app.sees("Settings and loss").sees(f"{jobs} succeeded")
    expect(app.by_key("sweep_plot").locator("canvas, svg").first).to_be_visible()
    app.shoot_in("sweep", *LOOKS)
    app.click("sweep_use_best")
    app.reaches(r"/fine_tuning\?.*job=ftj_").sees("1 · Data")
    app.open("/fine_tuning")
    app.page.get_by_role("tab", name="Sweeps").click()
    app.sees("Every combination of learning rate, batch size").shoot("sweep-list-desktop-light")
