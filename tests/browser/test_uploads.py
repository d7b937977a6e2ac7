"""The transfer of a file as a person sees it; and a server that dies in the middle of it: nothing is half."""

import hashlib
import re
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser.conftest import App, Server, sign_in, window
from tests.browser.rest import Rest
from tests.browser.server import serving
from tests.waiting import wait_until

EMAIL = "ada@example.com"
MB = 10**6
SLOW = 2 * MB  # bytes a second, as the browser is told that its network has


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), LUTHIER_UPLOAD_CHUNK_MB="1") as made:
        yield made


@pytest.fixture(scope="module")
def rest(server: Server) -> Rest:
    return Rest(server.url, EMAIL)


@pytest.fixture
def app(chromium: Browser, server: Server, rest: Rest) -> Iterator[App]:
    with window(chromium, server) as made:
        sign_in(made, EMAIL)
        made.page.on("dialog", lambda dialog: dialog.accept())  # "leave this page?" while a transfer runs
        yield made.open("/datasets")


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

    wait_until(percent, lambda seen: seen >= least, seconds=60)


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
    expect(row).to_contain_text("Connection lost", timeout=30_000)
    app.shoot("upload-lost")
    throttle(app, -1)
    app.server.start()
    app.reaches(r"/review\?.*id=upl_", timeout=60)
    upload = only_upload(rest)
    assert (upload["state"], upload["sha256"]) == ("received", digest(file))
    discard_all(rest)


def test_same_file_goes_on_after_a_reload(app: App, rest: Rest, tmp_path: Path) -> None:
    file = file_of(tmp_path, "reload.csv", 10 * MB)
    throttle(app, SLOW)
    wait_for_percent(choose(app, file), 30)
    begun = only_upload(rest)
    app.page.reload()
    app.settled()
    row = choose(app, file)
    expect(row).to_contain_text("resumed", timeout=30_000)
    wait_for_percent(row, 25)
    throttle(app, -1)
    app.reaches(r"/review\?.*id=upl_", timeout=60)
    upload = only_upload(rest)
    assert (upload["id"], upload["state"], upload["sha256"]) == (begun["id"], "received", digest(file))
    discard_all(rest)


def test_transfer_goes_on_behind_other_pages_and_can_be_cancelled(
    app: App, rest: Rest, tmp_path: Path
) -> None:
    throttle(app, SLOW)
    row = choose(app, file_of(tmp_path, "cancelled.csv", 20 * MB))
    wait_for_percent(row, 5)
    for page in ("Home", "Datasets"):
        app.page.get_by_role("link", name=page, exact=True).first.click()
        app.settled()
    wait_for_percent(row, 15)
    row.get_by_role("button", name="Cancel").click()
    expect(row).to_contain_text("Cancelled", timeout=30_000)
    wait_until(lambda: rest.get("/uploads")["total"], lambda total: total == 0)
    wait_until(lambda: list((app.server.data_dir / "uploads").iterdir()), lambda left: left == [])


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
        seconds=30,
    )
    assert [upload["filename"] for upload in found] == ["one.csv", "two.csv", "three.csv"]
    assert [upload["sha256"] for upload in found] == [digest(file) for file in files]
    assert "/datasets" in app.page.url
    discard_all(rest)


def test_file_that_is_refused_says_why(app: App, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "picture.png").write_bytes(b"x")
    expect(choose(app, tmp_path / "empty.csv")).to_contain_text("The file is empty.", timeout=30_000)
    expect(choose(app, tmp_path / "picture.png")).to_contain_text("not supported", timeout=30_000)


def test_server_killed_in_the_middle_of_a_piece(server: Server, rest: Rest, tmp_path: Path) -> None:
    forgotten = rest.post("/uploads", {"filename": "forgotten.csv", "size_bytes": 100})["id"]
    rest.http.put(f"/api/uploads/{forgotten}", params={"offset": 0}, content=b"a,b\n")
    _age(server, forgotten, hours=49)
    file = file_of(tmp_path, "piece.csv", 30 * MB)
    data = file.read_bytes()
    upload = rest.post("/uploads", {"filename": file.name, "size_bytes": len(data), "sha256": digest(file)})
    piece = _send_part(server, rest, upload["id"], data, part=20 * MB)
    wait_until(
        lambda: rest.get(f"/uploads/{upload['id']}")["received_bytes"], lambda received: received >= 16 * MB
    )
    server.stop(signal.SIGKILL)
    piece.close()
    server.start()
    told = rest.get(f"/uploads/{upload['id']}")
    assert told["state"] == "receiving"
    assert 16 * MB <= told["received_bytes"] <= 20 * MB
    assert "restarted" in told["error"]
    assert rest.get("/datasets")["total"] == 0
    start = told["received_bytes"]
    done = rest.http.put(
        f"/api/uploads/{upload['id']}", params={"offset": start}, content=data[start:]
    ).json()
    assert (done["state"], done["sha256"]) == ("received", digest(file))
    assert digest(server.data_dir / "uploads" / upload["id"]) == digest(file)
    assert [path.name for path in (server.data_dir / "uploads").iterdir()] == [upload["id"]]
    assert rest.http.get(f"/api/uploads/{forgotten}").status_code == 404


def _send_part(server: Server, rest: Rest, upload_id: str, data: bytes, *, part: int) -> socket.socket:
    """Announce all of it, send a part, and leave the connection open."""
    address = urlsplit(server.url)
    connection = socket.create_connection((str(address.hostname), int(address.port or 80)))
    head = (
        f"PUT /api/uploads/{upload_id}?offset=0 HTTP/1.1\r\n"
        f"Host: {address.netloc}\r\n"
        f"Content-Length: {len(data)}\r\n"
    )
    connection.sendall(
        f"{head}Authorization: {rest.http.headers['Authorization']}\r\n\r\n".encode() + data[:part]
    )
    return connection


def _age(server: Server, upload_id: str, *, hours: int) -> None:
    """As if nobody had touched it for so long."""
    with sqlite3.connect(server.data_dir / "luthier.db", timeout=10) as database:
        moment = time.strftime("%Y-%m-%d %H:%M:%S.000000", time.gmtime(time.time() - hours * 3600))
        database.execute("UPDATE uploads SET updated_at = ? WHERE id = ?", (moment, upload_id))
    database.close()
