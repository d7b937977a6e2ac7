"""The whole loop in Chromium, from a sample in three clicks to the openai SDK: a real, short training."""

import re

from openai import OpenAI
from playwright.sync_api import expect

from tests.browser.conftest import App, Server
from tests.browser.rest import Rest

QUESTION = "How do I reset my password?"


def job_id_of(app: App) -> str:
    app.reaches(r"/job\?.*id=ftj_")
    found = re.search(r"id=(ftj_[a-z0-9]+)", app.page.url)
    assert found
    return found.group(1)


def say(app: App, text: str) -> str:
    """Ask in the chat and return the complete reply as drawn."""
    before = app.page.get_by_test_id("stChatMessage").count()
    box = app.by_key("chat_input").locator("textarea")
    expect(box).to_be_enabled()
    box.fill(text)
    box.press("Enter")
    replies = app.page.get_by_test_id("stChatMessage")
    expect(replies).to_have_count(before + 2)
    expect(app.by_key("chat_regenerate")).to_be_visible()
    return replies.last.inner_text()


def make_key(app: App, name: str) -> str:
    app.open("/api_keys").click("new_key")
    app.fill("key_name", name)
    app.click("new_key_form_submit")
    key = app.by_key("fresh_key").locator("code").first
    expect(key).to_be_visible()
    return key.inner_text().strip()


def ask_with_sdk(server: Server, key: str, model: str, question: str) -> tuple[str, int]:
    """The streamed answer and the number of pieces it came in."""
    client = OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        stream=True,
        temperature=0,
        max_tokens=120,
    )
    pieces = [
        chunk.choices[0].delta.content for chunk in stream if chunk.choices and chunk.choices[0].delta.content
    ]
    return "".join(pieces), len(pieces)


def test_a_sample_becomes_a_model_that_answers_in_the_chat_and_the_sdk(
    app: App, rest: Rest, server: Server
) -> None:
    app.open("/datasets")
    sample = app.by_key("sample_support_faq")
    if not sample.is_visible():
        app.page.get_by_text("Sample datasets").first.click()
        app.still()  # it opens slowly
    app.click("sample_support_faq")
    app.reaches(r"/dataset\?.*id=ds_")
    app.click("use_fine_tune")
    app.reaches(r"/fine_tuning\?")
    app.sees("306 steps").sees("Every row is learned whole")  # all of the form is there
    app.fill("ft_name", "support-bot").settled()
    app.fill("ft_n_epochs", "1").sees("18 steps")
    app.shoot("loop-form")
    app.click("ft_start")
    job_id = job_id_of(app)
    rest.finish(job_id)
    expect(app.by_key("job_chat")).to_be_visible()  # the page comes to say so by itself
    app.shoot("loop-job")

    app.click("job_chat").settled()
    assert say(app, QUESTION).strip()
    app.shoot("loop-chat")
    answer, pieces = ask_with_sdk(server, make_key(app, "loop"), "support-bot", QUESTION)
    assert answer.strip()
    assert pieces > 1
