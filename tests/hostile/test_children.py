"""Children that do the work of a row: forked from the warm parent or fresh, they do the same; and whoever is
killed, the others go on."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.config import ROOT, child_environment, sibling_environment
from core.processes import children
from core.processes.children import Child, Program
from core.server.lifespan import FORKED
from tests.waiting import wait_until

PROGRAM = Program("tests.hostile.child_program", "tests.hostile.child_program:main")
needs_fork = pytest.mark.skipif(not children.CAN_FORK, reason="there is no warm parent on this system")


@pytest.fixture(params=["fresh", pytest.param("forked", marks=needs_fork)])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """How children are started."""
    if request.param == "forked":
        children.keep_warm("core.config")
    yield request.param
    children.shut_down()


@pytest.fixture
def warm() -> Iterator[None]:
    children.keep_warm("core.config")
    yield
    children.shut_down()


def test_a_child_has_its_own_session_input_output_environment_and_settings(way: str, tmp_path: Path) -> None:
    environment = sibling_environment() | {"LUTHIER_TRASH_DAYS": "9", "SECRET_OF_ONE": "x"}
    child = start(tmp_path, "tell", "a b", environment=environment, stdin="from a pipe\n")
    assert child.wait(60) == 0
    told = (tmp_path / "output").read_text().splitlines()
    assert told == ["a b", "from a pipe", "9", "x", f"session {child.pid}"]
    later = start(tmp_path, "tell", "c", environment=sibling_environment())
    assert later.wait(60) == 0
    told = (tmp_path / "output").read_text().splitlines()[5:]
    assert told == ["c", "", "30", "None", f"session {later.pid}"]  # nothing of the first one is left


def test_how_a_child_ended_is_known(way: str, tmp_path: Path) -> None:
    ended: list[str] = []
    exits = start(tmp_path, "exit", "3", then=lambda: ended.append("exit"))
    raises = start(tmp_path, "raise", "a word in its log")
    hangs = start(tmp_path, "hang")
    assert (exits.wait(60), raises.wait(60), hangs.poll()) == (3, 1, None)
    assert "a word in its log" in (tmp_path / "output").read_text()
    wait_until(lambda: "hangs" in (tmp_path / "output").read_text())
    with pytest.raises(subprocess.TimeoutExpired):
        hangs.wait(0.1)
    hangs.kill()
    assert hangs.wait(60) == -signal.SIGKILL
    wait_until(lambda: ended == ["exit"])


@needs_fork
def test_the_warm_parent_of_a_server_has_one_thread_no_torch_and_no_setting(tmp_path: Path) -> None:
    children.keep_warm(*FORKED)
    try:
        assert start(tmp_path, "exit", "0").wait(60) == 0
        parent = warm_parent()
        assert parent.num_threads() == 1
        mapped = Path(f"/proc/{parent.pid}/maps").read_text()
        assert "libtorch" not in mapped
        assert not [file for file in parent.open_files() if file.path.endswith((".db", ".log"))]
        assert not [name for name in parent.environ() if name.startswith("LUTHIER_")]
    finally:
        children.shut_down()


@needs_fork
def test_children_outlive_a_killed_parent_and_the_next_one_has_a_new_parent(
    warm: None, tmp_path: Path
) -> None:
    ended: list[str] = []
    child = start(tmp_path, "hang", then=lambda: ended.append("told"))
    wait_until(lambda: "hangs" in (tmp_path / "output").read_text())
    first = warm_parent()
    first.kill()
    wait_until(lambda: not first.is_running() or first.status() == psutil.STATUS_ZOMBIE)
    assert (child.poll(), ended) == (None, [])
    assert start(tmp_path, "exit", "4").wait(60) == 4
    assert warm_parent().pid != first.pid
    os.kill(child.pid, signal.SIGTERM)
    assert child.wait(60) == children.LOST
    wait_until(lambda: ended == ["told"])


@needs_fork
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_children_outlive_their_server_and_the_parent_does_not(how: signal.Signals, tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.hostile.child_program", "serve", str(tmp_path)],
        cwd=ROOT,
        env=child_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout
    parent, child = (psutil.Process(int(number)) for number in server.stdout.readline().split())
    server.send_signal(how)
    server.wait(60)
    wait_until(lambda: not parent.is_running() or parent.status() == psutil.STATUS_ZOMBIE)
    assert child.is_running()
    (tmp_path / "go").touch()
    wait_until(lambda: "went on" in (tmp_path / "output").read_text())
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


@needs_fork
def test_a_parent_that_hangs_is_replaced_and_costs_nobody_a_child(
    warm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert start(tmp_path, "exit", "0").wait(60) == 0
    parent = warm_parent()
    parent.suspend()
    monkeypatch.setattr(children, "START_SECONDS", 0.2)
    assert start(tmp_path, "exit", "5").wait(60) == 5  # by a Python of its own
    monkeypatch.setattr(children, "START_SECONDS", 60.0)
    assert start(tmp_path, "exit", "6").wait(60) == 6
    assert warm_parent().pid != parent.pid


@needs_fork
def test_a_parent_that_cannot_import_costs_nobody_a_child(tmp_path: Path) -> None:
    children.keep_warm("tests.hostile.no_such_module")
    try:
        assert start(tmp_path, "exit", "7").wait(60) == 7
    finally:
        children.shut_down()


def start(
    folder: Path,
    *arguments: str,
    environment: dict[str, str] | None = None,
    stdin: str = "",
    then: object = None,
) -> Child:
    return children.start(
        PROGRAM,
        *arguments,
        output=folder / "output",
        environment=environment or sibling_environment(),
        stdin=stdin,
        then=then,  # type: ignore[arg-type]
    )


def warm_parent() -> psutil.Process:
    parent = children._warm_parent()
    assert parent
    return psutil.Process(parent.process.pid)
