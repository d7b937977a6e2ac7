"""Chats as a browser shows them: what a model wrote is drawn as it was meant, and a page reloaded while a
reply grows is as soon whole as any other."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

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
WHOLE_PAGE = r"""# Heading
Prices $5 and $10, path C:\Users\x, 2 < 3 && a <b> c, `:smile:` in code, :smile: in text,
:material/home: , :red[red?]

Inline math $E=mc^2$ and \(a^2+b^2\), display:

$$\int_0^1 x^2 dx = \frac{1}{3}$$

\[ \sum_i x_i \]

| a | b |
|---|---|
| 1 | x |

```python
print(f"${x}")  # <b>no</b>
```
<think>hidden reasoning</think>final
<script>alert(1)</script> [link](javascript:alert(1))"""
IN_TEXT = (
    "Prices $5 and $10, path C:\\Users\\x, 2 < 3 && a <b> c, :smile: in code, :smile: in text,",
    ":material/home: and :red[red?] and a -> b",
)
ENTRY, STOP = '[data-testid="stChatInputTextArea"]', ".st-key-chat_stop button"
MESSAGE = '[data-testid="stChatMessage"]'
WHOLE = 1200  # tokens


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


def show_answer(app: App, server: Server, rest: Rest, written: str) -> Locator:
    """What the page draws of an answer that a model wrote so."""
    chat = rest.post("/chats", {"model_id": rest.starter()["id"]})["id"]
    rest.post("/messages", {"chat_id": chat, "content": "Show me", "generate": False})
    with server.database(), writing() as session:
        question, row = last_shown(session, chat), session.get(ChatRow, chat)
        assert question is not None
        assert row is not None
        add_message(session, row, role="assistant", content=written, parent_id=question.id)
    app.open(f"/chat?id={chat}")
    return app.page.locator(MESSAGE).nth(1)


def test_what_a_model_wrote_is_drawn_as_it_was_meant(app: App, server: Server, rest: Rest) -> None:
    answer = show_answer(app, server, rest, WRITTEN)
    expect(answer.locator(".katex")).to_have_count(3)
    expect(answer.locator(".katex-display")).to_have_count(1)
    expect(answer.locator(".katex-error")).to_have_count(0)
    for line in IN_TEXT:
        expect(answer).to_contain_text(line)
    expect(answer.locator("img")).to_have_count(0)
    expect(answer.get_by_text("hidden reasoning")).to_be_hidden()
    answer.get_by_text("Reasoning", exact=True).click()
    expect(answer.get_by_text("hidden reasoning")).to_be_visible()


@pytest.mark.long  # the same with all that a model may write
def test_a_whole_page_of_a_model_is_drawn_and_none_of_it_acts(app: App, server: Server, rest: Rest) -> None:
    answer = show_answer(app, server, rest, WHOLE_PAGE)
    expect(answer.get_by_role("heading", name="Heading", exact=True)).to_be_visible()
    expect(answer.locator(".katex")).to_have_count(4)
    expect(answer.locator(".katex-display")).to_have_count(2)
    expect(answer.locator(".katex-error")).to_have_count(0)
    expect(answer.locator("table")).to_contain_text("x")
    expect(answer.locator("code").filter(has_text='print(f"${x}")  # <b>no</b>')).to_be_visible()
    for text in (IN_TEXT[0], ":material/home: , :red[red?]"):
        expect(answer).to_contain_text(text)
    expect(answer.get_by_text("hidden reasoning")).to_be_hidden()
    expect(answer).to_contain_text("<script>alert(1)</script>")
    expect(answer.locator("script, b, img, [href^='javascript']")).to_have_count(0)


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

    seconds_until(finished, ENTRY)  # the first visit fetches the scripts
    alone = seconds_until(finished, ENTRY)
    body: dict[str, Any] = {"chat_id": growing, "content": "Go on", "parameters": {"max_tokens": 3000}}
    with rest.http.stream("POST", "/api/messages", json=body | {"stream": True}) as answer:
        lines = answer.iter_lines()  # when nobody holds them, the client hangs up
        next(lines)
        assert min(seconds_until(growing, STOP) for _ in range(2)) < 2 * alone + 0.5
        app.page.locator(STOP).click()
        expect(app.page.locator(ENTRY)).to_be_enabled()
    app.sees("stopped")


@pytest.mark.long  # one reply to its end, with the page reloaded again and again meanwhile
def test_a_reply_whose_page_was_reloaded_is_whole_in_the_end(app: App, rest: Rest, talker: str) -> None:
    """What is shown of it then is what a page shows that never saw it grow."""
    settings = {"max_tokens": WHOLE, "temperature": 0}
    chat = rest.post("/chats", {"model_id": talker, "parameters": settings})["id"]
    app.open(f"/chat?id={chat}")
    entry, stop = app.page.locator(ENTRY), app.page.locator(STOP)
    entry.fill("Go on")
    entry.press("Enter")
    for _ in range(4):
        expect(stop).to_be_enabled()
        expect(app.page.locator(MESSAGE).nth(1)).to_contain_text("▌")
        app.page.reload()
    expect(entry).to_be_enabled()
    expect(stop).to_have_count(0)
    expect(app.page.locator(MESSAGE)).to_have_count(2)
    app.settled().still()
    seen = app.page.locator(MESSAGE).nth(1).inner_text()
    reply = rest.get("/messages", chat_id=chat)["items"][1]
    assert (reply["error"], reply["finish_reason"]) == (None, "length")
    assert reply["usage"]["completion_tokens"] == WHOLE
    app.open(f"/chat?id={chat}")
    assert app.page.locator(MESSAGE).nth(1).inner_text() == seen
    assert len(reply["content"]) > WHOLE
    words = re.findall(r"[A-Za-z]{4,}", reply["content"])
    assert [word for word in (words[0], words[-1]) if word not in seen] == []
