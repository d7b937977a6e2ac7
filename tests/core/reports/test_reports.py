"""Reports about a version: asked for, computed by a process,
settled whatever happens, and nobody else's business."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from core import datasets, storage
from core.clock import now
from core.db import reading, writing
from core.errors import NotFound
from core.people.users import User
from core.readers.base import WorkProgress
from core.reports import computing
from core.reports import queue as report_queue
from core.reports.queue import ReportQueue
from core.security import new_id
from core.tables import DatasetVersionRow, ModelRow, ModelVersionRow, VersionReportRow

ROWS = [{"n": n, "text": f"word{n} and a mail to a{n}@b.org"} for n in range(20)]
MakeVersion = Callable[..., DatasetVersionRow]


@pytest.fixture
def version(ada: User, make_version: MakeVersion) -> DatasetVersionRow:
    return make_version(ada, ROWS, format="table", types={"n": "BIGINT"})


def write_report(version_id: str, kind: str = "quality", **values: Any) -> None:
    with writing() as session:
        session.merge(VersionReportRow(version_id=version_id, kind=kind, **values))


def report_of(version_id: str, kind: str = "quality") -> VersionReportRow | None:
    with reading() as session:
        return session.get(VersionReportRow, (version_id, kind))


def status_of(version_id: str, kind: str = "quality") -> str | None:
    row = report_of(version_id, kind)
    return row.status if row else None


def dead_worker() -> dict[str, Any]:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return {"worker_pid": ended.pid, "worker_started": 1.0, "heartbeat_at": now()}


def living_worker() -> dict[str, Any]:
    me = psutil.Process()
    return {"worker_pid": me.pid, "worker_started": me.create_time(), "heartbeat_at": now()}


def test_quality_goes_from_none_to_ready_and_opens_its_rows(ada: User, version: DatasetVersionRow) -> None:
    assert datasets.quality(ada, version.id).status == "none"
    datasets.start_report(ada, version.id, "quality")
    assert datasets.quality(ada, version.id).status == "waiting"
    assert computing.run(version.id, "quality")
    found = datasets.quality(ada, version.id)
    assert (found.status, found.progress, found.num_rows, found.num_rows_scanned) == ("ready", 1.0, 20, 20)
    assert [finding["key"] for finding in found.findings] == ["email.1"]
    finding = datasets.finding(ada, version.id, "email.1")
    assert (finding.title, finding.num_rows, finding.lines[:2]) == ("E-mail addresses", 20, [1, 2])
    with pytest.raises(NotFound, match="Open it again"):
        datasets.finding(ada, version.id, "email.7")


def test_while_a_profile_is_computed_the_footer_speaks(ada: User, version: DatasetVersionRow) -> None:
    datasets.start_report(ada, version.id, "profile")
    early = datasets.profile(ada, version.dataset_id)
    assert (early.status, early.progress, early.num_rows) == ("waiting", 0.0, 20)
    number = early.columns[0]
    assert (number["nulls"], number["min"], number["max"], number["mean"], number["distinct"]) == (
        0,
        0,
        19,
        None,
        None,
    )
    assert computing.run(version.id, "profile")
    ready = datasets.profile(ada, version.dataset_id)
    assert (ready.status, ready.columns[0]["mean"], ready.columns[0]["distinct"]) == ("ready", 9.5, 20)


def test_token_lengths_under_a_model(
    ada: User, version: DatasetVersionRow, model_of: Callable[..., str]
) -> None:
    model = model_of(ada)
    assert datasets.token_lengths(ada, version.id, model).status == "none"
    datasets.start_token_lengths(ada, version.id, model)
    assert computing.run(version.id, f"tokens:{model}")
    found = datasets.token_lengths(ada, version.id, model)
    text = found.columns["text"]
    assert (found.status, found.num_rows_measured, list(found.columns)) == ("ready", 20, ["text"])
    assert (text["rows"], text["total"], text["quantiles"]["p50"], text["longest"]) == (
        20,
        200,
        10.0,
        {"line": 1, "tokens": 10},
    )


def test_a_chat_is_as_long_as_its_messages_together(
    ada: User, make_version: MakeVersion, model_of: Callable[..., str]
) -> None:
    rows: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": "one two"}, {"role": "assistant", "content": "three"}]},
        {"messages": [{"role": "user", "content": "one"}]},
    ]
    chat = make_version(
        ada, rows, format="chat", types={"messages": "STRUCT(role VARCHAR, content VARCHAR)[]"}
    )
    model = model_of(ada)
    datasets.start_token_lengths(ada, chat.id, model)
    assert computing.run(chat.id, f"tokens:{model}")
    found = datasets.token_lengths(ada, chat.id, model).columns["messages"]
    assert (found["total"], found["longest"]) == (4, {"line": 1, "tokens": 3})


def test_a_model_without_tokenizer_says_so(
    ada: User, version: DatasetVersionRow, model_of: Callable[..., str], tmp_path: Path
) -> None:
    model = model_of(ada, folder=tmp_path / "empty")
    datasets.start_token_lengths(ada, version.id, model)
    computing.run(version.id, f"tokens:{model}")
    found = datasets.token_lengths(ada, version.id, model)
    assert found.status == "failed"
    assert "Choose another model" in (found.error or "")


def test_what_does_not_fit_into_memory_is_spilled_and_swept(version: DatasetVersionRow) -> None:
    folder = computing.spill_path(version.id, "quality")
    write_report(version.id, status="running", worker_pid=os.getpid())  # it tells of itself every second
    row = report_of(version.id)
    assert row is not None
    with computing._working(row, WorkProgress()) as connection:
        connection.execute("SET memory_limit = '30MB'")
        connection.execute(
            "CREATE TEMP TABLE wide AS SELECT range AS n, repeat(range::VARCHAR, 40) AS words "
            "FROM range(300_000)"
        )
        assert any(folder.rglob("*.tmp"))
    assert not folder.exists()


def test_a_failure_is_told_and_can_be_tried_again(ada: User, version: DatasetVersionRow) -> None:
    kept = storage.parquet_path(version.id).read_bytes()
    storage.parquet_path(version.id).write_bytes(b"broken")
    datasets.start_report(ada, version.id, "quality")
    assert not computing.run(version.id, "quality")
    found = datasets.quality(ada, version.id)
    assert (found.status, found.error) == ("failed", computing.UNFORESEEN.message)
    storage.parquet_path(version.id).write_bytes(kept)
    datasets.start_report(ada, version.id, "quality")
    assert computing.run(version.id, "quality")
    assert datasets.quality(ada, version.id).status == "ready"


@pytest.mark.parametrize("status", ["running", "ready", "failed"])
def test_only_a_waiting_report_is_claimed(version: DatasetVersionRow, status: str) -> None:
    write_report(version.id, status=status)
    assert computing.run(version.id, "quality")
    assert status_of(version.id) == status


@pytest.mark.parametrize("status", ["waiting", "running", "ready"])
def test_asking_twice_changes_nothing(ada: User, version: DatasetVersionRow, status: str) -> None:
    write_report(version.id, status=status, progress=0.4)
    datasets.start_report(ada, version.id, "quality")
    row = report_of(version.id)
    assert row is not None
    assert (row.status, row.progress) == (status, 0.4)


def test_a_large_version_gets_its_profile_later_a_small_one_with_it(version: DatasetVersionRow) -> None:
    assert computing.is_small(200_000, 10)
    assert not computing.is_small(200_001, 10)
    with writing() as session:
        computing.request_all(session, version.id, profiled=True)
    assert (status_of(version.id, "profile"), status_of(version.id)) == (None, "waiting")


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> ReportQueue:
    """A queue that writes down what it would start."""
    made = ReportQueue()
    monkeypatch.setattr(
        made, "_start", lambda row, key: write_report(*key, status="running", **living_worker())
    )
    return made


def test_at_most_so_many_run_and_the_oldest_goes_first(
    ada: User, make_version: MakeVersion, queue: ReportQueue
) -> None:
    ids = [make_version(ada, ROWS, name=f"d{n}").id for n in range(4)]
    for age, version_id in enumerate(ids):
        write_report(version_id, status="waiting", created_at=now() - timedelta(seconds=age))
    assert queue.tick()
    assert [status_of(version_id) for version_id in ids] == ["waiting", "waiting", "running", "running"]
    queue.tick()
    assert [status_of(version_id) for version_id in ids] == ["waiting", "waiting", "running", "running"]


def test_quality_waits_for_the_profile_of_its_version(version: DatasetVersionRow, queue: ReportQueue) -> None:
    with writing() as session:
        computing.request_all(session, version.id, profiled=False)
    queue.tick()
    assert (status_of(version.id, "profile"), status_of(version.id)) == ("running", "waiting")
    write_report(version.id, "profile", status="ready")
    queue.tick()
    assert status_of(version.id) == "running"


def test_a_dead_process_is_told(ada: User, version: DatasetVersionRow, queue: ReportQueue) -> None:
    write_report(version.id, status="running", **dead_worker())
    queue.tick()
    found = datasets.quality(ada, version.id)
    assert (found.status, found.error) == ("failed", computing.CRASHED.message)


def test_a_process_that_ends_before_it_claims_its_report_is_told(
    version: DatasetVersionRow, queue: ReportQueue
) -> None:
    write_report(version.id, status="waiting")
    for told in ("waiting", "failed"):  # once more, in case it was no fault of the report
        child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
        child.wait()
        queue.children[(version.id, "quality")] = child
        queue._settle_ended()
        assert status_of(version.id) == told
    assert not queue.tick()


def test_after_a_restart_what_died_is_computed_again_and_what_lives_goes_on(
    ada: User, make_version: MakeVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_queue.QUEUE, "run", lambda: None)
    died, lives, done = (make_version(ada, ROWS, name=name).id for name in ("died", "lives", "done"))
    write_report(died, status="running", progress=0.7, **dead_worker())
    write_report(lives, status="running", progress=0.7, **living_worker())
    write_report(done, status="ready")
    for version_id in (died, lives):
        computing.spill_path(version_id, "quality").mkdir(parents=True)
    report_queue.QUEUE.recover()
    assert [status_of(version_id) for version_id in (died, lives, done)] == ["waiting", "running", "ready"]
    assert [computing.spill_path(version_id, "quality").exists() for version_id in (died, lives)] == [
        False,
        True,
    ]


@pytest.fixture
def model_of(tmp_path: Path) -> Callable[..., str]:
    """``model_of(user)``: the id of a model version
    whose tokenizer takes every word for a token; None as user: a base."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path / "model"
    folder.mkdir()
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))

    def make(user: User | None, *, folder: Path = folder) -> str:
        kind, version_id = ("finetuned" if user else "base"), new_id("mdv")
        with writing() as session:
            row = ModelRow(id=new_id("mdl"), name=version_id, type=kind, owner_id=user.id if user else None)
            session.add(row)
            session.flush()
            session.add(
                ModelVersionRow(
                    id=version_id, model_id=row.id, version=1, folder=str(folder), num_parameters=1
                )
            )
        return version_id

    return make


