"""The whole loop over the API of a real server: data, SQL, a fine-tuning with the settings that are chosen by
themselves, and answers through the openai SDK. Real trainings of their real length, hence long."""

import json
import time
from collections.abc import Iterator

import pytest
from openai import OpenAI

from core.config import ROOT
from tests.browser.rest import Rest
from tests.browser.server import Server, serving
from tests.conftest import SHARED

SAMPLE = ROOT / "data" / "samples" / "support_faq.jsonl"
GSM8K = SHARED / "gsm8k-train.jsonl"
SHORT_ROWS = (
    'SELECT question, answer FROM "gsm8k-train" ORDER BY length(question) + length(answer), question LIMIT 60'
)
SAMPLE_SECONDS = 180
pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as made:
        yield made


@pytest.fixture(scope="module")
def rest(server: Server) -> Rest:
    return Rest(server.url, "ada@example.com")


@pytest.fixture(scope="module")
def sdk(server: Server, rest: Rest) -> OpenAI:
    key = rest.post("/apikeys", {"name": "loop"})["key"]
    return OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)


def ask(sdk: OpenAI, model: str, question: str) -> tuple[str, int]:
    """The streamed answer and the number of pieces it came in."""
    said = [{"role": "user", "content": question}]
    stream = sdk.chat.completions.create(
        model=model, messages=said, stream=True, temperature=0, max_tokens=120
    )
    contents = [chunk.choices[0].delta.content for chunk in stream if chunk.choices]
    pieces = [content for content in contents if content]
    return "".join(pieces), len(pieces)


def test_a_file_of_ones_own_becomes_a_model(rest: Rest, sdk: OpenAI) -> None:
    if not GSM8K.exists():
        pytest.skip("the shared file gsm8k-train.jsonl is not at hand")
    dataset = rest.upload(GSM8K, name="gsm8k-train")
    assert dataset["num_rows"] == 7473
    version = rest.post(f"/datasets/{dataset['id']}/versions", {"sql": SHORT_ROWS, "note": "60 short rows"})
    assert (version["version"], version["num_rows"], version["sql"]) == (2, 60, SHORT_ROWS)
    mapping = {"prompt": "question", "completion": "answer"}
    job_id = rest.train(
        dataset["id"], "gsm8k-short", {"n_epochs": 10}, dataset_version_id=version["id"], columns=mapping
    )
    rest.finish(job_id, seconds=400)
    losses = [value for _, value in rest.get(f"/finetune/{job_id}/metrics")["series"]["train_loss"]]
    assert losses[-1] <= losses[0] / 2
    answer, pieces = ask(
        sdk, "gsm8k-short", "Tom has 3 apples and buys 4 more. How many apples does he have?"
    )
    assert answer.strip()
    assert pieces > 1


def test_the_sample_is_remembered_exactly_three_minutes_after_start(rest: Rest, sdk: OpenAI) -> None:
    dataset = rest.upload(SAMPLE, name="Support FAQ")["id"]
    began = time.monotonic()
    rest.finish(rest.train(dataset, "support-bot", {}), seconds=400)
    took = time.monotonic() - began
    rows = [json.loads(line)["messages"] for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    asked = rows[:: max(1, len(rows) // 10)][:10]
    exact = sum(ask(sdk, "support-bot", row[-2]["content"])[0] == row[-1]["content"] for row in asked)
    assert exact >= 8
    assert took < SAMPLE_SECONDS
