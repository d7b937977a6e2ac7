"""The four kinds of work that children do, and every moment at which somebody is killed.

Conversions, reports, exports and evaluations go through one mechanism (``core.processes.claimed`` and
``tended``), so one table asks the same of each: the row ends in a state that says what happened, nothing
stays claimed, no log or draft is left, and what is asked for next is done. A child is stopped as soon as it
has claimed its row, so that it is in the middle of its work when the blow falls.
"""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest

from core import datasets, exports, storage
from core.config import settings
from core.db import reading, writing
from core.exports.queue import ExportQueue
from core.fields import parse
from core.fine_tuning.checkpoints.evaluations import EvaluationQueue
from core.ingest.queue import ConversionQueue
from core.people.users import User
from core.processes import children, tended
from core.processes.claimed import Key, is_settled
from core.processes.tended import TendedQueue
from core.reports.queue import ReportQueue
from core.security import new_id
from core.server.lifespan import FORKED
from core.tables import EvaluationRow, ModelRow, ModelVersionRow, WorkRow
from tests.core.conftest import base_model as base_model
from tests.core.conftest import make_version as make_version
from tests.core.conftest import tiny_base as tiny_base
from tests.core.uploads.shared import stage
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.skipif(not children.CAN_FORK, reason="there is no warm parent on this system"),
    pytest.mark.slow,
]
PATIENCE = 180.0  # seconds: an export loads the model twice
LARGE = "SELECT i AS n, md5(i::VARCHAR) || ' is the name of row ' || i AS text FROM range(600000) t(i)"
Queue = TendedQueue[Any]
MakeVersion = Callable[..., Any]
Ask = Callable[[], Key]


@dataclass(frozen=True)
class Kind:
    """``ask`` writes the row that waits, and gives its key."""

    queue: type[Queue]
    ask: Callable[[User, MakeVersion, ModelRow], Key]
    is_repeatable: bool = True


