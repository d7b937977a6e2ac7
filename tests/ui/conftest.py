"""Pages in process: the real entry script and services; only who is signed in is said by the test.

``st.context.cookies`` is a truthy mock in AppTest, so identity is patched in its one place.
"""

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.runtime.scriptrunner.script_cache import ScriptCache
from streamlit.runtime.state.common import RegisterWidgetResult, WidgetMetadata
from streamlit.runtime.state.session_state import SessionState
from streamlit.testing.v1 import AppTest, app_test

from core import datasets, storage
from core.config import ROOT
from core.datasets import Dataset, NewDataset
from core.fields import parse
from core.ingest import converter
from core.ingest import queue as conversions
from core.people.users import User
from core.ui import places, session

Visit = Callable[..., AppTest]


@pytest.fixture(autouse=True, scope="session")
def look_for_components_once() -> Iterator[None]:
    """AppTest reads the metadata of every installed package at each run,
    a third of these tests' time: the answer is the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            manifest_scanner,
            "scan_component_manifests",
            functools.cache(manifest_scanner.scan_component_manifests),
        )
        yield


@pytest.fixture(autouse=True, scope="session")
def compile_pages_once() -> Iterator[None]:
    """AppTest has a new cache of compiled scripts for each test."""
    kept = ScriptCache()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app_test, "ScriptCache", lambda: kept)
        yield


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch) -> Visit:
    """``visit(user, "dataset", id=…)`` opens a page as this user (None: nobody) and runs it once."""

    monkeypatch.setattr(session, "address", lambda: "10.0.0.9")

    def open_page(user: User | None, page: str, /, **query: str) -> AppTest:
        monkeypatch.setattr(session, "current_user", lambda: user)
        app = AppTest.from_file(ROOT / "core" / "ui" / "main.py", default_timeout=20)
        if page != "home":
            app.switch_page(places.path(page))
        for name, value in query.items():
            app.query_params[name] = value
        return app.run()

    return open_page


def text_of(app: AppTest) -> str:
    """Everything that the page says, for claims about what is or is not on it."""
    kinds = (
        "title",
        "subheader",
        "markdown",
        "caption",
        "text",
        "code",
        "error",
        "warning",
        "info",
        "success",
        "page_link",
        "toast",
    )
    return "\n".join(str(getattr(one, "value", "")) for kind in kinds for one in app.get(kind))


def table_of(app: AppTest) -> dict[str, Any]:
    """What the page's table of links was given: columns, rows, sort, chosen; nothing without one."""
    tables = [
        one.proto for one in app.get("bidi_component") if one.proto.component_name == "luthier_link_table"
    ]
    assert not app.exception
    return json.loads(tables[0].json) if tables else {"columns": [], "rows": []}


def names_of(app: AppTest) -> list[str]:
    """Of the rows of the page's table, as they stand."""
    return [row["name"] for row in table_of(app)["rows"]]


def kept_from_the_browser(app: AppTest) -> dict[str, Any]:
    """Run again as when the first run was interrupted and the browser has seen nothing of it: the widgets
    that it would then draw empty while the server has a value, by key. What such a browser says next is
    taken for the user's word, and the value is lost."""
    kept: dict[str, Any] = {}
    register = SessionState.register_widget

    def registering(
        self: SessionState, metadata: WidgetMetadata[Any], key: str | None
    ) -> RegisterWidgetResult[Any]:
        found = register(self, metadata, key)
        drawn = found.value if found.value_changed else metadata.deserializer(None)
        if metadata.serializer(drawn) != metadata.serializer(found.value):
            kept[key or metadata.id] = found.value
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SessionState, "register_widget", registering)
        patch.setattr(app._tree, "get_widget_states", WidgetStates)
        app.run()
    assert not app.exception
    return kept


@pytest.fixture(autouse=True)
def convert_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real converter without its process,
    which takes a second to start; ``tests/core`` has the process."""
    monkeypatch.setattr(conversions, "run_and_wait", converter.run)


@pytest.fixture
def dataset_of() -> Callable[..., Dataset]:
    """``dataset_of(user, "name", text)`` makes a dataset from the text of a file (by default JSON Lines)."""

    def make(user: User, name: str, text: str, *, filename: str = "rows.jsonl") -> Dataset:
        staged = storage.new_staging_path()
        staged.write_text(text)
        return datasets.create(user, parse(NewDataset, name=name), file=staged, filename=filename)

    return make


def jsonl(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
