"""Two browsers of one user edit one dataset at once: one save is accepted, and nobody's words are lost."""

import contextlib
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, expect

from tests.browser.conftest import App, Server, window
from tests.browser.rest import Rest
from tests.browser.table_editor import changes, open_editor, table, texts, type_text, upload_words
from tests.waiting import wait_until

ROWS = 20


@pytest.mark.long  # two browsers, each with a page of its own
def test_of_two_saves_at_once_one_is_accepted_and_the_other_is_offered_the_difference(
    app: App, server: Server, chromium: Browser, rest: Rest, tmp_path: Path
) -> None:
    words = upload_words(rest, tmp_path, ROWS)
    with window(chromium, server, user=rest) as other:
        tabs = {"mine": app, "theirs": other}
        for name, tab in tabs.items():
            open_editor(tab, words)
            type_text(tab, 2, f"both, {name}")
            type_text(tab, 5 if name == "mine" else 6, f"alone, {name}")
            changes(tab, "2 cells changed")
            tab.by_key("edit_note").locator("input").fill(f"note, {name}")
        for tab in tabs.values():
            tab.click("edit_save")  # returns at once: both are under way
        loser = _tell_apart(tabs)
        winner = next(name for name in tabs if name != loser)
        _look_at_the_difference(tabs[loser], winner)
        assert _versions(rest, words) == [(2, f"note, {winner}"), (1, "")]
        assert texts(rest, words, ROWS) == _edited(winner)

        changes(tabs[loser], "2 cells changed")
        expect(tabs[loser].by_key("edit_note").locator("input")).to_have_value(f"note, {loser}")
        expect(table(tabs[loser])).to_contain_text(f"alone, {loser}")
        tabs[loser].by_key("edit_force").locator("label").click()
        tabs[loser].settled().click("edit_save").reaches(r"/dataset\?.*view=Versions")
        assert _versions(rest, words)[0] == (3, f"note, {loser}")
        assert texts(rest, words, ROWS) == _edited(loser)


def _tell_apart(tabs: dict[str, App]) -> str:
    """Which of the two was refused, once each knows."""

    def outcome(tab: App) -> str:
        if "/dataset?" in str(tab.page.evaluate("location.href")):
            return "saved"
        return "refused" if tab.by_key("edit_force").count() else ""

    seen = wait_until(
        lambda: {name: outcome(tab) for name, tab in tabs.items()}, lambda now: all(now.values())
    )
    assert sorted(seen.values()) == ["refused", "saved"]
    return next(name for name, how in seen.items() if how == "refused")


def _look_at_the_difference(tab: App, winner: str) -> None:
    """The other version may still be made; when it is there, what it changed is shown below the edits."""

    def is_offered() -> bool:
        with contextlib.suppress(Error):  # the button goes while it is pressed, when the version is there
            if tab.by_key("edit_look").count():
                tab.by_key("edit_look").locator("button").click(timeout=1000)
        return tab.by_key("edit_difference").count() > 0

    wait_until(is_offered)
    tab.settled()
    tab.by_key("edit_difference").locator("label").click()
    changed = tab.by_key("edit_saving").locator("canvas").first
    expect(changed).to_contain_text(f"alone, {winner}")
    expect(changed).to_contain_text(f"both, {winner}")
    tab.sees(f"note, {winner}")


def _edited(name: str) -> list[str]:
    own = {2: f"both, {name}", 5 if name == "mine" else 6: f"alone, {name}"}
    return [own.get(n, f"word {n}") for n in range(1, ROWS + 1)]


def _versions(rest: Rest, dataset: str) -> list[tuple[int, str]]:
    return [(one["version"], one["note"]) for one in rest.get(f"/datasets/{dataset}/versions")["items"]]
