"""The transfer of a file as a person sees it, also when the server dies in the middle of it."""

import hashlib
import re
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import App
from tests.browser.rest import Rest
from tests.waiting import wait_until

MB = 10**6
SLOW = 2 * MB  # bytes a second, as the browser is told that its network has


@pytest.fixture
def app(app: App) -> App:
    app.page.on("dialog", lambda dialog: dialog.accept())  # "leave this page?" while a transfer runs
    return app.open("/datasets")


def file_of(folder: Path, name: str, size: int) -> Path:
    path = folder / name
    line = b"%08d,some words to fill the line with,1.50\n"
    path.write_bytes(b"id,text,number\n" + b"".join(line % n for n in range(size // len(line % 0))))
    return path


def choose(app: App, *paths: Path) -> Locator:
    """The row of the first file's transfer."""
    app.page.locator(".st-key-upload input[type=file]").set_input_files(list(paths))
    return app.page.locator(".st-key-upload .transfer").filter(has_text=paths[0].name)


def throttle(app: App, bytes_per_second: int) -> None:
    app.page.context.new_cdp_session(app.page).send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_second},
    )


def wait_for_percent(row: Locator, least: int) -> None:
    def percent() -> int:
        found = re.search(r"(\d+) %", row.inner_text())
        return int(found[1]) if found else 0

    wait_until(percent, lambda seen: seen >= least)


def only_upload(rest: Rest) -> dict[str, object]:
    [upload] = rest.get("/uploads")["items"]
    found: dict[str, object] = upload
    return found


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def discard_all(rest: Rest) -> None:
    for upload in rest.get("/uploads")["items"]:
        rest.http.delete(f"/api/uploads/{upload['id']}")


def test_transfer_goes_on_after_the_server_was_killed(app: App, rest: Rest, tmp_path: Path) -> None:
    file = file_of(tmp_path, "killed.csv", 12 * MB)
    throttle(app, SLOW)
    row = choose(app, file)
    wait_for_percent(row, 20)
    expect(row).to_contain_text(re.compile(r"\d+ % · .+ of 12\.0 MB · .+/s · \d+ (s|min) left"))
    app.shoot("upload-running")
    app.server.stop(signal.SIGKILL)
    expect(row).to_contain_text("Connection lost")
    app.shoot("upload-lost")
    throttle(app, -1)
    app.server.start()
    app.reaches(r"/review\?.*id=upl_")
    upload = only_upload(rest)
    assert (upload["state"], upload["sha256"]) == ("received", digest(file))
    discard_all(rest)


@pytest.mark.long
def test_same_file_goes_on_after_a_reload(app: App, rest: Rest, tmp_path: Path) -> None:
    file = file_of(tmp_path, "reload.csv", 10 * MB)
    throttle(app, SLOW)
    wait_for_percent(choose(app, file), 30)
    begun = only_upload(rest)
    app.page.reload()
    app.settled()
    row = choose(app, file)
    expect(row).to_contain_text("resumed")
    wait_for_percent(row, 25)
    throttle(app, -1)
    app.reaches(r"/review\?.*id=upl_")
    upload = only_upload(rest)
    assert (upload["id"], upload["state"], upload["sha256"]) == (begun["id"], "received", digest(file))
    discard_all(rest)


@pytest.mark.long
def test_transfer_goes_on_behind_other_pages_and_can_be_cancelled(
    app: App, rest: Rest, tmp_path: Path
) -> None:
    folder = app.server.data_dir / "uploads"
    before = set(folder.iterdir()) if folder.exists() else set()  # of other accounts
    throttle(app, SLOW)
    row = choose(app, file_of(tmp_path, "cancelled.csv", 20 * MB))
    wait_for_percent(row, 5)
    for page in ("Home", "Datasets"):
        app.page.get_by_role("link", name=page, exact=True).first.click()
        app.settled()
    wait_for_percent(row, 15)
    row.get_by_role("button", name="Cancel").click()
    expect(row).to_contain_text("Cancelled")
    wait_until(lambda: rest.get("/uploads")["total"], lambda total: total == 0)
    wait_until(lambda: set(folder.iterdir()), before.__eq__)


@pytest.mark.long
def test_files_chosen_by_keyboard_arrive_one_after_the_other(app: App, rest: Rest, tmp_path: Path) -> None:
    files = [file_of(tmp_path, f"{name}.csv", MB) for name in ("one", "two", "three")]
    app.settled()
    with app.page.expect_file_chooser() as chooser:
        # focus and key in one: a redraw between them takes the focus
        app.page.locator(".st-key-upload button.pick").press("Enter")
    chooser.value.set_files(files)
    found = wait_until(
        lambda: rest.get("/uploads", sort="created_at")["items"],
        lambda items: len(items) == 3 and all(i["state"] == "received" for i in items),
    )
    assert [upload["filename"] for upload in found] == ["one.csv", "two.csv", "three.csv"]
    assert [upload["sha256"] for upload in found] == [digest(file) for file in files]
    assert "/datasets" in app.page.url
    discard_all(rest)


def test_file_that_is_refused_says_why(app: App, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "picture.png").write_bytes(b"x")
    expect(choose(app, tmp_path / "empty.csv")).to_contain_text("The file is empty.")
    expect(choose(app, tmp_path / "picture.png")).to_contain_text("not supported")
