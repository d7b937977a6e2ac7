"""What keeps an element's place while it loads is taken away by the script that draws it."""

from pathlib import Path

import pytest

from core.ui import elements

FOLDER = Path(elements.__file__).parent
KEPT = sorted(path for path in FOLDER.glob("*/*.html") if "skeleton" in path.read_text(encoding="utf-8"))
TAKEN_AWAY = ('classList.remove("skeleton")', "tokens.className = ")


def test_the_elements_that_draw_all_of_themselves_keep_their_place() -> None:
    names = {path.parent.name for path in KEPT}
    assert names >= {"grid", "link_table", "tokens", "plan_tree", "column_cards", "record"}


@pytest.mark.parametrize("html", KEPT, ids=lambda path: path.parent.name)
def test_a_script_takes_the_skeleton_away_and_its_height_is_said(html: Path) -> None:
    assert any(line in html.with_suffix(".js").read_text(encoding="utf-8") for line in TAKEN_AWAY)
    assert "component.reserve(" in (html.parent / "__init__.py").read_text(encoding="utf-8")
