"""Checkpoints over /api and /v1: kept, promoted, deleted, called."""

import pytest
from starlette.testclient import TestClient

from core import storage
from core.db import writing
from core.people import api_keys, sessions
from core.people.api_keys import NewKey
from core.people.users import User
from core.providers import PROVIDERS
from core.security import new_id
from core.tables import CheckpointRow, JobRow, ModelRow, ModelVersionRow
from tests.api.conftest import signed_in
from tests.ui.things import Echo, make_job


@pytest.fixture
def job_id(ada: User) -> str:
    """A paused job on a base, with the checkpoints of steps 4 and 8."""
    with writing() as session:
        base = ModelRow(id=new_id("mdl"), name="base", type="base")
        session.add(base)
        session.flush()
        version = ModelVersionRow(id=new_id("mdv"), model_id=base.id, version=1, folder="nowhere")
        session.add(version)
        session.flush()
        base_id, version_id = base.id, version.id
    made = make_job(ada, "paused", base_model_id=base_id, base_version_id=version_id)
    for step in (4, 8):
        folder = storage.checkpoint_model_dir(made, step)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        with writing() as session:
            session.add(CheckpointRow(id=new_id("ckpt"), job_id=made, step=step, metrics={"valid_loss": 1.0}))
    return made


def test_keep_promote_and_delete(client: TestClient, ada: User, job_id: str) -> None:
    path, headers = f"/api/finetune/{job_id}/checkpoints", signed_in(ada)
    assert client.post(f"{path}/4/pin", headers=headers).json()["pinned"] is True
    assert client.post(f"{path}/4/unpin", headers=headers).json()["pinned"] is False
    first = client.post(f"{path}/4/promote", headers=headers).json()
    again = client.post(f"{path}/4/promote", headers=headers, json={"name": "other"}).json()
    assert first == again
    assert (
        client.get(f"/api/models/{first['model_id']}", headers=headers).json()["name"] == "support-bot-step-4"
    )
    named = client.post(f"{path}/8/promote", headers=headers, json={"name": "mine"}).json()
    assert client.get(f"/api/models/{named['model_id']}", headers=headers).json()["name"] == "mine"
    assert client.delete(f"{path}/4", headers=headers).status_code == 204
    assert client.get(f"{path}/4", headers=headers).status_code == 404
    needed = client.delete(f"{path}/8", headers=headers)
    assert (needed.status_code, needed.json()["error"]["code"]) == (409, "conflict")


def test_a_blank_name_is_refused(client: TestClient, ada: User, job_id: str) -> None:
    path = f"/api/finetune/{job_id}/checkpoints/4/promote"
    assert client.post(path, headers=signed_in(ada), json={"name": "  "}).status_code == 422


def test_an_evaluation_without_rows_says_what_to_do(client: TestClient, ada: User, job_id: str) -> None:
    answer = client.post(f"/api/finetune/{job_id}/checkpoints/4/evaluate", headers=signed_in(ada))
    assert answer.status_code == 409
    assert "Choose a version of a dataset" in answer.json()["error"]["message"]


def test_a_checkpoint_answers_on_v1(
    client: TestClient, ada: User, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROVIDERS, "local", Echo())
    _, key = api_keys.create(ada, NewKey(name="x"))
    headers = {"Authorization": f"Bearer {key}"}
    body = {"model": f"{job_id}:step-4", "messages": [{"role": "user", "content": "hello there"}]}
    answer = client.post("/v1/chat/completions", headers=headers, json=body)
    assert answer.json()["choices"][0]["message"]["content"] == "hello there"
    assert client.get(f"/v1/models/{job_id}:step-4", headers=headers).json()["id"] == f"{job_id}:step-4"
    storage.remove(storage.checkpoint_model_dir(job_id, 4))
    gone = client.post("/v1/chat/completions", headers=headers, json=body)
    assert gone.status_code == 400  # OpenAI's clients know no 409 that is not to be tried again
    assert "step 4 was removed" in gone.json()["error"]["message"]


def test_a_key_for_some_models_does_not_call_a_checkpoint(client: TestClient, ada: User, job_id: str) -> None:
    _, key = api_keys.create(ada, NewKey(name="x", models=["base"]))
    body = {"model": f"{job_id}:step-4", "messages": [{"role": "user", "content": "hello"}]}
    assert (
        client.post("/v1/chat/completions", headers={"Authorization": f"Bearer {key}"}, json=body).status_code
        == 404
    )


def test_a_chat_over_api_talks_to_a_checkpoint(
    client: TestClient, ada: User, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROVIDERS, "local", Echo())
    headers, name = signed_in(ada), f"{job_id}:step-8"
    chat = client.post("/api/chats", headers=headers, json={"model_id": name}).json()
    assert chat["model_id"] == name
    sent = client.post(
        "/api/messages", headers=headers, json={"chat_id": chat["id"], "content": "hello there"}
    ).json()
    assert "hello there" in str(sent)
    with writing() as session:
        session.delete(session.get_one(JobRow, job_id))
    gone = client.post("/api/messages", headers=headers, json={"chat_id": chat["id"], "content": "hello"})
    assert gone.status_code == 409


@pytest.mark.parametrize(
    ("form", "kind"), [("ipynb", "application/x-ipynb+json"), ("zip", "application/zip")]
)
def test_a_run_is_downloaded_by_token_and_by_cookie(
    client: TestClient, ada: User, job_id: str, form: str, kind: str
) -> None:
    by_token = client.get(f"/api/finetune/{job_id}/report?as={form}", headers=signed_in(ada))
    cookie = sessions.claim_ticket(sessions.issue_ticket(ada))
    by_cookie = client.get(
        f"/download/job/{job_id}/report?as={form}", headers={"Cookie": f"{sessions.COOKIE}={cookie}"}
    )
    for answer in (by_token, by_cookie):
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        assert answer.headers["content-disposition"].startswith('attachment; filename="support-bot-')
        assert answer.content


def test_a_form_that_does_not_exist_is_refused(client: TestClient, ada: User, job_id: str) -> None:
    assert client.get(f"/api/finetune/{job_id}/report?as=pdf", headers=signed_in(ada)).status_code == 422


def test_mlflow_that_is_not_set_up_is_a_conflict(client: TestClient, ada: User, job_id: str) -> None:
    answer = client.post(f"/api/finetune/{job_id}/mlflow", headers=signed_in(ada))
    assert answer.status_code == 409
    assert "LUTHIER_MLFLOW_URI" in answer.json()["error"]["message"]
