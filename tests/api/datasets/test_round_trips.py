"""What came in by the API goes out by the API: the properties of ``tests/core/ingest/test_round_trips``, with
an upload and downloads over HTTP."""

import contextlib
import csv
import io
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from core.ingest import converter
from core.ingest import queue as conversions
from tests.api.conftest import Caller
from tests.core.ingest.strategies import JSON_ROWS, tables, written_tables
from tests.core.ingest.test_round_trips import Store, Stored, check_json, check_order, check_table, run

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]
EXAMPLES = 50


@pytest.fixture
def store(as_ada: Caller, monkeypatch: pytest.MonkeyPatch) -> Store:
    # the real converter without its process, which takes a second to start
    monkeypatch.setattr(conversions, "run_and_wait", converter.run)

    @contextlib.contextmanager
    def stored(filename: str, content: bytes, **options: Any) -> Iterator[Stored]:
        fields = {"options": json.dumps(options), "format": "auto"}
        answer = as_ada("POST", "/api/datasets", files={"file": (filename, content)}, data=fields)
        assert answer.status_code == 201, answer.text
        path = f"/api/datasets/{answer.json()['id']}"

        def get(as_: str) -> bytes:
            found = as_ada("GET", f"{path}/content", params={"as": as_})
            assert found.status_code == 200, found.text
            return bytes(found.content)

        assert get("original") == content
        (version,) = as_ada.get(f"{path}/versions").json()["items"]
        said = {name: version.get(name) for name in ("columns", "content_hash")}
        lines = get("jsonl").decode().split("\n")[:-1]
        yield Stored(
            SimpleNamespace(detected={"notes": version["notes"]}, **said),  # type: ignore[arg-type]
            [json.loads(line) for line in lines],
            list(csv.reader(io.StringIO(get("csv").decode("utf-8-sig"), newline=""))),
            pq.read_table(io.BytesIO(get("parquet"))),
        )
        assert as_ada("DELETE", path).status_code == 204

    return stored


def test_rows_of_json_come_back(store: Store) -> None:
    run(EXAMPLES, JSON_ROWS, lambda rows: check_json(rows, store))


@pytest.mark.parametrize("filename", ["t.parquet", "t.arrow"])
def test_a_table_of_arrow_comes_back(store: Store, filename: str) -> None:
    run(EXAMPLES, tables(), lambda table: check_table(filename, table, store))


@pytest.mark.parametrize("filename", ["t.csv", "t.jsonl"])
def test_the_order_of_rows_changes_nothing(store: Store, filename: str) -> None:
    run(EXAMPLES, written_tables(), lambda tables: check_order(filename, *tables, store))
