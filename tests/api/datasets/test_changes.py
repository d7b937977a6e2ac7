"""All differences of two versions as a file: only for their owner,
and what is wrong is said before the file begins."""

import csv
import io

from starlette.testclient import TestClient

from core.people import sessions
from core.people.users import User
from tests.core.datasets.version_of_sql import make


def sign_in(client: TestClient, user: User) -> None:
    client.post("/session/claim", json={"ticket": sessions.issue_ticket(user)})


def test_differences_are_a_file_for_their_owner_only(client: TestClient, ada: User, bob: User) -> None:
    old = make(ada, "SELECT i AS id, 'a' AS s FROM range(5) t(i)", name="faq")
    new = make(ada, "SELECT i AS id, 'b' AS s FROM range(4) t(i)", dataset_id=old.dataset_id)
    address = f"/download/changes?from={old.id}&to={new.id}&key=id"
    assert client.get(address).status_code == 401
    sign_in(client, bob)
    assert client.get(address).status_code == 404
    sign_in(client, ada)
    answer = client.get(address)
    assert answer.status_code == 200
    assert "faq v1 to v2 changes.csv" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["change"] for row in rows] == ["before", "after"] * 4 + ["removed"]
    assert client.get(address + "&key=nope").status_code == 422
    assert client.get("/download/changes").status_code == 404
