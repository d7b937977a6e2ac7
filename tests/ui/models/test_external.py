"""A model that answers on another server, on the pages: in the list, on its own page, and in a chat."""

from collections.abc import Iterator

import pytest

from core.people.users import User
from tests.fake_http import Upstream, make_external, upstream
from tests.ui.conftest import Visit, table_of, text_of


@pytest.fixture
def faraway() -> Iterator[Upstream]:
    with upstream() as state:
        yield state


def test_its_page_says_that_its_weights_are_elsewhere(ada: User, visit: Visit, faraway: Upstream) -> None:
    model_id = make_external(ada)
    (row,) = table_of(visit(ada, "models"))["rows"]
    assert (row["name"], row["state"], row["why"]) == ("far-1", "External", "answers on another server")
    app = visit(ada, "model", id=model_id)
    assert not app.exception
    assert "far-1" in text_of(app)
    assert "answers on another server" in text_of(app)


def test_a_chat_page_asks_it_and_shows_what_fails_there(ada: User, visit: Visit, faraway: Upstream) -> None:
    app = visit(ada, "chat", model=make_external(ada))
    app.chat_input(key="chat_input").set_value("one two three").run()
    assert not app.exception
    assert "far-1 · 3 tokens" in text_of(app)
    faraway.status = 500
    app.chat_input(key="chat_input").set_value("and four").run()
    assert not app.exception
    assert "Faraway answered with the error 500" in text_of(app)
    assert faraway.count == 2
