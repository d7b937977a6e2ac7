"""A file's whole way in Chromium, at desktop and at phone width: upload, what was detected, rows, a filter by
a click on a bar, SQL, save as the next version, and what that changed. What the pages say is compared with
what is true over /api."""

import re

import pytest
from playwright.sync_api import Locator, expect

from core.config import ROOT
from tests.browser.conftest import App, review_file
from tests.browser.rest import Rest
from tests.waiting import wait_until

WEATHER = ROOT.parent / "shared" / "data" / "seattle-weather.csv"
ROWS, RAINY = 1461, 641
WARMER = """SELECT date, precipitation, temp_max + CASE WHEN weather = 'rain' THEN 1 ELSE 0 END AS temp_max,
    temp_min, wind, weather
FROM "{name}" WHERE weather <> 'snow'"""
SNOWY = 26

pytestmark = pytest.mark.skipif(
    not WEATHER.exists(), reason="the shared file seattle-weather.csv is not at hand"
)


def look(app: App, name: str) -> None:
    app.settled().fits(name).shoot(name)


def bars_of(app: App, column: str) -> Locator:
    return app.page.locator(
        f'.st-key-rows_table [role="toolbar"][aria-label="Distribution of {column}"] button'
    )


@pytest.mark.parametrize("device", ["desktop-light", pytest.param("phone-dark", marks=pytest.mark.long)])
def test_from_a_file_to_what_a_query_changed(app: App, rest: Rest, device: str) -> None:
    shot, name = f"story-{device}", f"weather {device}"
    app.show(device)
    review_and_import(app, name, shot)
    dataset = rest.get("/datasets", q=name)["items"][0]
    assert (dataset["num_rows"], dataset["num_columns"]) == (ROWS, 6)
    types = {column["name"]: column["type"] for column in dataset["columns"]}
    assert (types["date"], types["temp_max"], types["weather"]) == ("DATE", "DOUBLE", "VARCHAR")
    filter_by_a_bar(app, rest, dataset["id"], shot)
    save_a_query_as_version_2(app, rest, dataset, shot)
    compare_the_versions(app, rest, dataset["id"], shot)


def review_and_import(app: App, name: str, shot: str) -> None:
    review_file(app, WEATHER)
    app.sees("values separated by commas").sees(re.compile(r"1,461 rows"))
    app.fill("review_name", name)
    look(app, f"{shot}-review")
    app.click("review_import").reaches(r"/dataset\?.*id=ds_")
    expect(app.page.locator(".st-key-rows_table tbody tr")).to_have_count(50)
    look(app, f"{shot}-rows")


def filter_by_a_bar(app: App, rest: Rest, dataset_id: str, shot: str) -> None:
    """The click narrows the rows to exactly those of the bar, and the address reopens the same view."""
    profile = {column["name"]: column for column in rest.get(f"/datasets/{dataset_id}/profile")["columns"]}
    counts = profile["temp_max"]["histogram"]["counts"]
    fullest = counts.index(max(counts))
    bars_of(app, "temp_max").nth(fullest).click()
    app.reaches(r"where=")
    expect(app.by_key("rows_foot")).to_contain_text(re.compile(rf"of {max(counts):,}\b"))
    look(app, f"{shot}-filtered")
    app.page.reload()
    app.settled()
    expect(app.by_key("rows_foot")).to_contain_text(re.compile(rf"of {max(counts):,}\b"))


def save_a_query_as_version_2(app: App, rest: Rest, dataset: dict, shot: str) -> None:
    app.open("/sql")
    editor = app.page.locator(".st-key-sql_editor textarea")
    editor.fill(WARMER.format(name=dataset["name"]))
    editor.press("Control+Enter")
    expect(app.by_key("sql_facts")).to_contain_text("rows")
    look(app, f"{shot}-sql")
    app.click("sql_save")
    app.page.get_by_role("radio", name="New version").click()
    app.settled().choose("save_target", dataset["name"])
    app.settled().fill("save_note", "rain is warmer, snow left out")
    app.shoot(f"{shot}-save")
    app.click("save_submit").reaches(r"/dataset\?.*id=ds_")
    versions = wait_until(
        lambda: rest.get(f"/datasets/{dataset['id']}/versions")["items"], lambda v: len(v) == 2
    )
    assert [(v["version"], v["num_rows"], v["origin"]) for v in versions] == [
        (2, ROWS - SNOWY, "query"),
        (1, ROWS, "upload"),
    ]


def compare_the_versions(app: App, rest: Rest, dataset_id: str, shot: str) -> None:
    app.page.get_by_role("tab", name="Versions").click()
    app.settled()
    app.sees("rain is warmer, snow left out")
    look(app, f"{shot}-versions")
    app.page.get_by_role("link", name="Compare with 1").click()
    app.reaches(r"/diff\?.*from=dsv_.*").settled()
    app.page.goto(f"{app.page.url}&key=date")
    app.settled()
    counts = app.by_key("diff_counts")
    expect(counts).to_contain_text(f"{RAINY:,}")
    expect(counts).to_contain_text(f"{SNOWY:,}")
    look(app, f"{shot}-diff")
    diff = rest.get(f"/datasets/{dataset_id}/diff", **{"from": 1, "to": 2, "key": "date"})
    assert (diff["added"], diff["removed"], diff["changed"]) == (0, SNOWY, RAINY)