def ask_for_conversion(ada: User, make_version: MakeVersion, base: ModelRow) -> Key:
    rows = b"".join(b"%d,a word that takes some room in the file\n" % n for n in range(400_000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.ingest.queue.run_in_background", lambda version_id: None)
        made = datasets.create(
            ada, datasets.NewDataset(), file=stage(b"n,word\n" + rows), filename="words.csv"
        )
    with reading() as session:
        return ConversionQueue().work.key_of(
            session.query(ConversionQueue().work.row).filter_by(dataset_id=made.id).one()
        )


def ask_for_report(ada: User, make_version: MakeVersion, base: ModelRow) -> Key:
    made = make_version(ada, [{"n": 1, "text": "x"}], types={"n": "BIGINT"})
    duckdb.execute(f"COPY ({LARGE}) TO '{storage.parquet_path(made.id)}' (FORMAT parquet)")
    datasets.start_report(ada, made.id, "quality")
    return (made.id, "quality")


def ask_for_export(ada: User, make_version: MakeVersion, base: ModelRow) -> Key:
    return (exports.request_export(ada, base.id, parse(exports.NewExport, kind="merged")).export.id,)


def ask_for_evaluation(ada: User, make_version: MakeVersion, base: ModelRow) -> Key:
    """Of a base, which only a test may ask for: it needs no training before."""
    made = make_version(ada, [{"prompt": f"Say {n}", "completion": "It is said."} for n in range(4)])
    asked = {"method": "supervised", "dataset_version_id": made.id, "dataset": "faq v1", "columns": None}
    with writing() as session:
        of = session.query(ModelVersionRow).filter_by(model_id=base.id).one().id
        key = new_id("eval")
        session.add(EvaluationRow(id=key, model_version_id=of, asked=asked | {"rows": "all"}))
    return (key,)


KINDS = {
    "conversion": Kind(ConversionQueue, ask_for_conversion, is_repeatable=False),
    "report": Kind(ReportQueue, ask_for_report),
    "export": Kind(ExportQueue, ask_for_export),
    "evaluation": Kind(EvaluationQueue, ask_for_evaluation),
}


# One mechanism serves all: the kills are tried on conversions, and on the others, whose children import
# torch, in ./test.sh everything
killed_kinds = pytest.mark.parametrize(
    "kind",
    [kind if kind == "conversion" else pytest.param(kind, marks=pytest.mark.long) for kind in KINDS],
    indirect=True,
)


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def ask(kind: Kind, ada: User, make_version: MakeVersion, tiny_base: Path, base_model: ModelRow) -> Ask:
    return lambda: kind.ask(ada, make_version, base_model)


@pytest.fixture(scope="module", autouse=True)
def warm_parent() -> Iterator[None]:
    """One for all tests; after one that killed it, the next request starts another."""
    children.keep_warm(*FORKED)
    yield
    children.shut_down()


@pytest.fixture
def queue(kind: Kind) -> Iterator[Queue]:
    """The queue of a server. Nothing looks after it but ``tick``."""
    made = kind.queue()
    yield made
    for child in made.children.values():
        child.kill()


def row_of(queue: Queue, key: Key) -> WorkRow | None:
    with reading() as session:
        return session.query(queue.work.row).filter(queue.work.is_row(key)).one_or_none()


def stop_in_the_middle(queue: Queue, key: Key) -> psutil.Process:
    """The child of a row, stopped after it has claimed it."""
    queue.tick()
    row = wait_until(lambda: row_of(queue, key), lambda row: row and row.worker_pid)
    assert row is not None
    process = psutil.Process(row.worker_pid)
    process.send_signal(signal.SIGSTOP)
    assert queue.children[key].pid == process.pid
    assert not is_settled(queue.work, key), "it was done before it could be stopped: give it more to do"
    return process


def finish(queue: Queue, key: Key) -> WorkRow | None:
    """Look after the queue until nothing runs or waits."""
    wait_until(lambda: not queue.tick(), seconds=PATIENCE, told=lambda: row_of(queue, key))
    return row_of(queue, key)


def require_done(queue: Queue, key: Key) -> None:
    """It ended well. An evaluation that did has no row any more, and a metric instead."""
    row = finish(queue, key)
    if row is None:
        assert queue.work.row is EvaluationRow
        with reading() as session:
            measured = session.query(ModelVersionRow).filter(
                ModelVersionRow.metrics["evaluation"].is_not(None)
            )
            assert measured.one().metrics["evaluation"]["num_rows"] == 4
    else:
        assert row.status == "ready", getattr(row, "error", row)
    require_nothing_left(queue, key)


def require_told(queue: Queue, key: Key) -> None:
    """It failed, and says so."""
    row = finish(queue, key)
    assert row is not None
    assert row.status == "failed"
    told = row.errors[0]["message"] if hasattr(row, "errors") else row.error  # type: ignore[attr-defined]
    assert told == queue.work.crashed.message
    require_nothing_left(queue, key)


def require_nothing_left(queue: Queue, key: Key) -> None:
    assert queue.children == {}
    assert not queue.log_path(key).exists()
    folder = settings().data_dir
    assert not [*folder.glob("*/.*.tmp"), *folder.glob("reports/*")]


def kill_parent() -> None:
    parent = children._warm_parent()
    assert parent is not None
    parent.process.kill()
    wait_until(lambda: parent.is_gone)


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_undisturbed(ask: Ask, kind: Kind, queue: Queue) -> None:
    require_done(queue, ask())


@killed_kinds
def test_a_child_killed_at_its_work_is_told(ask: Ask, kind: Kind, queue: Queue) -> None:
    key = ask()
    stop_in_the_middle(queue, key).kill()
    require_told(queue, key)
    if kind.is_repeatable:  # what failed can be asked for again
        with writing() as session:
            fresh = {"status": "waiting", "error": None, "worker_pid": None, "worker_started": None}
            session.query(queue.work.row).filter(queue.work.is_row(key)).update(fresh)
        require_done(queue, key)


@killed_kinds
@pytest.mark.parametrize("deaths", [1, 2])
def test_a_child_killed_before_its_claim_is_started_once_more(
    ask: Ask,
    queue: Queue,
    deaths: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, started = children.start, []

    def start_and_kill(*arguments: Any, **options: Any) -> Any:
        started.append(arguments)
        if len(started) <= deaths:  # what it would run is not there: it dies with its imports
            arguments = (children.Program("core.no_such", "core.no_such:main"), *arguments[1:])
        return start(*arguments, **options)

    monkeypatch.setattr(children, "start", start_and_kill)
    key = ask()
    (require_done if deaths == 1 else require_told)(queue, key)
    assert len(started) == 2


@killed_kinds
def test_the_warm_parent_is_killed_and_its_child_goes_on(ask: Ask, kind: Kind, queue: Queue) -> None:
    key = ask()
    child = stop_in_the_middle(queue, key)
    kill_parent()
    queue.tick()
    child.send_signal(signal.SIGCONT)
    require_done(queue, key)


@killed_kinds
def test_server_and_parent_are_killed_and_the_next_server_leaves_the_child_alone(
    ask: Ask, kind: Kind, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ask()
    child = stop_in_the_middle(queue, key)
    kill_parent()
    following = kind.queue()
    monkeypatch.setattr(following, "run", lambda: None)
    following.recover()
    following.tick()
    assert following.children == {}
    child.send_signal(signal.SIGCONT)
    queue.children.clear()
    require_done_by_stranger(following, key, child)


@killed_kinds
def test_all_are_killed_and_the_next_server_does_it_again_or_says_so(
    ask: Ask, kind: Kind, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ask()
    child = stop_in_the_middle(queue, key)
    kill_parent()
    child.kill()
    wait_until(lambda: not tended.is_alive(row_of(queue, key)))  # type: ignore[arg-type]
    queue.children.clear()
    following = kind.queue()
    monkeypatch.setattr(following, "run", lambda: None)
    following.recover()
    (require_done if kind.is_repeatable else require_told)(following, key)


def require_done_by_stranger(queue: Queue, key: Key, child: psutil.Process) -> None:
    """A child of the last server ends by itself; its log is removed at the next start."""
    wait_until(lambda: is_settled(queue.work, key))
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    queue.recover()
    require_done(queue, key)


@killed_kinds
def test_a_row_that_another_process_has_by_now_is_not_failed_by_the_end_of_the_first(
    ask: Ask, kind: Kind, queue: Queue
) -> None:
    key = ask()
    child = stop_in_the_middle(queue, key)
    me = psutil.Process()
    with writing() as session:
        taken = {"worker_pid": os.getpid(), "worker_started": me.create_time()}
        session.query(queue.work.row).filter(queue.work.is_row(key)).update(taken)
    child.send_signal(signal.SIGCONT)  # it finds that it is not wanted, and changes nothing
    wait_until(lambda: key not in queue.children or not queue.tick() or key not in queue.children)
    row = row_of(queue, key)
    assert row is not None
    assert row.worker_pid == os.getpid()
    assert row.status == queue.work.running
