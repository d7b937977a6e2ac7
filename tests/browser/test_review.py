"""The review in a real browser: changed by keyboard, read again
for the next version, several tables and many files at once."""

import re
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import App, Server, register, review_file, sign_in, window
from tests.browser.rest import Rest

HARBOUR = "Harbour office\n\nship;built;tons\nElli;01/02/1990;120,5\nMira;31/12/1985;99,25\n"

TYPES = [("ship", "VARCHAR"), ("built", "VARCHAR"), ("tonnage", "DOUBLE")]


@pytest.fixture(scope="module")
def user(chromium: Browser, server: Server) -> Iterator[App]:
    with window(chromium, server) as app:
        yield register(app, "ada@example.com")


@pytest.fixture(scope="module")
def rest(user: App, server: Server) -> Rest:
    return Rest(server.url, "ada@example.com", register=False)


def type_into(app: App, label: str, text: str, *, end: str = "Enter") -> None:
    """Reach a field and change it without the mouse."""
    field = app.page.get_by_label(label, exact=True).first
    field.focus()
    app.page.keyboard.press("Control+a")
    app.page.keyboard.type(text)
    app.page.keyboard.press(end)
    app.settled()


def test_a_file_is_corrected_by_keyboard_and_the_next_one_is_read_the_same(
    user: App, rest: Rest, tmp_path: Path
) -> None:
    file = tmp_path / "harbour.csv"
    file.write_text(HARBOUR)
    review_file(user, file)
    expect(user.page.get_by_label("Name of the column tons")).to_be_visible(timeout=20_000)
    type_into(user, "Name of the column tons", "tonnage")
    user.sees("tons in the file")
    type_into(user, "Type of the column built", "Text")
    user.sees("was Date")
    type_into(user, "Decimal mark", "Comma")
    user.sees(re.compile(r"120\.5"))
    user.shoot("review-changed")
    user.page.reload()
    user.settled().sees("tons in the file")
    user.page.locator(".st-key-review_import button").focus()
    user.page.keyboard.press("Enter")
    user.reaches(r"/dataset\?.*id=ds_")
    (dataset,) = rest.get("/datasets", q="harbour")["items"]
    assert [(c["name"], c["type"]) for c in dataset["columns"]] == TYPES
    assert dataset["num_rows"] == 2

    file.write_text(HARBOUR + "Nora;02/02/2001;7,5\n")
    user.open(f"/dataset?id={dataset['id']}&view=Versions")
    opener = user.page.get_by_text("Upload a new version")
    if opener.count() and not user.by_key("upload_version").is_visible():
        opener.first.click()
    user.page.locator(".st-key-upload_version input[type=file]").set_input_files(file)
    user.reaches(r"/review\?.*id=upl_").sees("As for version 1")
    user.fill("review_note", "with Nora")
    user.shoot("review-next-version")
    user.click("review_import").reaches(r"/dataset\?.*id=ds_")
    version = rest.get(f"/datasets/{dataset['id']}/versions")["items"][0]
    assert (version["version"], version["num_rows"], version["note"]) == (2, 3, "with Nora")
    assert [(c["name"], c["type"]) for c in version["columns"]] == TYPES


def test_a_zip_of_tables_becomes_datasets_on_a_phone(
    user: App, server: Server, chromium: Browser, rest: Rest, tmp_path: Path
) -> None:
    archive = tmp_path / "towns.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("cities.csv", "city,people\nBern,1\nBasel,2\n")
        made.writestr("rivers.csv", "river,km\nAare,288\n")
    with window(chromium, server, phone=True) as phone:
        sign_in(phone, "ada@example.com")
        review_file(phone, archive)
        phone.choose("review_member", "rivers.csv").settled()
        phone.sees(re.compile("288"))
        phone.shoot("review-zip-phone")
        width, window_width = phone.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert width <= window_width
        phone.click("review_all").reaches(r"/datasets$")
    found = {d["name"]: d["num_rows"] for d in rest.get("/datasets", q="towns")["items"]}
    assert sorted(found.values()) == [1, 2], found


def test_many_files_wait_survive_a_killed_server_and_come_in_together(
    user: App, rest: Rest, server: Server, tmp_path: Path
) -> None:
    files = [tmp_path / f"part{n}.csv" for n in range(2)]
    for n, file in enumerate(files):
        file.write_text("a,b\n" + "1,2\n" * (n + 1))
    half = rest.post("/uploads", {"filename": "half.csv", "size_bytes": 100})
    rest.http.put(f"/api/uploads/{half['id']}", params={"offset": 0}, content=b"a,b\n" + b"1,2\n" * 9)
    user.open("/datasets")
    user.page.locator(".st-key-upload input[type=file]").set_input_files(files)
    user.sees("Waiting (2)")
    server.stop(signal.SIGKILL)
    server.start()
    rest.sign_in()
    user.open("/datasets").sees("part1.csv")
    user.sees(re.compile("40 ?%"))
    user.sees(re.compile("the same file again"))
    user.shoot("waiting-uploads")
    user.click("import_all")
    user.sees("Waiting (1)", timeout=60)
    assert {d["num_rows"] for d in rest.get("/datasets", q="part")["items"]} == {1, 2}
    user.click(f"discard_{half['id']}")
    expect(user.page.get_by_text("half.csv")).to_have_count(0, timeout=20_000)
