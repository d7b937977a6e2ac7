"""The upload field's Python side: what arrived is told once, and the browser is told what has been heard."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.ui.elements import component


class Browser:
    """Stands for the component: says what arrived, keeps what it was given."""

    def __init__(self) -> None:
        self.arrived: list[dict[str, Any]] | None = None
        self.given: list[dict[str, Any]] = []

    def __call__(self, **given: Any) -> "Browser":
        self.given.append(given["data"])
        return self


def page() -> None:
    import streamlit as st

    from core.ui.elements import upload

    st.json([vars(one) for one in upload.field("upload", title="Drop files here", dataset_id="ds_x")])


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Browser:
    made = Browser()
    monkeypatch.setattr(component, "declare", lambda *_, **__: made)
    return made


def test_what_arrived_is_told_once(browser: Browser) -> None:
    app = AppTest.from_function(page).run()
    assert app.json[0].value == "[]"
    browser.arrived = [{"id": "upl_a", "name": "a.csv", "size": 3, "alone": True}]
    app.run()
    assert '"upload_id": "upl_a"' in app.json[0].value
    browser.arrived.append({"id": "upl_b", "name": "b.csv", "size": 4, "alone": False})
    app.run()
    assert "upl_a" not in app.json[0].value
    assert "upl_b" in app.json[0].value
    app.run()
    assert app.json[0].value == "[]"
    assert browser.given[-1]["seen"] == ["upl_a", "upl_b"]


def test_browser_is_told_how_to_send(browser: Browser) -> None:
    AppTest.from_function(page).run()
    given = browser.given[0]
    assert given["chunk_bytes"] == 8 * 2**20
    assert (given["dataset_id"], given["multiple"], given["seen"]) == ("ds_x", True, [])
    assert "Up to 2,048 MiB each." in given["hint"]
