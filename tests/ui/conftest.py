"""Pages in process: the real entry script and services; only who is signed in is said by the test.

``st.context.cookies`` is a truthy mock in AppTest, so identity is patched in its one place.
"""

from collections.abc import Callable, Iterator

import pytest
from streamlit.testing.v1 import AppTest

from core.config import ROOT
from core.ui import places, session
from core.users import User

Visit = Callable[..., AppTest]


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Visit]:
    """``visit(user, "dataset", id=…)`` opens a page as this user (None: nobody) and runs it once."""

    monkeypatch.setattr(session, "address", lambda: "10.0.0.9")

    def open_page(user: User | None, page: str, **query: str) -> AppTest:
        monkeypatch.setattr(session, "current_user", lambda: user)
        app = AppTest.from_file(ROOT / "core" / "ui" / "main.py", default_timeout=20)
        if page != "home":
            app.switch_page(places.path(page))
        for name, value in query.items():
            app.query_params[name] = value
        return app.run()

    yield open_page


def text_of(app: AppTest) -> str:
    """Everything that the page says, for claims about what is or is not on it."""
    kinds = ("title", "subheader", "markdown", "caption", "text", "code", "error", "warning", "info", "success", "page_link", "toast")
    return "\n".join(str(getattr(one, "value", "")) for kind in kinds for one in app.get(kind))
