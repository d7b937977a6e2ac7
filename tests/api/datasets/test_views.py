"""Downloads of what is shown: the parameters of a view in the link,
streamed, and let go of whatever ends the stream."""

import asyncio
import io
import json
from collections.abc import Iterator

import pyarrow.parquet
import pytest
from starlette.testclient import TestClient

from core.api import downloads
from core.people import sessions
from core.people.users import User
from tests.ui.things import make_dataset

ROWS = [{"name": f"n{i}", "group": "ab"[i % 2]} for i in range(10)]


@pytest.fixture
def browser(client: TestClient, ada: User) -> TestClient:
    client.post("/session/claim", json={"ticket": sessions.issue_ticket(ada)})
    return client


def test_a_view_is_downloaded_as_it_is_shown(browser: TestClient, ada: User) -> None:
    dataset_id = make_dataset(ada, ROWS).dataset_id
    view = {"where": json.dumps({"group": {"equals": "b"}}), "sort": "-name", "cols": "name", "q": "n"}
    answer = browser.get(f"/download/{dataset_id}", params={**view, "as": "csv"})
    assert answer.text == "name\nn9\nn7\nn5\nn3\nn1\n"
    assert "attachment" in answer.headers["Content-Disposition"]
    lines = browser.get(f"/download/{dataset_id}", params={**view, "as": "jsonl"}).text.splitlines()
    assert [json.loads(line) for line in lines] == [{"name": f"n{i}"} for i in (9, 7, 5, 3, 1)]
    table = pyarrow.parquet.read_table(
        io.BytesIO(browser.get(f"/download/{dataset_id}", params={**view, "as": "parquet"}).content)
    )
    assert table.to_pydict() == {"name": ["n9", "n7", "n5", "n3", "n1"]}
    assert browser.head(f"/download/{dataset_id}", params={**view, "as": "csv"}).content == b""


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("where={", 422), ("where=[]", 422), ('where={"gone":{"equals":1}}', 422), ("sort=gone", 422),
        ("cols=gone", 422), ("q=n", 422), ("q=n&as=csv&finding=none", 404), ("q=n&as=csv&version=7", 404),
    ],
)  # fmt: skip
def test_a_view_that_makes_no_sense_is_refused(
    browser: TestClient, ada: User, query: str, status: int
) -> None:
    answer = browser.get(f"/download/{make_dataset(ada, ROWS).dataset_id}?{query}")
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_others_views_look_missing(browser: TestClient, bob: User) -> None:
    assert browser.get(f"/download/{make_dataset(bob, ROWS).dataset_id}?q=n&as=csv").status_code == 404


def test_a_download_that_is_broken_off_lets_go() -> None:
    closed = []

    def chunks() -> Iterator[bytes]:
        try:
            yield from [b"a", b"b", b"c"]
        finally:
            closed.append(True)

    async def leave_early() -> None:
        stream = downloads.closed_at_the_end(chunks())
        assert await anext(stream) == b"a"
        await stream.aclose()

    asyncio.run(leave_early())
    assert closed == [True]
