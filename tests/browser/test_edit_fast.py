"""The table editor under fast hands: ten keys a second, also while the page runs, and every cell arrives."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import App
from tests.browser.rest import Rest
from tests.browser.table_editor import (
    changes,
    open_editor,
    place,
    table,
    texts,
    type_down,
    type_text,
    upload_words,
)
from tests.waiting import wait_until

KEYS_A_SECOND = 10
SLOWER = 10  # how many times slower the browser's own scripts run
CELL_EDITOR_IS_THERE = """performance.getEntriesByType("resource")
  .some(one => /data-grid-overlay-editor/.test(one.name) && one.responseEnd > 0)"""
FAR_AWAY = 400  # milliseconds until the server's answer begins


@pytest.fixture
def words(rest: Rest, tmp_path: Path) -> str:
    return upload_words(rest, tmp_path)


@pytest.fixture(params=[1, SLOWER], ids=["as-it-is", "slow-browser"])
def hands(request: pytest.FixtureRequest, app: App) -> Iterator[App]:
    session = app.page.context.new_cdp_session(app.page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": request.param})
    yield app
    session.send("Emulation.setCPUThrottlingRate", {"rate": 1})


def choose_cell(app: App, line: int) -> None:
    app.page.mouse.click(*place(app, line, 0.8))


@pytest.mark.long  # a hundred cells at the pace of a hand, twice
def test_every_cell_typed_at_ten_keys_a_second_arrives_and_is_counted(
    hands: App, rest: Rest, words: str
) -> None:
    """Right after another edit, with rests in which the page begins to run, and while it runs for a note."""
    app, typed = open_editor(hands, words), {}

    def go_on(lines: range, word: str) -> None:
        mine = {line: f"{word}{line}" for line in lines}
        type_down(app, list(mine.values()), keys_a_second=KEYS_A_SECOND)
        typed.update(mine)

    type_text(app, 12, "first")
    typed[12] = "first"
    choose_cell(app, 1)  # at once: the run that the edit before asks for comes while this is typed
    go_on(range(1, 6), "a")
    for rest_of, lines in enumerate((range(6, 8), range(8, 10), range(10, 12))):
        # about as long as the page waits before it runs, a little less and a little more
        app.page.wait_for_timeout(1400 + 100 * rest_of)
        go_on(lines, "b")
    app.by_key("edit_note").locator("input").fill("typed fast")
    choose_cell(app, 1)  # which sends the note, and the page runs
    wait_until(lambda: app.page.evaluate("document.activeElement.tagName"), lambda name: name != "INPUT")
    go_on(range(1, 4), "c")
    for line in range(1, 12):
        choose_cell(app, line)  # a click on each: a run may come between it and the keys
        go_on(range(line, line + 1), "d")
    choose_cell(app, 1)
    go_on(range(1, 46), "e")
    changes(app, f"{len(typed)} cells changed")

    app.click("edit_save")
    app.reaches(r"/dataset\?.*view=Versions")
    assert rest.get(f"/datasets/{words}/versions")["items"][0]["note"] == "typed fast"
    wanted = [typed.get(n, f"word {n}") for n in range(1, 121)]
    assert [pair for pair in zip(texts(rest, words), wanted, strict=True) if pair[0] != pair[1]] == []


@pytest.mark.long  # in a slow browser, too
def test_a_click_on_save_right_after_the_last_key_saves_what_was_typed(
    hands: App, rest: Rest, words: str
) -> None:
    hands.page.set_viewport_size({"width": 1440, "height": 1200})  # the button is in sight
    app = open_editor(hands, words)
    save = app.by_key("edit_save").locator("button").bounding_box()
    assert save is not None
    app.page.mouse.click(*place(app, 3, 0.3))
    app.page.keyboard.type("503")
    app.page.keyboard.press("Tab")
    app.page.keyboard.type("both cells")
    app.page.keyboard.press("Enter")
    app.page.mouse.click(save["x"] + 10, save["y"] + 10)
    app.reaches(r"/dataset\?.*view=Versions")
    rows = rest.get(f"/datasets/{words}/preview", limit=4)["items"]
    assert [row["data"] for row in rows][1:] == [
        {"id": 2, "text": "word 2"},
        {"id": 503, "text": "both cells"},
        {"id": 4, "text": "word 4"},
    ]


@pytest.mark.long  # in a slow browser, too
def test_cells_typed_while_the_pointer_rests_elsewhere_arrive(hands: App, rest: Rest, words: str) -> None:
    app = open_editor(hands, words)
    choose_cell(app, 2)
    app.page.mouse.move(5, 5)
    type_down(app, ["first", "second", "third"], keys_a_second=KEYS_A_SECOND)
    changes(app, "3 cells changed")
    app.click("edit_save")
    app.reaches(r"/dataset\?.*view=Versions")
    assert texts(rest, words)[:5] == ["word 1", "first", "second", "third", "word 5"]


@pytest.mark.long  # a server far away
def test_the_first_cell_of_a_page_is_typed_whole_however_far_the_server_is(
    app: App, rest: Rest, words: str
) -> None:
    session = app.page.context.new_cdp_session(app.page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    far = {"offline": False, "latency": FAR_AWAY, "downloadThroughput": -1, "uploadThroughput": -1}
    session.send("Network.emulateNetworkConditions", far)
    open_editor(app, words)
    wait_until(lambda: app.page.evaluate(CELL_EDITOR_IS_THERE))  # before anybody has opened a cell
    choose_cell(app, 2)
    type_down(app, ["abcdef", "ghijkl"], keys_a_second=KEYS_A_SECOND)
    changes(app, "2 cells changed")
    for typed in ("abcdef", "ghijkl"):
        expect(table(app)).to_contain_text(typed)
