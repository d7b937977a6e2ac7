"""The queue and a sweep as people use them:
jobs put in another order, one run again, four jobs compared in a plot."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from core.config import ROOT
from tests.browser.conftest import App, Server, sign_in, window
from tests.browser.rest import Rest
from tests.browser.server import serving
from tests.waiting import wait_until

SAMPLE = ROOT / "data" / "samples" / "support_faq.jsonl"
LOOKS = {"desktop-light": {}, "phone-dark": {"phone": True, "dark": True}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Trains on one thread: on two, a rerun was seen to differ
    from its first run in the fifth digit of the first loss."""
    with serving(tmp_path_factory.mktemp("server"), LUTHIER_TRAINING_THREADS="1") as made:
        yield made


@pytest.fixture(scope="module")
def rest(server: Server) -> Rest:
    return Rest(server.url, "ada@example.com")


@pytest.fixture(scope="module")
def dataset_id(rest: Rest) -> str:
    return str(rest.upload(SAMPLE, name="Helpdesk FAQ")["id"])


def start(rest: Rest, dataset_id: str, name: str, *, epochs: int = 1, **fields: object) -> str:
    body = {
        "base_model_id": rest.starter()["id"],
        "dataset_id": dataset_id,
        "name": name,
        "hyperparameters": {"n_epochs": epochs},
    }
    return str(rest.post("/finetune", body | fields)["id"])


def order(rest: Rest) -> list[str]:
    return [item["name"] for item in rest.get("/finetune/queue")["items"]]


def shown(app: App) -> list[str]:
    return [
        text.split()[-1]
        for text in app.by_key("queue").locator('[data-testid="stPageLink"]').all_inner_texts()
    ]


def shoot(chromium: Browser, server: Server, user: App, path: str, name: str, *, wait: str) -> None:
    """The page at desktop width in light and at phone width in dark; nothing may be wider than the window."""
    for look, options in LOOKS.items():
        with window(chromium, server, like=user, **options) as app:
            app.open(path).sees(wait)
            app.page.wait_for_timeout(500)
            app.shoot(f"{name}-{look}")
            wide, room = app.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
            assert wide <= room, f"{name} is {wide} px wide in a window of {room} px"


@pytest.mark.timeout(600)
def test_waiting_jobs_are_put_in_order_and_one_is_run_again(
    app: App, server: Server, rest: Rest, dataset_id: str, chromium: Browser
) -> None:
    running = start(rest, dataset_id, "runs-first", epochs=50)
    rest.wait_for_job(running, lambda progress: progress["step"] > 5)
    ids = {name: start(rest, dataset_id, name) for name in ("first-idea", "second-idea", "third-idea")}
    sign_in(app, "ada@example.com", path="/fine_tuning")
    app.sees("1 of 1 place taken").sees("starts in about")
    app.click(f"queue_up_{ids['third-idea']}")
    wait_until(lambda: order(rest), lambda seen: seen == ["first-idea", "third-idea", "second-idea"])
    wait_until(lambda: shown(app), lambda seen: seen == ["first-idea", "third-idea", "second-idea"])
    app.click(f"queue_priority_{ids['second-idea']}")
    app.page.wait_for_timeout(3000)  # the queue is drawn again meanwhile: the menu must stay open
    app.page.get_by_text("High", exact=True).filter(visible=True).first.click()
    wait_until(lambda: order(rest), lambda seen: seen == ["second-idea", "first-idea", "third-idea"])
    assert [item["priority"] for item in rest.get("/finetune/queue")["items"]] == [1, 0, 0]
    expect(app.by_key(f"queue_up_{ids['second-idea']}").locator("button").first).to_be_disabled(
        timeout=20_000
    )
    shoot(chromium, server, app, "/fine_tuning", "queue", wait="starts in about")
    shoot(chromium, server, app, f"/job?id={ids['first-idea']}", "queue-job", wait="Place 2 in the queue")

    for job_id in (running, ids["first-idea"], ids["third-idea"]):
        rest.post(f"/finetune/{job_id}/cancel")
    done = rest.wait_for_job(
        ids["second-idea"], lambda progress: progress["status"] not in ("queued", "running"), seconds=240
    )
    assert done["status"] == "succeeded"
    app.open(f"/job?id={ids['second-idea']}")
    app.click("job_rerun")
    app.reaches(rf"/job\?.*id=ftj_(?!{ids['second-idea'][4:]})")
    again = rest.get("/finetune", limit=1)["items"][0]
    first = rest.get(f"/finetune/{ids['second-idea']}")
    assert again["copied_from"] == first["id"]
    assert [again[name] for name in ("seed", "base_version_id", "asked")] == [
        first[name] for name in ("seed", "base_version_id", "asked")
    ]
    ended = rest.wait_for_job(
        again["id"],
        lambda progress: progress["status"] not in ("validating", "queued", "running"),
        seconds=240,
    )
    assert ended["status"] == "succeeded"
    assert ended["train_loss"] == rest.get(f"/finetune/{first['id']}/progress")["train_loss"], (
        "the same to the last digit"
    )
    app.open(f"/job?id={ids['second-idea']}")
    app.click("job_delete")
    app.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    app.reaches("/fine_tuning").sees("second-idea is deleted")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("sizes", "jobs"), [("8", 2), pytest.param("8, 16", 4, marks=pytest.mark.long)])
def test_a_sweep_goes_from_the_form_to_its_plot(
    app: App, server: Server, rest: Rest, dataset_id: str, chromium: Browser, sizes: str, jobs: int
) -> None:
    sign_in(app, "ada@example.com", path=f"/fine_tuning?dataset={dataset_id}")
    app.fill("ft_name", "helpdesk")
    app.fill("ft_n_epochs", "1")
    app.settled()
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
    expect(app.by_key("sweep_plot").locator("canvas, svg").first).to_be_visible(timeout=30_000)
    shoot(chromium, server, app, f"/sweep?id={sweep_id}", "sweep", wait="Settings and loss")
    app.click("sweep_use_best")
    app.reaches(r"/fine_tuning\?.*job=ftj_").sees("1 · Data")
    app.open("/fine_tuning")
    app.page.get_by_role("tab", name="Sweeps").click()
    app.sees("Every combination of learning rate, batch size").shoot("sweep-list-desktop-light")
