"""The table editor in a real browser: whatever is typed is there, however fast the next click comes."""

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import App, Server, sign_in
from tests.browser.rest import Rest

ROWS = [f"{n},word {n}" for n in range(1, 121)]
LINE = 35  # the height of a row in pixels
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def rest(server: Server) -> Rest:
    return Rest(server.url, "ada@example.com")


@pytest.fixture
def words(rest: Rest, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("words") / "words.csv"
    path.write_text("id,text\n" + "\n".join(ROWS) + "\n")
    return str(rest.upload(path, name="Words")["id"])


@pytest.fixture
def user(app: App, rest: Rest) -> App:
    return sign_in(app, "ada@example.com")


def table(app: App) -> Locator:
    return app.by_key("edit_box").locator("canvas").first


def open_editor(app: App, dataset: str, **query: str) -> App:
    app.open(f"/edit?id={dataset}" + "".join(f"&{name}={value}" for name, value in query.items()))
    expect(table(app)).to_be_visible(timeout=30_000)
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


def turn_to(app: App, page: int) -> None:
    app.by_key("edit_page").get_by_text(str(page), exact=True).click()


def texts(rest: Rest, dataset: str) -> list[str]:
    pages = [rest.get(f"/datasets/{dataset}/preview", limit=100, offset=offset) for offset in (0, 100)]
    return [row["data"]["text"] for page in pages for row in page["items"]]


def test_what_is_typed_survives_turning_leaving_and_saving(user: App, rest: Rest, words: str) -> None:
    user.page.set_default_timeout(10_000)
    open_editor(user, words)
    type_text(user, 2, "typed at once")
    type_text(user, 4, "left open", key=None)
    turn_to(user, 3)
    expect(user.by_key("edit_saving")).to_contain_text("2 cells changed")
    user.settled()

    type_text(user, 3, "before a link")
    user.page.get_by_role("link", name="Words").click()
    user.reaches(r"/dataset\?")
    user.click("versions_edit")
    expect(user.by_key("edit_saving")).to_contain_text("3 cells changed")
    expect(table(user)).to_be_visible()
    user.settled()

    user.page.mouse.click(*place(user, 5, 0.01))
    expect(
        user.by_key("edit_box").get_by_role("button", name="Delete row(s)")
    ).to_be_visible()  # the row is chosen
    user.page.keyboard.press("Delete")
    user.fill("edit_search", "word 120")
    expect(user.by_key("edit_saving")).to_contain_text("3 cells changed, 1 row deleted")
    expect(user.by_key("edit_page")).to_have_count(0)
    user.settled()
    user.page.mouse.move(*place(user, 1, 0.5))
    user.by_key("edit_box").get_by_role("button", name="Add row").click()
    type_text(user, 2, "a new row")
    user.fill("edit_search", "")
    expect(user.by_key("edit_saving")).to_contain_text("1 row added")
    expect(user.by_key("edit_page")).to_be_visible()
    user.settled()
    type_text(user, 6, "open while saving", key=None)
    user.by_key("edit_note").locator("input").fill("mended")
    user.click("edit_save")
    user.reaches(r"/dataset\?.*view=Versions")
    saved = rest.get(f"/datasets/{words}/versions")["items"][0]
    assert (saved["version"], saved["note"], saved["origin"]) == (2, "mended", "edit")
    typed = {2: "typed at once", 4: "left open", 6: "open while saving", 103: "before a link"}
    wanted = [typed.get(n, f"word {n}") for n in range(1, 121) if n != 105] + ["a new row"]
    assert [pair for pair in zip(texts(rest, words), wanted, strict=True) if pair[0] != pair[1]] == []
