"""API.md sections 5 to 7 at the edge: shapes, multipart, statuses. The rules themselves are tested in tests/core."""

import json
from typing import Any

import pytest

from core import storage
from core.config import settings
from core.users import User
from tests.api.conftest import Caller, error_of, fields_of
from tests.ui.things import add_points, make_dataset, make_job, make_model

CSV = b"prompt,completion\nhello,hi\nbye,see you\n"
DATASET = {
    "id",
    "name",
    "description",
    "filename",
    "version",
    "num_rows",
    "num_columns",
    "size_bytes",
    "sha256",
    "format",
    "status",
    "errors",
    "created_at",
    "updated_at",
}
VERSION = {
    "id",
    "dataset_id",
    "version",
    "num_rows",
    "num_columns",
    "content_hash",
    "sql",
    "parents",
    "status",
    "training",
    "created_at",
}
MODEL = {
    "id",
    "name",
    "type",
    "base_model_id",
    "openai_id",
    "description",
    "system_prompt",
    "parameters",
    "finetune_job_id",
    "latest_version",
    "aliases",
    "capabilities",
    "context_length",
    "created_at",
}
JOB = {
    "id",
    "base_model_id",
    "dataset_id",
    "validation_dataset_id",
    "suffix",
    "method",
    "hyperparameters",
    "seed",
    "status",
    "error",
    "model_id",
    "trained_tokens",
    "created_at",
    "started_at",
    "finished_at",
}
PROGRESS = {"status", "progress", "step", "total_steps", "epoch", "train_loss", "valid_loss", "eta_seconds", "updated_at"}


def upload(caller: Caller, body: bytes = CSV, filename: str = "faq.csv", **fields: str) -> Any:
    return caller("POST", "/api/datasets", files={"file": (filename, body)}, data=fields)


@pytest.fixture
def dataset_id(ada: User) -> str:
    """As if it had been uploaded and converted, which takes a second."""
    rows = [{"prompt": "hello", "completion": "hi"}, {"prompt": "bye", "completion": "see you"}]
    return make_dataset(ada, rows).dataset_id


def test_upload_answers_the_dataset(as_ada: Caller) -> None:
    answer = upload(as_ada, description="Some questions")
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert set(made) >= DATASET
    assert (made["name"], made["filename"], made["description"]) == ("faq", "faq.csv", "Some questions")
    assert (made["version"], made["num_rows"], made["num_columns"], made["status"]) == (1, 2, 2, "ready")
    assert (made["format"], made["size_bytes"], made["errors"]) == ("completion", len(CSV), [])
    assert as_ada.get(f"/api/datasets/{made['id']}").json() == made
    assert as_ada.get("/api/datasets").json()["items"] == [made]


@pytest.mark.parametrize(("filename", "shown"), [("../../etc/C:\\temp\\naïve 🎻.csv", "naïve 🎻.csv")])
def test_filename_is_for_display_only(as_ada: Caller, filename: str, shown: str) -> None:
    assert upload(as_ada, filename=filename).json()["filename"] == shown


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "x" * 201}, "name"),
        ({"name": "a\u0000"}, "name"),
        ({"description": "x" * 2001}, "description"),
        ({"format": "poem"}, "format"),
        ({"options": "{"}, "options"),
        ({"options": '{"delimiter": "ab"}'}, "options.delimiter"),
    ],
)
def test_broken_upload_field_is_named(as_ada: Caller, fields: dict[str, str], field: str) -> None:
    assert fields_of(upload(as_ada, **fields)) == {field}
    assert list(storage.staging_dir().iterdir()) == []


def test_form_without_a_file_is_named(as_ada: Caller) -> None:
    answer = as_ada("POST", "/api/datasets", files={"other": ("a.csv", CSV)}, data={"name": "x"})
    assert fields_of(answer) == {"file"}


def test_second_file_is_refused_rather_than_dropped(as_ada: Caller) -> None:
    answer = as_ada("POST", "/api/datasets", files=[("file", ("a.csv", CSV)), ("file", ("b.csv", CSV))])
    assert (answer.status_code, error_of(answer)["code"]) == (400, "bad_request")
    assert as_ada("GET", "/api/datasets").json()["total"] == 0
    assert not list(storage.staging_dir().iterdir())


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("text/csv", CSV),
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=x", b"nothing of the kind"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\na,b\r\n'),
    ],
)
def test_what_is_no_whole_form_is_a_bad_request(as_ada: Caller, kind: str, body: bytes) -> None:
    answer = as_ada("POST", "/api/datasets", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert error_of(answer)["code"] == "bad_request"
    assert list(storage.staging_dir().iterdir()) == []


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("a.pdf", CSV, 415, "unsupported_media_type"),
        ("a.csv", b"", 422, "validation_error"),
        ("a.parquet", b"PAR1", 422, "validation_error"),
    ],
)
def test_unreadable_files_say_why(as_ada: Caller, name: str, body: bytes, status: int, code: str) -> None:
    answer = upload(as_ada, body, name)
    assert answer.status_code == status
    assert error_of(answer)["code"] == code
    assert as_ada.get("/api/datasets").json()["total"] == 0


