"""The server as ./start.sh starts it, its jobs and uploads by REST:
the worker killed in mid-training, the server, both, or only stopped.

Nothing stays "running" without a worker, and the loss curve joins. ``test_training_survival`` has what else
may break. Of a file on its way nothing is half.
"""

import hashlib
import itertools
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from core.config import ROOT
from tests.browser.rest import Rest
from tests.browser.server import Server, serving
from tests.waiting import wait_until

SAMPLE = ROOT / "data" / "samples" / "support_faq.jsonl"
ROWS, EPOCHS = 13, 24  # 72 steps of 4 rows
SETTINGS = {"batch_size": 4, "evaluate_every": 10, "tuning": "full"}
MB = 10**6


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as made:
        yield made


@pytest.fixture(scope="module")
def rest(server: Server) -> Rest:
    return Rest(server.url, "ada@example.com")


@pytest.fixture(scope="module")
def dataset_id(rest: Rest, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("faq") / "faq.jsonl"
    path.write_text(
        "\n".join(SAMPLE.read_text(encoding="utf-8").splitlines()[:ROWS]) + "\n", encoding="utf-8"
    )
    return str(rest.upload(path)["id"])


@pytest.fixture
def start_job(rest: Rest, dataset_id: str) -> Callable[..., str]:
    def start(*, epochs: int = EPOCHS) -> str:
        asked = {
            "base_model_id": rest.starter()["id"],
            "dataset_id": dataset_id,
            "validation_fraction": 0.08,
            "seed": 7,
        }
        return str(rest.post("/finetune", asked | {"hyperparameters": SETTINGS | {"n_epochs": epochs}})["id"])

    return start


def worker_of(job_id: str) -> psutil.Process | None:
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"] or []
        if (
            "core.workers.worker" in line
            and job_id in line
            and process.info["status"] != psutil.STATUS_ZOMBIE
        ):
            return process
    return None


def running_at(step: int) -> Callable[[dict[str, Any]], bool]:
    return lambda progress: progress["status"] == "running" and progress["step"] >= step


def ended(progress: dict[str, Any]) -> bool:
    return progress["status"] in ("succeeded", "failed", "cancelled")


def assert_curve_joins(rest: Rest, job_id: str, total_steps: int) -> None:
    series = rest.get(f"/finetune/{job_id}/metrics", max_points=10_000)["series"]["train_loss"]
    steps = [step for step, _ in series]
    assert steps == sorted(set(steps)), "a step is there twice"
    assert steps[-1] == total_steps
    assert max(b - a for a, b in itertools.pairwise(steps)) <= max(2, total_steps // 100 + 1), (
        "the curve has a hole"
    )
    assert series[-1][1] < series[0][1] / 2


@pytest.mark.long
def test_killed_worker_goes_on_from_its_checkpoint(
    server: Server, rest: Rest, start_job: Callable[..., str]
) -> None:
    job_id = start_job()
    before = rest.wait_for_job(job_id, running_at(20))
    wait_until(
        lambda: rest.get(f"/finetune/{job_id}/checkpoints"), lambda page: page["total"] > 0, seconds=90
    )
    victim = worker_of(job_id)
    assert victim is not None
    victim.kill()
    rest.wait_for_job(
        job_id,
        lambda p: p["status"] != "running" or ((w := worker_of(job_id)) is not None and w.pid != victim.pid),
    )
    after = rest.wait_for_job(job_id, ended, seconds=240)
    assert after["status"] == "succeeded"
    assert after["total_steps"] == before["total_steps"]
    assert_curve_joins(rest, job_id, after["total_steps"])
    assert any(
        "resum" in e["message"].lower() for e in rest.get(f"/finetune/{job_id}/events", limit=100)["items"]
    )


@pytest.mark.long  # test_training_survival shows it to the bit, with a server that only watches jobs
def test_killed_server_leaves_the_worker_at_work_and_finds_it_again(
    server: Server, rest: Rest, start_job: Callable[..., str]
) -> None:
    job_id = start_job()
    rest.wait_for_job(job_id, running_at(5))
    worker = worker_of(job_id)
    assert worker is not None
    server.stop(signal.SIGKILL)
    assert worker.is_running()
    server.start()
    after = rest.wait_for_job(job_id, ended, seconds=240)
    assert after["status"] == "succeeded"
    assert (
        len(
            [
                e
                for e in rest.get(f"/finetune/{job_id}/events", limit=100)["items"]
                if "resum" in e["message"].lower()
            ]
        )
        == 0
    )
    assert_curve_joins(rest, job_id, after["total_steps"])


@pytest.mark.long
def test_machine_that_went_down_resumes_at_the_next_start(
    server: Server, rest: Rest, start_job: Callable[..., str]
) -> None:
    job_id = start_job()
    rest.wait_for_job(job_id, running_at(10))
    wait_until(
        lambda: rest.get(f"/finetune/{job_id}/checkpoints"), lambda page: page["total"] > 0, seconds=90
    )
    server.kill_everything()
    worker = worker_of(job_id)
    if worker is not None:
        worker.kill()
    server.start()
    after = rest.wait_for_job(job_id, ended, seconds=240)
    assert after["status"] == "succeeded"
    assert_curve_joins(rest, job_id, after["total_steps"])


def test_stopped_server_checkpoints_its_jobs_within_three_seconds(
    server: Server, rest: Rest, start_job: Callable[..., str]
) -> None:
    job_id = start_job(epochs=10)
    rest.wait_for_job(job_id, running_at(10))
    seconds = server.stop(signal.SIGTERM)
    assert seconds < 3
    wait_until(lambda: worker_of(job_id), lambda worker: worker is None, seconds=15)
    server.start()
    after = rest.wait_for_job(job_id, ended, seconds=240)
    assert after["status"] == "succeeded"
    assert_curve_joins(rest, job_id, after["total_steps"])


@pytest.mark.long
def test_a_checkpoint_answers_while_its_job_trains_and_a_cancelled_job_leaves_no_worker(
    server: Server, rest: Rest
) -> None:
    whole = rest.upload(SAMPLE, name="whole")["id"]
    settings = SETTINGS | {"n_epochs": 50, "batch_size": 1}  # much longer than a chat takes to answer
    job_id = rest.train(whole, "long", settings, validation_fraction=0.2)
    listed = wait_until(
        lambda: rest.get(f"/finetune/{job_id}/checkpoints")["items"], seconds=120, told=lambda: "checkpoints"
    )
    checkpoint = f"{job_id}:step-{listed[0]['step']}"
    rest.post(f"/finetune/{job_id}/checkpoints/{listed[0]['step']}/pin")
    chat = rest.post("/chats", {"model_id": checkpoint})
    sent = rest.post("/messages", {"chat_id": chat["id"], "content": "Hello!"})
    assert sent["reply"]["model_id"] == checkpoint
    assert sent["reply"]["usage"]["completion_tokens"] > 0
    assert rest.get(f"/finetune/{job_id}")["status"] == "running"
    rest.post(f"/finetune/{job_id}/cancel")
    rest.wait_for_job(job_id, lambda p: p["status"] == "cancelled", seconds=15)
    wait_until(lambda: worker_of(job_id), lambda worker: worker is None, seconds=15)


def test_server_killed_in_the_middle_of_a_piece(server: Server, rest: Rest, tmp_path: Path) -> None:
    """What had arrived is there at the next start, what waits for its review goes on waiting, what nobody has
    touched for two days goes."""
    forgotten, waiting = rest.post("/uploads", {"filename": "forgotten.csv", "size_bytes": 100})["id"], []
    rest.http.put(f"/api/uploads/{forgotten}", params={"offset": 0}, content=b"a,b\n")
    _age(server, forgotten, hours=49)
    for name in ("part0.csv", "part1.csv"):
        (tmp_path / name).write_text("a,b\n1,2\n")
        waiting.append(rest.stage(tmp_path / name))
    half = rest.post("/uploads", {"filename": "half.csv", "size_bytes": 100})["id"]
    rest.http.put(f"/api/uploads/{half}", params={"offset": 0}, content=b"a,b\n" + b"1,2\n" * 9)
    data, datasets = b"id,text\n" + b"12345678,some words to fill the line\n" * 800_000, rest.get("/datasets")
    whole = hashlib.sha256(data).hexdigest()
    upload = rest.post("/uploads", {"filename": "piece.csv", "size_bytes": len(data), "sha256": whole})["id"]
    piece = _send_part(server, rest, upload, data, part=20 * MB)
    wait_until(lambda: rest.get(f"/uploads/{upload}")["received_bytes"], lambda received: received >= 16 * MB)
    server.stop(signal.SIGKILL)
    piece.close()
    server.start()
    told = rest.get(f"/uploads/{upload}")
    assert told["state"] == "receiving"
    assert 16 * MB <= told["received_bytes"] <= 20 * MB
    assert "restarted" in told["error"]
    assert rest.get("/datasets")["total"] == datasets["total"]
    assert {rest.get(f"/uploads/{id_}")["state"] for id_ in waiting} == {"received"}
    assert rest.get(f"/uploads/{half}")["received_bytes"] == 40
    start = told["received_bytes"]
    done = rest.http.put(f"/api/uploads/{upload}", params={"offset": start}, content=data[start:]).json()
    assert (done["state"], done["sha256"]) == ("received", whole)
    files = server.data_dir / "uploads"
    assert hashlib.sha256((files / upload).read_bytes()).hexdigest() == whole
    assert {path.name for path in files.iterdir()} == {upload, half, *waiting}
    assert rest.http.get(f"/api/uploads/{forgotten}").status_code == 404


def _send_part(server: Server, rest: Rest, upload_id: str, data: bytes, *, part: int) -> socket.socket:
    """Announce all of it, send a part, and leave the connection open."""
    address = urlsplit(server.url)
    connection = socket.create_connection((str(address.hostname), int(address.port or 80)))
    head = (
        f"PUT /api/uploads/{upload_id}?offset=0 HTTP/1.1\r\n"
        f"Host: {address.netloc}\r\n"
        f"Content-Length: {len(data)}\r\n"
    )
    connection.sendall(
        f"{head}Authorization: {rest.http.headers['Authorization']}\r\n\r\n".encode() + data[:part]
    )
    return connection


def _age(server: Server, upload_id: str, *, hours: int) -> None:
    """As if nobody had touched it for so long."""
    with sqlite3.connect(server.data_dir / "luthier.db", timeout=10) as database:
        moment = time.strftime("%Y-%m-%d %H:%M:%S.000000", time.gmtime(time.time() - hours * 3600))
        database.execute("UPDATE uploads SET updated_at = ? WHERE id = ?", (moment, upload_id))
    database.close()
