"""Chats as a browser shows them: what a model wrote is drawn as it was meant, and a page reloaded while a
reply grows is as soon whole as any other."""

import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from core.chats.records import add_message
from core.chats.siblings import last_shown
from core.db import writing
from core.security import new_id
from core.tables import ChatRow, ModelRow, ModelVersionRow
from tests.bench.bench_serving_gap import CONTEXT, make_talker
from tests.browser.conftest import App, Server
from tests.browser.rest import Rest

WRITTEN = r"""Prices $5 and $10, path C:\Users\x, 2 < 3 && a <b> c, `:smile:` in code, :smile: in text,
:material/home: and :red[red?] and a -> b

Inline $E=mc^2$ and \(a^2+b^2\), display:

\[ \sum_i x_i
= 1 \]

<think>hidden reasoning</think>final"""
IN_TEXT = (
    "Prices $5 and $10, path C:\\Users\\x, 2 < 3 && a <b> c, :smile: in code, :smile: in text,",
    ":material/home: and :red[red?] and a -> b",
)


@pytest.fixture(scope="module")
def talker(server: Server, ada: Rest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a model whose answers never end by themselves."""
    folder: Path = make_talker(tmp_path_factory.mktemp("talker"))
    with server.database(), writing() as session:
        row = ModelRow(
            id=new_id("mdl"), name="talker", type="base", context_length=CONTEXT, capabilities={"chat": True}
        )
        session.add(row)
        session.flush()
        session.add(ModelVersionRow(id=new_id("mdv"), model_id=row.id, version=1, folder=str(folder)))
        return str(row.id)


def test_what_a_model_wrote_is_drawn_as_it_was_meant(app: App, server: Server, rest: Rest) -> None:
    chat = rest.post("/chats", {"model_id": rest.starter()["id"]})["id"]
    rest.post("/messages", {"chat_id": chat, "content": "Show me", "generate": False})
    with server.database(), writing() as session:
        question, row = last_shown(session, chat), session.get(ChatRow, chat)
        assert question is not None
        assert row is not None
        add_message(session, row, role="assistant", content=WRITTEN, parent_id=question.id)
    app.open(f"/chat?id={chat}")
    answer = app.page.locator('[data-testid="stChatMessage"]').nth(1)
    expect(answer.locator(".katex")).to_have_count(3)
    expect(answer.locator(".katex-display")).to_have_count(1)
    expect(answer.locator(".katex-error")).to_have_count(0)
    for line in IN_TEXT:
        expect(answer).to_contain_text(line)
    expect(answer.locator("img")).to_have_count(0)
    expect(answer.get_by_text("hidden reasoning")).to_be_hidden()
    answer.get_by_text("Reasoning", exact=True).click()
    expect(answer.get_by_text("hidden reasoning")).to_be_visible()


def test_a_page_reloaded_mid_reply_is_as_soon_whole_as_a_finished_one(
    app: App, server: Server, rest: Rest, talker: str
) -> None:
    finished, growing = (rest.post("/chats", {"model_id": talker})["id"] for _ in range(2))
    for chat in (finished, growing):
        rest.post("/messages", {"chat_id": chat, "content": "Hi", "parameters": {"max_tokens": 200}})

    def seconds_until(chat: str, what: str) -> float:
        app.page.goto("about:blank")
        began = time.monotonic()
        app.page.goto(f"{server.url}/chat?id={chat}")
        expect(app.page.locator(what)).to_be_enabled()
        expect(app.page.locator('[data-testid="stSkeleton"]')).to_have_count(0)
        return time.monotonic() - began

    entry, stop = '[data-testid="stChatInputTextArea"]', ".st-key-chat_stop button"
    seconds_until(finished, entry)  # the first visit fetches the scripts
    alone = seconds_until(finished, entry)
    body: dict[str, Any] = {"chat_id": growing, "content": "Go on", "parameters": {"max_tokens": 3000}}
    with rest.http.stream("POST", "/api/messages", json=body | {"stream": True}) as answer:
        lines = answer.iter_lines()  # when nobody holds them, the client hangs up
        next(lines)
        assert min(seconds_until(growing, stop) for _ in range(2)) < 2 * alone + 0.5
        app.page.locator(stop).click()
        expect(app.page.locator(entry)).to_be_enabled()
    app.sees("stopped")
