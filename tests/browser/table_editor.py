"""The table editor as a person uses it: where its rows are, how a cell is typed over, what it says."""

import re
from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.browser.conftest import App
from tests.browser.rest import Rest

LINE = 33  # the height of a row in pixels, at the letters of the theme
AT_MOST = 100  # rows that the API gives at a time


def upload_words(rest: Rest, folder: Path, rows: int = 120) -> str:
    """A dataset of two columns whose rows are numbered; its id."""
    path = folder / "words.csv"
    path.write_text("id,text\n" + "".join(f"{n},word {n}\n" for n in range(1, rows + 1)))
    return str(rest.upload(path, name="Words")["id"])


def table(app: App) -> Locator:
    return app.by_key("edit_box").locator("canvas").first


def open_editor(app: App, dataset: str, **query: str) -> App:
    app.open(f"/edit?id={dataset}" + "".join(f"&{name}={value}" for name, value in query.items()))
    expect(table(app)).to_be_visible()
    return app


def place(app: App, line: int, share: float) -> tuple[float, float]:
    """The middle of a row of the page shown, at a share of the table's width; ``line`` counts from 1."""
    box = table(app).bounding_box()
    assert box is not None
    return box["x"] + box["width"] * share, box["y"] + LINE * (line + 0.5)


def type_text(app: App, line: int, text: str, *, key: str | None = "Enter") -> None:
    """Type over the last cell of a row. Without ``key`` the cell is left open."""
    app.page.mouse.dblclick(*place(app, line, 0.8))
    entry = app.page.locator("#portal textarea")
    entry.fill(text)
    if key:
        entry.press(key)
        expect(entry).to_have_count(0)


def type_down(app: App, texts: list[str], *, keys_a_second: float) -> None:
    """Type by keys alone from the chosen cell downwards, as fast as asked for and without looking."""
    pause = 1000 / keys_a_second
    for text in texts:
        app.page.keyboard.type(text, delay=pause)
        app.page.keyboard.press("Enter", delay=pause)


def changes(app: App, said: str) -> None:
    """Wait until the page counts so many changes, and has settled."""
    expect(app.by_key("edit_saving")).to_contain_text(re.compile(rf"(?<!\d){re.escape(said)}"))
    app.settled()


def texts(rest: Rest, dataset: str, rows: int = 120) -> list[str]:
    pages = [
        rest.get(f"/datasets/{dataset}/preview", limit=AT_MOST, offset=offset)
        for offset in range(0, rows + 1, AT_MOST)
    ]
    return [row["data"]["text"] for page in pages for row in page["items"]]
