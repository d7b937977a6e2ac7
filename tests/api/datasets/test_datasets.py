"""API.md sections 5 to 7 at the edge: shapes, multipart, statuses.

Rules are tested in tests/core, rows in test_dataset_rows.
"""

import json
from typing import Any

import pytest
from sqlalchemy import update

from core import storage, uploads
from core.config import settings
from core.db import writing
from core.ingest import converter
from core.ingest import queue as conversions
from core.people.users import User
from core.tables import ModelVersionRow
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
PROGRESS = {
    "status",
    "progress",
    "step",
    "total_steps",
    "epoch",
    "train_loss",
    "valid_loss",
    "eta_seconds",
    "updated_at",
}


def upload(caller: Caller, body: bytes = CSV, filename: str = "faq.csv", **fields: str) -> Any:
    return caller("POST", "/api/datasets", files={"file": (filename, body)}, data=fields)


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real converter without its process,
    which takes a second to start; ``tests/core`` has the process."""
    monkeypatch.setattr(conversions, "run_and_wait", converter.run)


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


GEOJSON = {
    "type": "FeatureCollection",
    "features": [
        {"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[0, 5], [6, 7]]}},
        {"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[-1, 2], [3, -4]]}},
    ],
}


@pytest.mark.parametrize(
    ("filename", "row"),
    [
        ("v.jsonl", {"v": [1, -1]}),
        ("v.json", {"v": [[1, -2], [3, 4]], "n": {"a": -1}}),
        ("places.geojson.json", GEOJSON),
    ],
)
def test_whole_numbers_of_both_signs_come_back_from_lists(
    as_ada: Caller, filename: str, row: dict[str, Any]
) -> None:
    answer = upload(as_ada, json.dumps(row).encode(), filename)
    assert (answer.status_code, answer.json()["status"]) == (201, "ready"), answer.text
    address = f"/api/datasets/{answer.json()['id']}"
    assert json.loads(as_ada.get(f"{address}/content?as=jsonl").text) == row
    assert as_ada.get(f"{address}/preview").status_code == as_ada.get(f"{address}/profile").status_code == 200


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
        ("application/json", b"{"),
        ("text/csv", CSV),
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=x", b"nothing of the kind"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\na,b\r\n',
        ),
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
    for size in (3 * 2**20, 2**20 + 1):  # by its announced length, by what was counted
        refused = upload(as_ada, b"x" * size)
        assert refused.status_code == 413
        assert error_of(refused)["message"] == "The file is larger than 1 MiB, the most this server accepts."
    assert list(storage.staging_dir().iterdir()) == []


def test_versions_are_files_or_queries(as_ada: Caller, dataset_id: str) -> None:
    by_file = as_ada(
        "POST", f"/api/datasets/{dataset_id}/versions", files={"file": ("b.csv", CSV)}, data={"note": "again"}
    )
    assert by_file.status_code == 201, by_file.text
    assert set(by_file.json()) >= VERSION
    assert (by_file.json()["version"], by_file.json()["note"]) == (2, "again")
    by_query = as_ada.post(
        f"/api/datasets/{dataset_id}/versions", {"sql": "SELECT * FROM faq LIMIT 1", "note": "one"}
    )
    assert by_query.status_code == 201, by_query.text
    assert (by_query.json()["version"], by_query.json()["num_rows"], by_query.json()["sql"]) == (
        3,
        1,
        "SELECT * FROM faq LIMIT 1",
    )
    assert by_query.json()["parents"] == [by_file.json()["id"]]
    assert as_ada.get(f"/api/datasets/{dataset_id}/versions").json()["total"] == 3


def arrived(user: User, body: bytes = CSV, filename: str = "pieces.csv") -> str:
    """An upload of which every byte is here."""
    made = uploads.begin(user, uploads.NewUpload(filename=filename, size_bytes=len(body)), source="api")
    return uploads.append(user, made.id, offset=0, chunk=body).id


def test_upload_in_pieces_becomes_a_dataset_and_a_version(as_ada: Caller, ada: User) -> None:
    options = {"header": True, "delimiter": ","}
    body = {
        "upload_id": arrived(ada),
        "name": "in pieces",
        "description": "of one",
        "format": "completion",
        "options": options,
    }
    made = as_ada.post("/api/datasets", body)
    assert made.status_code == 201, made.text
    assert set(made.json()) >= DATASET
    assert (made.json()["name"], made.json()["description"], made.json()["num_rows"]) == (
        "in pieces",
        "of one",
        2,
    )
    upload_id = arrived(ada, b"prompt,completion\na,b\n")
    version = as_ada.post(
        f"/api/datasets/{made.json()['id']}/versions", {"upload_id": upload_id, "note": "less"}
    )
    assert version.status_code == 201, version.text
    assert (version.json()["version"], version.json()["num_rows"], version.json()["note"]) == (2, 1, "less")
    again = as_ada.post(f"/api/datasets/{made.json()['id']}/versions", {"upload_id": upload_id})
    assert again.status_code == 404  # it is a version now


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "upload_id"),
        ({"upload_id": 5}, "upload_id"),
        ({"upload_id": "upl_x", "options": {"delimiter": "ab"}}, "options.delimiter"),
        ({"upload_id": "upl_x", "name": ""}, "name"),
        ([], "body"),
    ],
)
def test_broken_import_is_named(as_ada: Caller, body: Any, field: str) -> None:
    assert fields_of(as_ada.post("/api/datasets", body)) == {field}


def test_upload_that_is_not_here_yet_or_somebody_elses(
    as_ada: Caller, as_bob: Caller, ada: User, dataset_id: str
) -> None:
    begun = uploads.begin(ada, uploads.NewUpload(filename="a.csv", size_bytes=9), source="api").id
    for path in ("/api/datasets", f"/api/datasets/{dataset_id}/versions"):
        assert as_ada.post(path, {"upload_id": begun}).status_code == 409
        assert as_ada.post(path, {"upload_id": "upl_nothing"}).status_code == 404
        assert as_bob.post(path, {"upload_id": arrived(ada)}).status_code == 404


def test_same_bytes_again_are_the_version_that_is_there(as_ada: Caller) -> None:
    dataset = upload(as_ada).json()
    again = as_ada("POST", f"/api/datasets/{dataset['id']}/versions", files={"file": ("other name.csv", CSV)})
    assert again.status_code == 200, again.text
    assert (again.json()["version"], again.json()["same_as"]["version"]) == (1, 1)
    assert as_ada.get(f"/api/datasets/{dataset['id']}/versions").json()["total"] == 1
    copy = upload(as_ada, name="copy")
    assert copy.status_code == 201
    assert (copy.json()["same_as"]["dataset_id"], copy.json()["version"]) == (dataset["id"], 1)
    assert as_ada.get(f"/api/datasets/{copy.json()['id']}/content").content == CSV


def test_options_are_obeyed_and_bad_rows_are_counted_listed_and_downloadable(as_ada: Caller) -> None:
    ragged = b"a;b\n1;2\n3\n4;5;6\n7;8\n"
    refused = upload(as_ada, ragged, "ragged.csv", options='{"delimiter": ";"}')
    assert refused.status_code == 422
    assert "line 3" in refused.json()["error"]["message"].lower()
    made = upload(as_ada, ragged, "ragged.csv", options='{"delimiter": ";", "skip_bad_rows": true}').json()
    assert (made["num_rows"], made["skipped_rows"], made["status"]) == (2, 2, "ready")
    assert [error["line"] for error in made["errors"]] == [3, 4]
    skipped = as_ada.get(f"/api/datasets/{made['id']}/content?as=rejects")
    assert [(json.loads(line)["line"], json.loads(line)["raw"]) for line in skipped.text.splitlines()] == [
        (3, "3"),
        (4, "4;5;6"),
    ]
    assert as_ada.get(f"/api/datasets/{upload(as_ada).json()['id']}/content?as=rejects").status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "sql"), ({"sql": ""}, "sql"), ({"sql": "SELECT 1", "note": "x" * 501}, "note"), ([], "body")],
)
def test_broken_version_is_named(as_ada: Caller, dataset_id: str, body: Any, field: str) -> None:
    assert fields_of(as_ada.post(f"/api/datasets/{dataset_id}/versions", body)) == {field}


def test_stated_format_must_fit(as_ada: Caller) -> None:
    assert upload(as_ada, format="completion").json()["format"] == "completion"
    answer = upload(as_ada, format="chat", name="no talk")
    assert answer.status_code == 422
    assert "messages" in error_of(answer)["message"]


def test_lines_that_cannot_be_read_are_listed(as_ada: Caller) -> None:
    answer = upload(as_ada, b'{"a": 1}\n{"a": \n{"a": 3}\n', "broken.jsonl")
    assert answer.status_code == 422
    assert "2" in error_of(answer)["message"]
    assert as_ada.get("/api/datasets").json()["total"] == 0


LISTED = [("b%", "chat"), ("A_", "text"), ("c'", "table"), ("plain", "table")]
ROWS = {
    "chat": {"messages": '[{"role": "assistant", "content": "x"}]'},
    "text": {"text": "t"},
    "table": {"x": "1", "y": "2"},
}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"sort": "name"}, ["A_", "b%", "c'", "plain"]),
        ({"sort": "-name"}, ["plain", "c'", "b%", "A_"]),
        ({"sort": "name", "limit": 2, "offset": 1}, ["b%", "c'"]),
        ({"sort": "created_at"}, ["b%", "A_", "c'", "plain"]),
        ({"q": "%"}, ["b%"]),
        ({"q": "_"}, ["A_"]),
        ({"q": "'"}, ["c'"]),
        ({"q": "PLAI"}, ["plain"]),
        ({"q": "\\"}, []),
        ({"format": "text"}, ["A_"]),
        ({"format": "table", "sort": "name"}, ["c'", "plain"]),
        ({"status": "failed"}, []),
        ({"offset": 10**9}, []),
        ({"unknown": "x", "q": "b%"}, ["b%"]),
    ],
)
def test_list_is_filtered_sorted_and_cut(
    as_ada: Caller, ada: User, query: dict[str, Any], names: list[str]
) -> None:
    for name, format_ in LISTED:
        make_dataset(ada, [ROWS[format_]], name=name)
    answer = as_ada.get("/api/datasets", params=query).json()
    assert [item["name"] for item in answer["items"]] == names
    assert (answer["limit"], answer["offset"]) == (query.get("limit", 20), query.get("offset", 0))
    assert answer["total"] == (4 if set(query) <= {"sort", "limit", "offset"} else len(names))


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=x", "offset=-1", "offset=1000000001", "sort=sha256", "status=new"],
)
def test_broken_list_queries_are_named(as_ada: Caller, query: str) -> None:
    assert fields_of(as_ada.get(f"/api/datasets?{query}")) == {query.split("=")[0]}


def test_versions_come_one_by_one_and_go(as_ada: Caller, dataset_id: str) -> None:
    as_ada.post(f"/api/datasets/{dataset_id}/versions", {"sql": "SELECT * FROM faq LIMIT 1"})
    listed = as_ada.get(f"/api/datasets/{dataset_id}/versions?limit=1").json()
    assert (listed["total"], [v["version"] for v in listed["items"]]) == (2, [2])
    assert as_ada.get(f"/api/datasets/{dataset_id}/versions/2").json() == listed["items"][0]
    assert set(listed["items"][0]["training"]) >= {"format", "ok", "num_examples", "errors"}
    assert as_ada.delete(f"/api/datasets/{dataset_id}/versions/1").status_code == 204
    for number in (7, 10**9):
        assert as_ada.get(f"/api/datasets/{dataset_id}/versions/{number}").status_code == 404
    # the last one with rows
    assert as_ada.delete(f"/api/datasets/{dataset_id}/versions/2").status_code == 409
    assert as_ada.get(f"/api/datasets/{dataset_id}/preview?version=1").status_code == 409  # its rows are gone


def test_dataset_in_use_stays(as_ada: Caller, ada: User) -> None:
    version = make_dataset(ada, [{"prompt": "a", "completion": "b"}])
    job_id = make_job(ada, dataset_id=version.dataset_id, dataset_version_id=version.id)
    answer = as_ada.delete(f"/api/datasets/{version.dataset_id}")
    assert (answer.status_code, error_of(answer)["code"]) == (409, "in_use")
    assert job_id in error_of(answer)["message"]
    uses = as_ada.get(f"/api/datasets/{version.dataset_id}/uses").json()
    assert [(use["kind"], use["id"], use["blocks"]) for use in uses] == [("job", job_id, True)]


def test_dataset_under_an_alias_stays(as_ada: Caller, ada: User) -> None:
    version, model = make_dataset(ada, [{"prompt": "a", "completion": "b"}]), make_model(ada, "tuned")
    with writing() as session:
        session.execute(
            update(ModelVersionRow)
            .where(ModelVersionRow.model_id == model)
            .values(dataset_version_id=version.id)
        )
    as_ada("PUT", f"/api/models/{model}/aliases/production", json={"version": 1})
    answer = as_ada.delete(f"/api/datasets/{version.dataset_id}")
    assert (answer.status_code, error_of(answer)["code"]) == (409, "in_use")
    assert as_ada.delete(f"/api/models/{model}/aliases/production").status_code == 204
    assert as_ada.delete(f"/api/datasets/{version.dataset_id}").status_code == 204


def test_change_and_delete(as_ada: Caller, dataset_id: str) -> None:
    before = as_ada.get(f"/api/datasets/{dataset_id}").json()
    given = {
        "name": "  Q'; -- ",
        "status": "failed",
        "id": "ds_x",
        "owner_id": "usr_x",
        "num_rows": 9,
        "created_at": "x",
        "sha256": "x",
    }
    changed = as_ada.patch(f"/api/datasets/{dataset_id}", given).json()
    assert changed == before | {"name": "  Q'; -- ", "updated_at": changed["updated_at"]}
    assert (
        as_ada.patch(f"/api/datasets/{dataset_id}", {"description": "a\nb"}).json()["description"] == "a\nb"
    )
    for body, field in (
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"description": "x" * 2001}, "description"),
    ):
        assert fields_of(as_ada.patch(f"/api/datasets/{dataset_id}", body)) == {field}
    assert as_ada.delete(f"/api/datasets/{dataset_id}").status_code == 204
    assert as_ada.get(f"/api/datasets/{dataset_id}").status_code == 404


def test_query_answers_rows(as_ada: Caller, dataset_id: str) -> None:
    answer = as_ada.post(
        "/api/query", {"sql": "SELECT prompt, length(prompt) AS n FROM faq ORDER BY n", "limit": 1}
    ).json()
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
        "/api/models",
        {
            "name": "helper",
            "base_model_id": base,
            "system_prompt": "be kind",
            "parameters": {"temperature": 0},
        },
    )
    assert own.status_code == 201, own.text
    assert set(own.json()) >= MODEL
    assert (own.json()["type"], own.json()["parameters"]) == ("custom", {"temperature": 0})
    for answer in (
        as_bob.patch(f"/api/models/{base}", {"name": "mine"}),
        as_bob.delete(f"/api/models/{base}"),
    ):
        assert answer.status_code == 403
        assert error_of(answer)["code"] == "read_only"
    again = as_ada.post("/api/models", {"name": "helper", "base_model_id": base})
    assert again.status_code == 409
    assert as_ada.get("/api/models?type=custom").json()["total"] == 1
    assert fields_of(as_ada.get("/api/models?type=poem")) == {"type"}
    assert as_ada.delete(f"/api/models/{own.json()['id']}").status_code == 204


def test_aliases_move_and_go(as_ada: Caller, ada: User) -> None:
    model = make_model(ada, "tuned", versions=2)
    assert as_ada("PUT", f"/api/models/{model}/aliases/production", json={"version": 1}).json()[
        "aliases"
    ] == {"production": 1}
    moved = {"version": 2, "reason": "fewer errors"}
    assert as_ada("PUT", f"/api/models/{model}/aliases/production", json=moved).json()["aliases"] == {
        "production": 2
    }
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
    base, dataset = (
        make_model(None, "base"),
        make_dataset(ada, [{"prompt": "a", "completion": "b"}] * 10).dataset_id,
    )
    assert fields_of(
        as_ada.post("/api/finetune", {"base_model_id": base, "dataset_id": dataset, **change})
    ) == {field}


def test_a_file_without_options_is_read_as_the_newest_one_was(as_ada: Caller) -> None:
    made = as_ada(
        "POST",
        "/api/datasets",
        files={"file": ("a.csv", b"a;b\n1;2\n")},
        data={"options": '{"types": {"a": "VARCHAR"}}'},
    )
    path = f"/api/datasets/{made.json()['id']}/versions"
    again = as_ada("POST", path, files={"file": ("a.csv", b"a;b\n3;4\n")}).json()
    assert (again["columns"][0]["type"], again["detected"]["notes"]) == (
        "VARCHAR",
        ["Read with the options of version 1."],
    )
    chosen = as_ada("POST", path, files={"file": ("a.csv", b"a;b\n5;6\n")}, data={"options": "{}"}).json()
    assert chosen["columns"][0]["type"] == "BIGINT"