def test_other_users_reports_look_missing(
    ada: User, bob: User, version: DatasetVersionRow, model_of: Callable[..., str]
) -> None:
    datasets.start_report(ada, version.id, "quality")
    computing.run(version.id, "quality")
    shared = model_of(None)
    tries: list[Callable[[], object]] = [
        lambda: datasets.quality(bob, version.id),
        lambda: datasets.finding(bob, version.id, "email.1"),
        lambda: datasets.profile(bob, version.dataset_id),
        lambda: datasets.token_lengths(bob, version.id, shared),
        lambda: datasets.start_report(bob, version.id, "profile"),
        lambda: datasets.start_token_lengths(bob, version.id, shared),
    ]
    for attempt in tries:
        with pytest.raises(NotFound):
            attempt()
    assert status_of(version.id, "profile") is None


def test_other_users_models_count_nothing(
    ada: User, bob: User, version: DatasetVersionRow, model_of: Callable[..., str]
) -> None:
    theirs = model_of(bob)
    for attempt in (datasets.start_token_lengths, datasets.token_lengths):
        with pytest.raises(NotFound, match="no such model"):
            attempt(ada, version.id, theirs)


def test_reports_go_with_their_version(ada: User, version: DatasetVersionRow) -> None:
    datasets.start_report(ada, version.id, "quality")
    datasets.delete(ada, version.dataset_id)
    assert report_of(version.id) is None
    assert computing.run(version.id, "quality")  # a process that comes too late has nothing to do
