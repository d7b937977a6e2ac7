"""The table of jobs as a keyboard user has it: rows ticked, sorted, compared; and its cards on a phone."""

import pytest
from playwright.sync_api import Locator, expect

from core.people import users
from tests.browser.conftest import App
from tests.browser.rest import Rest
from tests.browser.server import Server
from tests.ui.things import make_job
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def job_ids(rest: Rest, server: Server) -> list[str]:
    """Five that ended, the newest with the lowest loss."""
    with server.database():
        user = users.get(rest.get("/auth/me")["id"])
        return [
            make_job(user, "succeeded", name=f"run-{number}", train_loss=2.0 - number / 10)
            for number in range(5)
        ]


def names(app: App) -> list[str]:
    return app.page.locator(".st-key-jobs_table tbody a").all_inner_texts()


def ticks(app: App) -> Locator:
    return app.page.locator(".st-key-jobs_table tbody input[type=checkbox]")


def test_rows_are_ticked_by_keys_sorted_and_compared(app: App, job_ids: list[str]) -> None:
    app.open("/fine_tuning")
    ticks(app).first.wait_for()
    assert names(app) == [f"run-{number}" for number in (4, 3, 2, 1, 0)]
    ticks(app).first.focus()
    for key in ("Space", "ArrowDown", "ArrowDown", "Space"):
        app.page.keyboard.press(key)
    app.sees("2 jobs chosen").settled()
    for _ in range(2):  # at once: the second turns what the first asked for
        app.page.locator(".st-key-jobs_table th button", has_text="Loss").first.click()
    app.reaches("jobs_sort=-train_loss")
    wait_until(lambda: names(app)[0], "run-0".__eq__)
    ticked = [box.is_checked() for box in ticks(app).all()]
    assert ticked == [False, False, True, False, True], "the ticks went with their rows"
    app.click("jobs_compare")
    app.reaches(rf"/compare\?.*ids={job_ids[4]}.*{job_ids[2]}")


def test_address_keeps_the_order_and_a_row_opens_on_a_phone(app: App, job_ids: list[str]) -> None:
    app.show("phone-light").open("/fine_tuning?jobs_sort=train_loss&jobs_columns=train_loss")
    ticks(app).first.wait_for()
    assert app.page.locator(".st-key-jobs_table thead").is_hidden()
    app.fits("jobs-phone")
    order = app.page.locator(".st-key-jobs_table select option:checked")
    expect(order).to_have_text("Loss ↑")
    expect(app.page.locator(".st-key-jobs_table tbody tr").first).to_contain_text("1.600")
    app.page.locator(".st-key-jobs_table tbody a").first.click()
    app.reaches(rf"/job\?id={job_ids[4]}")
    app.open("/fine_tuning?jobs_sort=-seed&jobs_columns=train_loss")
    expect(order).to_have_text("Another column")
    app.show("desktop-light")
