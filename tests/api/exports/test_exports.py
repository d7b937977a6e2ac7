"""Exports over /api and the browser's own route:
what is there already, what is refused, and files in ranges."""

import pytest

from core import exports, models, storage
from core.people.users import User
from tests.api.conftest import Caller, Client
from tests.ui.things import make_export, make_model


@pytest.fixture
def base(ada: User) -> str:
    models.ensure_starter()
    return models.list_models(ada, models.ModelList(type="base")).items[0].id


def test_the_same_again_answers_200(as_ada: Caller, base: str) -> None:
    first = as_ada("POST", f"/api/models/{base}/exports", json={"kind": "gguf-f16"})
    again = as_ada("POST", f"/api/models/{base}/exports", json={"kind": "gguf-f16", "version": 1})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert first.json()["filename"] == "luthier-starter-v1-f16.gguf"
    assert as_ada("GET", f"/api/models/{base}/exports").json()["total"] == 1


def test_kinds_come_with_size_or_reason(as_ada: Caller, base: str) -> None:
    kinds = {offer["kind"]: offer for offer in as_ada("GET", f"/api/models/{base}/export-kinds").json()}
    assert set(kinds) == set(exports.KINDS)
    assert "Export it merged" in kinds["adapter"]["problem"]
    exact = as_ada("GET", f"/api/models/{base}/export-kinds?precision=float32").json()
    larger = next(offer for offer in exact if offer["kind"] == "merged")
    assert kinds["gguf-q8_0"]["size_bytes"] < kinds["merged"]["size_bytes"] < larger["size_bytes"]


def test_a_push_without_token_is_422_and_the_token_is_not_said_back(as_ada: Caller, base: str) -> None:
    answer = as_ada(
        "POST", f"/api/models/{base}/exports", json={"kind": "hub", "repository": "bot", "token": "hf_secret"}
    )
    assert answer.status_code == 422
    assert "hf_secret" not in answer.text
    answer = as_ada(
        "POST",
        f"/api/models/{base}/exports",
        json={"kind": "hub", "repository": "a/bot", "token": "hf_secret"},
    )
    assert answer.status_code == 201
    assert "hf_secret" not in answer.text


def test_unknown_versions_and_kinds_are_refused(as_ada: Caller, base: str) -> None:
    assert (
        as_ada("POST", f"/api/models/{base}/exports", json={"kind": "merged", "version": 9}).status_code
        == 404
    )
    assert as_ada("POST", f"/api/models/{base}/exports", json={"kind": "zip"}).status_code == 422


def test_content_is_streamed_whole_and_in_ranges(as_ada: Caller, client: Client, ada: User) -> None:
    export_id = make_export(ada, make_model(ada))
    file = storage.export_dir(export_id) / exports.get_export(ada, export_id).filename
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(range(100)))
    whole = as_ada("GET", f"/api/exports/{export_id}/content")
    assert (whole.status_code, whole.content) == (200, bytes(range(100)))
    assert 'filename="support-bot-v1-merged.zip"' in whole.headers["content-disposition"]
    assert whole.headers["content-type"] == "application/zip"
    part = as_ada("GET", f"/api/exports/{export_id}/content", headers={"Range": "bytes=90-"})
    assert (part.status_code, part.content) == (206, bytes(range(90, 100)))
    head = as_ada("HEAD", f"/api/exports/{export_id}/content")
    assert (head.headers["content-length"], head.content) == ("100", b"")


def test_what_is_not_ready_is_409_and_what_is_deleted_404(as_ada: Caller, ada: User) -> None:
    export_id = make_export(ada, make_model(ada), status="running")
    assert as_ada("GET", f"/api/exports/{export_id}/content").status_code == 409
    assert as_ada("DELETE", f"/api/exports/{export_id}").status_code == 204
    assert as_ada("GET", f"/api/exports/{export_id}").status_code == 404
