"""The page that compares: one changed cell is one changed row, with what it was and what it is marked."""

import io
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from tests.browser.conftest import App
from tests.browser.rest import Rest
from tests.browser.table_editor import LINE

ROWS = 30
# What names the rows: a column of numbers, nothing at all, the changed column itself
KINDS = {
    "a-key": ("id,text", [f"{n},word {n % 7}" for n in range(1, ROWS + 1)], "text"),
    "no-key": ("kind,text", [f"{n % 3},word {n % 5}" for n in range(1, ROWS + 1)], "text"),
    "the-key-itself": ("id,text", [f"n{n},word {n % 7}" for n in range(1, ROWS + 1)], "id"),
    "one-column": ("text", [f"word {n % 5}" for n in range(1, ROWS + 1)], "text"),
}
CHANGED = 9  # the line


@pytest.mark.long  # each kind of table once
@pytest.mark.parametrize("kind", KINDS)
def test_one_changed_cell_is_one_changed_row_with_old_and_new_marked(
    app: App, rest: Rest, tmp_path: Path, kind: str
) -> None:
    header, rows, column = KINDS[kind]
    path = tmp_path / "words.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    dataset = rest.upload(path, name=f"Words of {kind}")["id"]
    cell = {"line": CHANGED, "column": column, "value": "mended"}
    rest.post(f"/datasets/{dataset}/edits", {"cells": [cell]})
    old = rows[CHANGED - 1].split(",")[header.split(",").index(column)]

    app.open(f"/diff?id={dataset}")
    counts = app.by_key("diff_counts")
    for label, count in {"Added": 0, "Removed": 0, "Changed": 1, "Unchanged": ROWS - 1}.items():
        expect(counts.locator("[data-testid=stMetric]").filter(has_text=f"● {label}")).to_contain_text(
            str(count)
        )
    table = app.page.locator("[data-testid=stDataFrame] canvas").first
    expect(table.locator("tr", has_text="before")).to_contain_text(old)
    expect(table.locator("tr", has_text="after")).to_contain_text("mended")
    app.settled().still()
    (before_red, before_green), (after_red, after_green) = (_tint(table, line) for line in (1, 2))
    assert before_red > before_green + 20
    assert after_green > after_red + 20


def _tint(table: Locator, line: int) -> tuple[int, int]:
    """Red and green behind the last cell of a row that is drawn on a canvas."""
    picture = Image.open(io.BytesIO(table.screenshot())).convert("RGB")
    red, green, _ = picture.getpixel((picture.width - 60, LINE * line + 6))  # type: ignore[misc]
    return red, green
