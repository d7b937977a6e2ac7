"""The server as ./start.sh starts it, and its jobs by REST:
the worker killed in mid-training, the server, both, or only stopped.

Nothing stays "running" without a worker, and the loss curve joins. ``test_training_survival`` has what else
may break.
"""

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.config import ROOT
from tests.browser.rest import Rest
from tests.browser.server import Server, serving
from tests.waiting import wait_until

SAMPLE = ROOT / "data" / "samples" / "support_faq.jsonl"
ROWS, EPOCHS = 13, 24  # 72 steps of 4 rows
SETTINGS = {"batch_size": 4, "evaluate_every": 10, "tuning": "full"}


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
    job_id = start_job()
    rest.wait_for_job(job_id, running_at(10))
    seconds = server.stop(signal.SIGTERM)
    assert seconds < 3
    wait_until(lambda: worker_of(job_id), lambda worker: worker is None, seconds=15)
    server.start()
    after = rest.wait_for_job(job_id, ended, seconds=240)
    assert after["status"] == "succeeded"
    assert_curve_joins(rest, job_id, after["total_steps"])


def test_cancelled_job_leaves_no_worker(server: Server, rest: Rest, start_job: Callable[..., str]) -> None:
    job_id = start_job(epochs=50)
    rest.wait_for_job(job_id, running_at(5))
    pressed = time.monotonic()
    rest.post(f"/finetune/{job_id}/cancel")
    rest.wait_for_job(job_id, lambda p: p["status"] == "cancelled", seconds=15)
    wait_until(lambda: worker_of(job_id), lambda worker: worker is None, seconds=15)
    print(f"cancelled and gone after {time.monotonic() - pressed:.1f} s")
