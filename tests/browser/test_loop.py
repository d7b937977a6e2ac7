"""The whole loop in Chromium, from an empty server to the openai SDK:
real files, real training, real answers. Prints the times."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from openai import OpenAI
from playwright.sync_api import Browser, expect

from core.config import ROOT
from tests.browser.conftest import App, Server, register, upload_file, window
from tests.browser.rest import Rest
from tests.waiting import wait_until

GSM8K = ROOT.parent / "shared" / "data" / "gsm8k-train.jsonl"
SAMPLE = ROOT / "data" / "samples" / "support_faq.jsonl"
SHORT_ROWS = (
    'SELECT question, answer FROM "gsm8k-train" ORDER BY length(question) + length(answer), question LIMIT 60'
)
SAMPLE_DEADLINE = 180


@contextmanager
def step(name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"  {time.monotonic() - began:6.1f} s  {name}", flush=True)


@pytest.fixture(scope="module")
def user(chromium: Browser, server: Server) -> Iterator[App]:
    """The first person on a fresh server; she stays signed in for the whole story."""
    with window(chromium, server) as app:
        with step("register the first account"):
            register(app, "ada@example.com")
            app.sees("Welcome")
        yield app


@pytest.fixture(scope="module")
def rest(user: App, server: Server) -> Rest:
    """The same account over /api, to compare what the pages say with what is true."""
    return Rest(server.url, "ada@example.com", register=False)


def job_id_of(app: App) -> str:
    app.reaches(r"/job\?.*id=ftj_", timeout=60)
    found = re.search(r"id=(ftj_[a-z0-9]+)", app.page.url)
    assert found
    return found.group(1)


def follow(app: App, rest: Rest, job_id: str, *, seconds: float) -> dict:
    """Watch the monitor until the job has ended; the page must come to say so by itself."""
    done = rest.wait_for_job(
        job_id, lambda p: p["status"] in ("succeeded", "failed", "cancelled"), seconds=seconds
    )
    assert done["status"] == "succeeded", rest.get(f"/finetune/{job_id}")["error"]
    expect(app.by_key("job_chat")).to_be_visible(timeout=20_000)
    return done


def say(app: App, text: str) -> str:
    """Ask in the chat and return the complete reply as drawn."""
    before = app.page.get_by_test_id("stChatMessage").count()
    box = app.by_key("chat_input").locator("textarea")
    expect(box).to_be_enabled(timeout=30_000)
    box.fill(text)
    box.press("Enter")
    replies = app.page.get_by_test_id("stChatMessage")
    expect(replies).to_have_count(before + 2, timeout=60_000)
    expect(app.by_key("chat_regenerate")).to_be_visible(timeout=60_000)
    return replies.last.inner_text()


def make_key(app: App, name: str) -> str:
    app.open("/api_keys").click("new_key")
    app.fill("key_name", name)
    app.click("new_key_form_submit")
    key = app.by_key("fresh_key").locator("code").first
    expect(key).to_be_visible(timeout=20_000)
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


@pytest.mark.timeout(600)
def test_a_file_of_ones_own_becomes_a_model(user: App, rest: Rest, server: Server) -> None:
    if not GSM8K.exists():
        pytest.skip("the shared file gsm8k-train.jsonl is not at hand")
    print("\ngsm8k-train.jsonl:")
    with step("upload 7,473 rows"):
        upload_file(user, GSM8K)
        user.sees(re.compile(r"7,473"))
    with step("preview"):
        dataset = rest.get("/datasets", q="gsm8k")["items"][0]
        assert dataset["num_rows"] == 7473
        user.shoot("loop-dataset")
    with step("SQL that keeps 60 short rows"):
        user.open("/sql")
        user.page.locator(".st-key-sql_editor textarea").fill(SHORT_ROWS)
        user.page.locator(".st-key-sql_editor textarea").press("Control+Enter")
        expect(user.by_key("sql_facts")).to_contain_text("60 rows", timeout=30_000)
        user.settled().shoot("loop-sql")
    with step("save as version 2"):
        user.click("sql_save")
        user.page.get_by_role("radio", name="New version").click()
        user.settled()
        user.fill("save_note", "60 short rows")
        user.click("save_submit")
        user.reaches(r"/dataset\?.*id=ds_", timeout=60)
        version = wait_until(
            lambda: rest.get(f"/datasets/{dataset['id']}/versions")["items"],
            lambda items: len(items) == 2,
            seconds=30,
        )[0]
        assert (version["version"], version["num_rows"], version["sql"]) == (2, 60, SHORT_ROWS)
    with step("map question → prompt, answer → completion; start"):
        user.open(f"/fine_tuning?dataset={dataset['id']}&version=2")
        user.sees("60 usable rows")
        expect(user.by_key("ft_column_prompt").locator("input")).to_have_value("question")
        expect(user.by_key("ft_column_completion").locator("input")).to_have_value("answer")
        user.fill("ft_name", "gsm8k-short")
        user.fill("ft_n_epochs", "10")
        user.settled()
        user.shoot("loop-form")
        user.click("ft_start")
        job_id = job_id_of(user)
    with step("fine-tune on 60 rows"):
        done = follow(user, rest, job_id, seconds=400)
        user.shoot("loop-job")
    losses = [value for _, value in rest.get(f"/finetune/{job_id}/metrics")["series"]["train_loss"]]
    print(f"           training loss {losses[0]:.2f} → {losses[-1]:.2f} in {done['total_steps']} steps")
    assert losses[-1] <= losses[0] / 2
    with step("open the model and chat"):
        user.click("job_chat")
        user.settled()
        assert say(user, "Tom has 3 apples and buys 4 more. How many apples does he have?").strip()
        user.shoot("loop-chat")
    with step("a key, and the openai SDK gets a streamed answer"):
        key = make_key(user, "loop")
        answer, pieces = ask_with_sdk(
            server, key, "gsm8k-short", "Tom has 3 apples and buys 4 more. How many apples does he have?"
        )
        assert answer.strip()
        assert pieces > 1


@pytest.mark.timeout(600)
def test_the_sample_in_three_clicks_is_remembered_exactly(user: App, rest: Rest, server: Server) -> None:
    print("\nthe bundled sample:")
    with step("click 1: add the sample"):
        user.open("/datasets")
        sample = user.by_key("sample_support_faq")
        if not sample.is_visible():
            user.page.get_by_text("Sample datasets").first.click()
            user.still()  # it opens slowly
        user.click("sample_support_faq")
        user.reaches(r"/dataset\?.*id=ds_", timeout=60)
    with step("click 2: fine-tune"):
        user.click("use_fine_tune")
        user.reaches(r"/fine_tuning\?", timeout=30)
        user.fill("ft_name", "support-bot")
        user.settled()
    began = time.monotonic()
    with step("click 3: start, and train"):
        user.click("ft_start")
        job_id = job_id_of(user)
        follow(user, rest, job_id, seconds=SAMPLE_DEADLINE)
    took = time.monotonic() - began
    rows = [json.loads(line)["messages"] for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    asked = rows[:: max(1, len(rows) // 10)][:10]
    key = make_key(user, "sample")
    with step("ten questions from the training rows through the SDK"):
        exact = sum(
            ask_with_sdk(server, key, "support-bot", row[-2]["content"])[0] == row[-1]["content"]
            for row in asked
        )
    print(
        f"           {exact} of {len(asked)} answered exactly; {took:.0f} s from pressing start to the model"
    )
    assert exact >= 8
    assert took < SAMPLE_DEADLINE
    with step("the same in the browser"):
        user.open(f"/chat?model={rest.get(f'/finetune/{job_id}')['model_id']}")
        say(user, asked[0][-2]["content"])
        user.shoot("loop-sample-chat")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "rows", "types"),
    [
        ("movies.json", 3201, {"Title": "VARCHAR", "US Gross": "BIGINT"}),
        ("flights-200k.arrow", 200_000, {"delay": "SMALLINT"}),
        *(
            pytest.param(*case, marks=pytest.mark.long)
            for case in (
                ("stocks.csv", 560, {"symbol": "VARCHAR", "price": "DOUBLE"}),
                (
                    "seattle-weather.csv",
                    1461,
                    {"date": "DATE", "precipitation": "DOUBLE", "weather": "VARCHAR"},
                ),
                ("zipcodes.csv", 42049, {"zip_code": "VARCHAR", "latitude": "DOUBLE"}),
                ("gapminder.json", 682, {"year": "BIGINT", "country": "VARCHAR", "life_expect": "DOUBLE"}),
            )
        ),
    ],
)
def test_real_files_come_in_with_true_rows_and_types(
    user: App, rest: Rest, name: str, rows: int, types: dict[str, str]
) -> None:
    path = GSM8K.parent / name
    if not path.exists():
        pytest.skip(f"the shared file {name} is not at hand")
    upload_file(user, path)
    user.sees(re.compile(f"{rows:,}"))
    found = next(d for d in rest.get("/datasets", q=path.stem)["items"] if d["filename"] == name)
    assert found["num_rows"] == rows
    columns = {c["name"]: c["type"] for c in found["columns"]}
    assert {name: columns[name] for name in types} == types
