"""``/api/uploads``: pieces, resume, a look before the import;
the routes of datasets import by ``upload_id``."""

import hashlib
from typing import Any

import pytest

from core import storage
from core.config import settings
from core.people.users import User
from tests.api.conftest import Caller, error_of, fields_of

CSV = b"question;answer\nwhere?;here\nwhen?;now\n"
FIELDS = {
    "id", "dataset_id", "source", "state", "filename", "location", "size_bytes", "received_bytes", "sha256",
    "options", "error", "version_id", "is_importing", "is_moving", "same_as", "created_at", "updated_at",
}  # fmt: skip


def begin(caller: Caller, **more: Any) -> dict[str, Any]:
    answer = caller.post("/api/uploads", {"filename": "faq.csv", "size_bytes": len(CSV)} | more)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def put(caller: Caller, upload_id: str, offset: int, body: bytes) -> Any:
    return caller("PUT", f"/api/uploads/{upload_id}?offset={offset}", content=body)


def test_upload_has_the_documented_fields(as_ada: Caller) -> None:
    made = begin(as_ada, fingerprint="x")
    assert set(made) == FIELDS
    assert (made["source"], made["state"], made["created_at"][-1]) == ("api", "receiving", "Z")
    assert as_ada.get(f"/api/uploads/{made['id']}").json() == made


def test_pieces_then_a_look_then_gone(as_ada: Caller) -> None:
    upload_id = begin(as_ada)["id"]
    assert put(as_ada, upload_id, 0, CSV[:5]).json()["received_bytes"] == 5
    assert put(as_ada, upload_id, 4, CSV[4:]).status_code == 409
    assert as_ada.post(f"/api/uploads/{upload_id}/look", {}).status_code == 409
    done = put(as_ada, upload_id, 5, CSV[5:]).json()
    assert (done["state"], done["sha256"]) == ("received", hashlib.sha256(CSV).hexdigest())
    look = as_ada.post(f"/api/uploads/{upload_id}/look", {"options": {"header": False}}).json()
    assert [column["type"] for column in look["columns"]] == ["VARCHAR", "VARCHAR"]
    assert (look["questions"], look["offers"]) == ([], [])
    assert as_ada.post(f"/api/uploads/{upload_id}/look", {"options": {"delimiter": "ab"}}).status_code == 422
    assert as_ada.delete(f"/api/uploads/{upload_id}").status_code == 204
    assert as_ada.get(f"/api/uploads/{upload_id}").status_code == 404
    assert not storage.upload_path(upload_id).exists()


def test_same_fingerprint_goes_on(as_ada: Caller, as_bob: Caller) -> None:
    upload_id = begin(as_ada, fingerprint="x")["id"]
    put(as_ada, upload_id, 0, CSV[:5])
    again = begin(as_ada, fingerprint="x")
    assert (again["id"], again["received_bytes"]) == (upload_id, 5)
    assert begin(as_bob, fingerprint="x")["id"] != upload_id


def test_list_is_a_page_of_ones_own(as_ada: Caller, as_bob: Caller) -> None:
    ids = [begin(as_ada, filename=f"{name}.csv")["id"] for name in "abc"]
    begin(as_bob)
    page = as_ada.get("/api/uploads?limit=2&sort=filename").json()
    assert ([item["id"] for item in page["items"]], page["total"], page["limit"]) == (ids[:2], 3, 2)
    assert as_ada.get("/api/uploads?sort=secret").status_code == 422


@pytest.mark.parametrize(
    ("body", "field"), [({"filename": "a.csv"}, "size_bytes"), ({"size_bytes": 3}, "filename")]
)
def test_missing_fields_are_named(as_ada: Caller, body: dict[str, Any], field: str) -> None:
    assert field in fields_of(as_ada.post("/api/uploads", body))


def test_too_large_is_refused_when_announced_and_when_sent(
    as_ada: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_MAX_UPLOAD_MB", "1")
    settings.cache_clear()
    refused = as_ada.post("/api/uploads", {"filename": "a.csv", "size_bytes": 2**20 + 1})
    assert (refused.status_code, error_of(refused)["code"]) == (413, "too_large")
    sent = put(as_ada, begin(as_ada)["id"], 0, b"x" * (2 * 2**20 + 1))
    assert sent.status_code == 413
    assert error_of(sent)["message"] == error_of(refused)["message"]
    assert error_of(sent)["message"] == "The file is larger than 1 MiB, the most this server accepts."


def test_broken_off_connection_keeps_what_arrived(
    as_ada: Caller, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.api import uploads as edge
    from core.errors import BadRequest

    async def breaking(request: Any) -> Any:
        yield CSV[:7]
        raise BadRequest("The upload was cut off. Send it again.")

    upload_id = begin(as_ada)["id"]
    with monkeypatch.context() as patch:
        patch.setattr(edge, "_chunks", breaking)
        assert put(as_ada, upload_id, 0, CSV).status_code == 400
    assert as_ada.get(f"/api/uploads/{upload_id}").json()["received_bytes"] == 7
    assert put(as_ada, upload_id, 7, CSV[7:]).json()["sha256"] == hashlib.sha256(CSV).hexdigest()
