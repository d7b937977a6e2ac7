"""The review in a real browser: changed by keyboard, read again
for the next version, several tables and many files at once."""

import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import App, review_file
from tests.browser.rest import Rest

HARBOUR = "Harbour office\n\nship;built;tons\nElli;01/02/1990;120,5\nMira;31/12/1985;99,25\n"

TYPES = [("ship", "VARCHAR"), ("built", "VARCHAR"), ("tonnage", "DOUBLE")]


def type_into(app: App, label: str, text: str, *, end: str = "Enter") -> None:
    """Reach a field and change it without the mouse."""
    field = app.page.get_by_label(label, exact=True).first
    field.focus()
    app.page.keyboard.press("Control+a")
    app.page.keyboard.type(text)
    app.page.keyboard.press(end)
    app.settled()


def test_a_file_is_corrected_by_keyboard_and_the_next_one_is_read_the_same(
    app: App, rest: Rest, tmp_path: Path
) -> None:
    file = tmp_path / "harbour.csv"
    file.write_text(HARBOUR)
    review_file(app, file)
    expect(app.page.get_by_label("Name of the column tons")).to_be_visible()
    type_into(app, "Name of the column tons", "tonnage")
    app.sees("tons in the file")
    type_into(app, "Type of the column built", "Text")
    app.sees("was Date")
    type_into(app, "Decimal mark", "Comma")
    app.sees(re.compile(r"120\.5"))
    app.shoot("review-changed")
    app.page.reload()
    app.settled().sees("tons in the file")
    app.page.locator(".st-key-review_import button").focus()
    app.page.keyboard.press("Enter")
    app.reaches(r"/dataset\?.*id=ds_")
    (dataset,) = rest.get("/datasets", q="harbour")["items"]
    assert [(c["name"], c["type"]) for c in dataset["columns"]] == TYPES
    assert dataset["num_rows"] == 2

    file.write_text(HARBOUR + "Nora;02/02/2001;7,5\n")
    app.open(f"/dataset?id={dataset['id']}&view=Versions")
    opener = app.page.get_by_text("Upload a new version")
    if opener.count() and not app.by_key("upload_version").is_visible():
        opener.first.click()
    app.page.locator(".st-key-upload_version input[type=file]").set_input_files(file)
    app.reaches(r"/review\?.*id=upl_").sees("As for version 1")
    app.fill("review_note", "with Nora")
    app.shoot("review-next-version")
    app.click("review_import").reaches(r"/dataset\?.*id=ds_")
    version = rest.get(f"/datasets/{dataset['id']}/versions")["items"][0]
    assert (version["version"], version["num_rows"], version["note"]) == (2, 3, "with Nora")
    assert [(c["name"], c["type"]) for c in version["columns"]] == TYPES


@pytest.mark.long
def test_a_zip_of_tables_becomes_datasets_on_a_phone(app: App, rest: Rest, tmp_path: Path) -> None:
    archive = tmp_path / "towns.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("cities.csv", "city,people\nBern,1\nBasel,2\n")
        made.writestr("rivers.csv", "river,km\nAare,288\n")
    app.show("phone-light")
    review_file(app, archive)
    app.choose("review_member", "rivers.csv").settled()
    app.sees(re.compile("288"))
    app.fits("review").shoot("review-zip-phone")
    app.click("review_all").reaches(r"/datasets$")
    found = {d["name"]: d["num_rows"] for d in rest.get("/datasets", q="towns")["items"]}
    assert sorted(found.values()) == [1, 2], found


@pytest.mark.long
def test_many_files_wait_and_come_in_together(app: App, rest: Rest, tmp_path: Path) -> None:
    files = [tmp_path / f"part{n}.csv" for n in range(2)]
    for n, file in enumerate(files):
        file.write_text("a,b\n" + "1,2\n" * (n + 1))
    half = rest.post("/uploads", {"filename": "half.csv", "size_bytes": 100})
    rest.http.put(f"/api/uploads/{half['id']}", params={"offset": 0}, content=b"a,b\n" + b"1,2\n" * 9)
    app.open("/datasets")
    app.page.locator(".st-key-upload input[type=file]").set_input_files(files)
    app.sees("Waiting (3)").sees("part1.csv")
    app.sees(re.compile("40 ?%"))
    app.sees(re.compile("the same file again"))
    app.shoot("waiting-uploads")
    app.click("import_all")
    app.sees("Waiting (1)")
    assert {d["num_rows"] for d in rest.get("/datasets", q="part")["items"]} == {1, 2}
    app.click(f"discard_{half['id']}")
    expect(app.page.get_by_text("half.csv")).to_have_count(0)