def test_too_large_upload_is_refused(as_ada: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_MAX_UPLOAD_MB", "1")
    settings.cache_clear()
    assert upload(as_ada, b"x" * (3 * 2**20)).status_code == 413
    assert upload(as_ada, b"x" * (2**20 + 1)).status_code == 413
    assert list(storage.staging_dir().iterdir()) == []


def test_versions_are_files_or_queries(as_ada: Caller, dataset_id: str) -> None:
    by_file = as_ada("POST", f"/api/datasets/{dataset_id}/versions", files={"file": ("b.csv", CSV)}, data={"note": "again"})
    assert by_file.status_code == 201, by_file.text
    assert set(by_file.json()) >= VERSION
    assert (by_file.json()["version"], by_file.json()["note"]) == (2, "again")
    by_query = as_ada.post(f"/api/datasets/{dataset_id}/versions", {"sql": "SELECT * FROM faq LIMIT 1", "note": "one"})
    assert by_query.status_code == 201, by_query.text
    assert (by_query.json()["version"], by_query.json()["num_rows"], by_query.json()["sql"]) == (3, 1, "SELECT * FROM faq LIMIT 1")
    assert by_query.json()["parents"] == [by_file.json()["id"]]
    assert as_ada.get(f"/api/datasets/{dataset_id}/versions").json()["total"] == 3


@pytest.mark.parametrize(
    ("body", "field"), [({}, "sql"), ({"sql": ""}, "sql"), ({"sql": "SELECT 1", "note": "x" * 501}, "note"), ([], "body")]
)
def test_broken_version_is_named(as_ada: Caller, dataset_id: str, body: Any, field: str) -> None:
    assert fields_of(as_ada.post(f"/api/datasets/{dataset_id}/versions", body)) == {field}


def test_preview_is_a_page_of_rows(as_ada: Caller, dataset_id: str) -> None:
    page = as_ada.get(f"/api/datasets/{dataset_id}/preview?limit=1&offset=1").json()
    assert page["items"] == [{"line": 2, "data": {"prompt": "bye", "completion": "see you"}}]
    assert (page["total"], page["limit"], page["offset"]) == (2, 1, 1)
    narrow = {"columns": "prompt", "order_by": "-prompt", "where": json.dumps({"completion": {"contains": "H"}})}
    assert as_ada.get(f"/api/datasets/{dataset_id}/preview", params=narrow).json()["items"] == [
        {"line": 1, "data": {"prompt": "hello"}}
    ]


BROKEN_PREVIEWS = """
    limit=101 limit=0 offset=-1 version=0 columns=nope columns=[1] order_by=nope where={ where=[] where=%7B%22nope%22:1%7D
""".split()


def test_broken_preview_queries(as_ada: Caller, dataset_id: str) -> None:
    for query in BROKEN_PREVIEWS:
        assert as_ada.get(f"/api/datasets/{dataset_id}/preview?{query}").status_code == 422, query


def test_upload_is_profiled_and_comes_back_as_it_was(as_ada: Caller) -> None:
    dataset_id = upload(as_ada).json()["id"]
    columns = as_ada.get(f"/api/datasets/{dataset_id}/profile").json()["columns"]
    assert [column["name"] for column in columns] == ["prompt", "completion"]
    assert set(columns[0]) >= {"type", "nulls", "distinct", "min", "max", "mean", "quantiles", "histogram", "top_values"}
    answer = as_ada.get(f"/api/datasets/{dataset_id}/content")
    assert answer.content == CSV
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert as_ada.get(f"/api/datasets/{dataset_id}/content?as=jsonl").text.count("\n") == 2
    assert as_ada.get(f"/api/datasets/{dataset_id}/content?as=exe").status_code == 422
    assert as_ada.get(f"/api/datasets/{dataset_id}/content?version=7").status_code == 404


def test_change_and_delete(as_ada: Caller, dataset_id: str) -> None:
    changed = as_ada.patch(f"/api/datasets/{dataset_id}", {"name": "  Q'; -- ", "status": "failed", "id": "ds_x"}).json()
    assert (changed["name"], changed["status"], changed["id"]) == ("  Q'; -- ", "ready", dataset_id)
    assert fields_of(as_ada.patch(f"/api/datasets/{dataset_id}", {"name": ""})) == {"name"}
    assert as_ada.delete(f"/api/datasets/{dataset_id}").status_code == 204
    assert as_ada.get(f"/api/datasets/{dataset_id}").status_code == 404


def test_query_answers_rows(as_ada: Caller, dataset_id: str) -> None:
    answer = as_ada.post("/api/query", {"sql": "SELECT prompt, length(prompt) AS n FROM faq ORDER BY n", "limit": 1}).json()
    assert [column["name"] for column in answer["columns"]] == ["prompt", "n"]
    assert (answer["rows"], answer["row_count"], answer["truncated"]) == ([["bye", 3]], 1, True)
    assert answer["elapsed_ms"] >= 0


def test_query_that_is_wrong_says_where(as_ada: Caller) -> None:
    answer = as_ada.post("/api/query", {"sql": "SELECT 1 FRM x"})
    assert answer.status_code == 422
    assert error_of(answer)["code"] == "sql_error"
    assert isinstance(error_of(answer)["position"], int)
    assert fields_of(as_ada.post("/api/query", {"sql": "SELECT 1", "limit": 10_001})) == {"limit"}


def test_models_have_every_field_and_bases_are_read_only(as_bob: Caller, as_ada: Caller, ada: User) -> None:
    base = make_model(None, "base")
    own = as_ada.post(
        "/api/models", {"name": "helper", "base_model_id": base, "system_prompt": "be kind", "parameters": {"temperature": 0}}
    )
    assert own.status_code == 201, own.text
    assert set(own.json()) >= MODEL
    assert (own.json()["type"], own.json()["parameters"]) == ("custom", {"temperature": 0})
    for answer in (as_bob.patch(f"/api/models/{base}", {"name": "mine"}), as_bob.delete(f"/api/models/{base}")):
        assert answer.status_code == 403
        assert error_of(answer)["code"] == "read_only"
    again = as_ada.post("/api/models", {"name": "helper", "base_model_id": base})
    assert again.status_code == 409
    assert as_ada.get("/api/models?type=custom").json()["total"] == 1
    assert fields_of(as_ada.get("/api/models?type=poem")) == {"type"}
    assert as_ada.delete(f"/api/models/{own.json()['id']}").status_code == 204


def test_aliases_move_and_go(as_ada: Caller, ada: User) -> None:
    model = make_model(ada, "tuned", versions=2)
    assert as_ada("PUT", f"/api/models/{model}/aliases/production", json={"version": 1}).json()["aliases"] == {"production": 1}
    assert as_ada("PUT", f"/api/models/{model}/aliases/production", json={"version": 2}).json()["aliases"] == {"production": 2}
    assert as_ada("PUT", f"/api/models/{model}/aliases/production", json={"version": 3}).status_code == 404
    assert as_ada.get(f"/api/models/{model}/versions").json()["total"] == 2
    assert as_ada.delete(f"/api/models/{model}/aliases/production").status_code == 204
    assert as_ada.delete(f"/api/models/{model}/aliases/production").status_code == 404


def test_job_has_every_field(as_ada: Caller, ada: User) -> None:
    job_id = make_job(ada)
    add_points(job_id)
    assert set(as_ada.get(f"/api/finetune/{job_id}").json()) >= JOB
    assert set(as_ada.get(f"/api/finetune/{job_id}/progress").json()) >= PROGRESS
    events = as_ada.get(f"/api/finetune/{job_id}/events").json()
    assert [event["message"] for event in events["items"]] == ["Created.", "2 rows were cut to 256 tokens."]
    assert events["items"][0].keys() >= {"id", "level", "message", "data", "created_at"}
    series = as_ada.get(f"/api/finetune/{job_id}/metrics?after_step=40").json()["series"]
    assert [step for step, _ in series["train_loss"]] == list(range(41, 51))
    assert as_ada.get(f"/api/finetune/{job_id}/checkpoints").json()["total"] == 2
    log = as_ada.get(f"/api/finetune/{job_id}/logs?tail=5")
    assert (log.status_code, log.headers["Content-Type"].split(";")[0]) == (200, "text/plain")
    assert as_ada.get("/api/finetune?status=running").json()["total"] == 1
    assert fields_of(as_ada.get("/api/finetune?status=tired")) == {"status"}


def test_wrong_state_is_a_conflict(as_ada: Caller, ada: User) -> None:
    done = make_job(ada, status="succeeded")
    for action in ("cancel", "pause", "resume"):
        assert as_ada.post(f"/api/finetune/{done}/{action}").status_code == 409


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"suffix": "with space"}, "suffix"),
        ({"suffix": "x" * 65}, "suffix"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "seed"),
        ({"method": "magic"}, "method"),
        ({"hyperparameters": {"n_epochs": 51}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"batch_size": 257}}, "hyperparameters.batch_size"),
        ({"hyperparameters": {"learning_rate_multiplier": 0}}, "hyperparameters.learning_rate_multiplier"),
    ],
)
def test_broken_job_field_is_named(as_ada: Caller, ada: User, change: dict[str, Any], field: str) -> None:
    base, dataset = make_model(None, "base"), make_dataset(ada, [{"prompt": "a", "completion": "b"}] * 10).dataset_id
    assert fields_of(as_ada.post("/api/finetune", {"base_model_id": base, "dataset_id": dataset, **change})) == {field}
