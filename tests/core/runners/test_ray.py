"""Jobs on a Ray cluster: against a small stand-in of its Job Submission API,
and against a real Ray where it is installed."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest

from core import fine_tuning, jobs, storage
from core.clock import now
from core.config import settings
from core.db import reading, writing
from core.errors import Conflict
from core.fields import parse
from core.fine_tuning import NewJob
from core.people.users import User
from core.runners import RUNNERS, Worker
from core.runners.ray import RayRunner
from core.runners.ray_jobs import RayJobs, Unreachable
from core.tables import JobEventRow, JobRow, ModelRow
from core.workers.supervisor import Supervisor
from tests.waiting import wait_until

MakeJob = Callable[..., JobRow]
TOKEN = "a-token-of-the-test-0123456789abcdef"
LONG = [{"prompt": "x" * 60, "completion": "y" * 200}] * 200


class Cluster:
    """What a Ray head answers about jobs, on a port of this machine."""

    def __init__(self) -> None:
        self.submitted: list[dict[str, Any]] = []
        self.stopped: list[str] = []
        self.statuses: dict[str, str] = {}
        self.refuses: int | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, verb: str, path: str, body: Any) -> tuple[int, Any]:
        if self.refuses:
            return self.refuses, {"error": "no"}
        if path == "/api/version":
            return 200, {"ray_version": "2.60.0"}
        if verb == "POST" and path == "/api/jobs/":
            self.submitted.append(body)
            self.statuses[body["submission_id"]] = "PENDING"
            return 200, {"submission_id": body["submission_id"]}
        ref = path.split("/")[3]
        if path.endswith("/stop"):
            self.stopped.append(ref)
            return 200, {"stopped": True}
        return (200, {"status": self.statuses[ref]}) if ref in self.statuses else (404, {})

    def _handler(cluster) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply("GET", None)

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                self._reply("POST", json.loads(self.rfile.read(length)) if length else None)

            def _reply(self, verb: str, body: Any) -> None:
                allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
                code, answer = (
                    cluster.answer(verb, self.path, body) if allowed else (401, {"error": "Unauthorized"})
                )
                text = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None: ...

        return Handler


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    made = Cluster()
    configure(monkeypatch, LUTHIER_RAY_ADDRESS=made.address, LUTHIER_RAY_TOKEN=TOKEN)
    yield made
    made.close()


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> RayRunner:
    """A fresh one in the registry that looks at every call."""
    monkeypatch.setattr("core.runners.ray.LOOK_SECONDS", 0.0)
    monkeypatch.setitem(RUNNERS, "ray", RayRunner())
    return RUNNERS["ray"]  # type: ignore[return-value]


def test_a_job_is_handed_over_and_followed_by_its_submission(
    ada: User, make_job: MakeJob, cluster: Cluster, runner: RayRunner
) -> None:
    job = make_job(ada, runner="ray")
    watch = Supervisor()
    watch.tick()
    (body,) = cluster.submitted
    assert row_of(job.id).worker_ref == body["submission_id"]
    assert job.id in body["submission_id"]
    assert body["entrypoint"].split(">>")[0].strip().endswith(f"-m core.workers.worker {job.id}")
    assert (body["entrypoint_num_cpus"], body["entrypoint_num_gpus"]) == (1, 0)
    cluster.statuses[body["submission_id"]] = "FAILED"
    watch.tick()
    assert len(cluster.submitted) == 2, "a worker that died is replaced"
    assert row_of(job.id).attempts == 2
    assert row_of(job.id).worker_ref == cluster.submitted[1]["submission_id"] != body["submission_id"]


def test_the_address_of_the_database_is_in_a_private_file_and_not_in_what_ray_shows(
    ada: User, make_job: MakeJob, cluster: Cluster, runner: RayRunner
) -> None:
    job = make_job(ada, runner="ray")
    Supervisor().tick()
    assert settings().sqlalchemy_url not in json.dumps(cluster.submitted)
    path = storage.job_dir(job.id) / "worker.env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"LUTHIER_DATA_DIR={settings().data_dir}" in path.read_text()


def test_several_devices_are_reserved_and_started_on_one_node(
    ada: User, make_job: MakeJob, cluster: Cluster, runner: RayRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, LUTHIER_RAY_GPUS="1")
    make_job(ada, runner="ray", num_processes=2)
    Supervisor().tick()
    (body,) = cluster.submitted
    assert body["entrypoint_num_gpus"] == 2
    assert "torch.distributed.run" in body["entrypoint"]
    assert "--nproc-per-node 2" in body["entrypoint"]


def test_a_job_that_waits_in_the_cluster_keeps_its_lease(
    ada: User, make_job: MakeJob, cluster: Cluster, runner: RayRunner
) -> None:
    job = make_job(ada, runner="ray")
    watch = Supervisor()
    watch.tick()
    set_row(job.id, lease_until=now())
    watch.tick()
    assert row_of(job.id).lease_until > now()
    assert cluster.stopped == []


def test_a_cancelled_job_that_ignores_it_is_stopped_once(
    ada: User, make_job: MakeJob, cluster: Cluster, runner: RayRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.workers.supervisor.GRACE_SECONDS", -1.0)
    job = make_job(ada, runner="ray")
    watch = Supervisor()
    watch.tick()
    with writing() as session:
        jobs.cancel(session, job.id)
    ref = row_of(job.id).worker_ref
    watch.tick()
    watch.tick()
    assert cluster.stopped == [ref]
    cluster.statuses[str(ref)] = "STOPPED"
    watch.tick()
    assert (row_of(job.id).status, row_of(job.id).lease_token, row_of(job.id).worker_ref) == (
        "cancelled",
        None,
        None,
    )


def test_the_next_server_adopts_a_job_on_the_cluster(
    ada: User, make_job: MakeJob, cluster: Cluster, runner: RayRunner
) -> None:
    job = make_job(ada, runner="ray")
    first = Supervisor()
    first.tick()
    ref = str(row_of(job.id).worker_ref)
    cluster.statuses[ref] = "RUNNING"
    began = time.monotonic()
    first.stop()
    assert time.monotonic() - began < 1.5, "nobody waits for a worker elsewhere"
    assert cluster.stopped == [], "a job on the cluster goes on without the server"
    Supervisor().tick()
    assert (row_of(job.id).status, row_of(job.id).attempts, row_of(job.id).worker_ref) == ("running", 1, ref)


def test_a_cluster_that_is_away_leaves_a_living_worker_alone_and_loses_a_silent_one(
    ada: User, make_job: MakeJob, cluster: Cluster, runner: RayRunner
) -> None:
    job = make_job(ada, runner="ray")
    watch = Supervisor()
    watch.tick()
    ref = row_of(job.id).worker_ref
    cluster.refuses = 503
    set_row(job.id, worker_pid=1, worker_started=1.0)
    watch.tick()
    assert (row_of(job.id).status, row_of(job.id).worker_ref) == ("running", ref)
    set_row(job.id, lease_until=now())
    watch.tick()  # silent, and the cluster cannot be told to end it
    watch.tick()
    assert row_of(job.id).worker_ref != ref, "the job was taken from a worker that nobody reaches"
    assert not runner.is_alive(Worker(1, 1.0, ref))


def test_a_cluster_that_refuses_fails_the_job_with_what_to_do(
    ada: User, make_job: MakeJob, cluster: Cluster, runner: RayRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, LUTHIER_RAY_TOKEN="wrong")
    job = make_job(ada, runner="ray")
    watch = Supervisor()
    for _ in range(jobs.MAX_ATTEMPTS + 1):
        watch.tick()
    row = row_of(job.id)
    assert row.status == "failed"
    assert "LUTHIER_RAY_TOKEN" in row.error["message"]


def test_an_address_where_nothing_listens_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        RayJobs(f"http://127.0.0.1:{free_port()}").version()


def test_without_an_address_no_job_may_ask_for_it(ada: User, base_model: ModelRow, make_version: Any) -> None:
    with pytest.raises(Conflict, match="LUTHIER_RAY_ADDRESS"):
        fine_tuning.create(ada, new_job(base_model, make_version(ada)))


def test_a_cluster_elsewhere_needs_postgresql(
    ada: User, base_model: ModelRow, make_version: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, LUTHIER_RAY_ADDRESS="http://head.example.com:8265")
    with pytest.raises(Conflict, match="PostgreSQL"):
        fine_tuning.create(ada, new_job(base_model, make_version(ada)))


def test_an_address_that_is_no_web_address_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="http://"):
        configure(patch, LUTHIER_RAY_ADDRESS="ray://head:10001")
    settings.cache_clear()


@pytest.fixture(scope="module")
def real_cluster() -> Iterator[str]:
    """A Ray head on this machine with a token, in a folder and on ports of its own.

    Never ``ray stop``: it ends everybody's.
    """
    pytest.importorskip("ray", reason="Ray is an optional extra: pip install -r requirements-ray.txt")
    port, dashboard, agent, client = (free_port() for _ in range(4))
    folder = Path(f"/tmp/lray-{os.getpid()}")  # Ray's sockets need a short path
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_worker_niceness": "0"}
    words = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--disable-usage-stats"]
    words += [
        "--node-ip-address=127.0.0.1",
        f"--port={port}",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={dashboard}",
    ]
    words += [
        f"--dashboard-agent-listen-port={agent}",
        f"--ray-client-server-port={client}",
        f"--temp-dir={folder}",
    ]
    words += [
        "--num-cpus=2",
        "--num-gpus=0",
        "--object-store-memory=80000000",
        "--min-worker-port=20100",
        "--max-worker-port=20300",
    ]
    head = subprocess.Popen(
        words,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/tmp",
    )
    address = f"http://127.0.0.1:{dashboard}"
    try:
        wait_until(lambda: answers(address) or head.poll() is not None, seconds=180)
        assert head.poll() is None, "Ray did not start"
        yield address
    finally:
        end_tree(head.pid)
        storage.remove(folder)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("tiny_base")
def test_a_job_runs_on_a_real_cluster_is_cancelled_and_resumed_there(
    ada: User, make_job: MakeJob, real_cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, LUTHIER_RAY_ADDRESS=real_cluster, LUTHIER_RAY_TOKEN=TOKEN)
    assert RayJobs(real_cluster, TOKEN).version().startswith("2.")
    with pytest.raises(Unreachable, match="LUTHIER_RAY_TOKEN"):
        RayJobs(real_cluster, "wrong").status("none")
    watch = Supervisor()
    watch.start()
    try:
        short = make_job(ada, runner="ray", hyperparameters={"n_epochs": 2, "batch_size": 4})
        wait_until(lambda: row_of(short.id).status not in ("queued", "running"), seconds=240)
        assert (row_of(short.id).status, row_of(short.id).error) == ("succeeded", None)

        long = make_job(ada, runner="ray", rows=LONG, hyperparameters={"n_epochs": 50, "batch_size": 1})
        wait_until(lambda: row_of(long.id).step >= 3, seconds=240)
        with writing() as session:
            jobs.pause(session, long.id)
        wait_until(lambda: row_of(long.id).lease_token is None, seconds=60)
        with writing() as session:
            jobs.resume(session, long.id)
        paused_at = row_of(long.id).step
        wait_until(
            lambda: row_of(long.id).step > paused_at and row_of(long.id).worker_pid is not None, seconds=240
        )
        os.kill(int(row_of(long.id).worker_pid or 0), signal.SIGKILL)
        wait_until(
            lambda: row_of(long.id).attempts == 2 and row_of(long.id).worker_pid is not None, seconds=240
        )
        with writing() as session:
            jobs.cancel(session, long.id)
        wait_until(lambda: row_of(long.id).lease_token is None, seconds=60)
    finally:
        watch.stop()
    assert row_of(long.id).status == "cancelled"
    assert "goes on from its last checkpoint" in " ".join(told(long.id))


def configure(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    settings()


def new_job(base: ModelRow, version: Any) -> NewJob:
    return parse(NewJob, base_model_id=base.id, dataset_id=version.dataset_id, runner="ray")


def row_of(job_id: str) -> JobRow:
    with reading() as session:
        return session.get_one(JobRow, job_id)


def set_row(job_id: str, **values: Any) -> None:
    with writing() as session:
        for name, value in values.items():
            setattr(session.get_one(JobRow, job_id), name, value)


def told(job_id: str) -> list[str]:
    with reading() as session:
        return [event.message for event in session.query(JobEventRow).filter_by(job_id=job_id)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(address: str) -> bool:
    try:
        return RayJobs(address, TOKEN).status("none") is None
    except Unreachable:
        return False


def end_tree(pid: int) -> None:
    parent = psutil.Process(pid)
    tree = [*parent.children(recursive=True), parent]
    parent.terminate()
    _, left = psutil.wait_procs(tree, timeout=15)
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=5)
