"""The real commands with a data folder and a database that do not belong together:
a sentence, no traceback, every file there."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from core import db
from core.config import ROOT, child_environment
from core.storage import pairing

COMMANDS = {
    "./start.sh": ["-m", "core.launch"],
    "streamlit": ["-m", "streamlit", "run", "app.py", "--server.headless", "true", "--server.port", "{port}"],
    "command line": ["-m", "core", "jobs"],
}
START_SECONDS = 120


@pytest.fixture
def folder(data_dir: Path) -> Path:
    """A data folder with its id and one dataset's file."""
    file = data_dir / "datasets" / f"dsv_{'a' * 24}" / "data.parquet"
    pairing.open_database()
    db.engine().dispose()
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weeks of work")
    return data_dir


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, id=name, marks=() if name == "./start.sh" else pytest.mark.long)
        for name, command in COMMANDS.items()
    ],
)
def test_a_typo_in_the_address_of_the_database_costs_nobody_a_file(
    folder: Path, tmp_path: Path, command: list[str]
) -> None:
    before = files(folder)
    ended = run(command, folder, database=f"sqlite:///{tmp_path / 'lutheir.db'}")
    assert ended.returncode == 2
    said = ended.stdout + ended.stderr
    assert "the folder holds 1 dataset version, and the database is empty or missing" in said
    assert "Correct LUTHIER_DATA_DIR or LUTHIER_DATABASE_URL" in said
    assert "Traceback" not in said
    assert files(folder).keys() == before.keys()
    assert files(folder) == before
    assert not (tmp_path / "lutheir.db").exists()


@pytest.mark.parametrize("command", [COMMANDS["./start.sh"], COMMANDS["command line"]], ids=["start", "cli"])
@pytest.mark.parametrize(
    ("database", "said"),
    [
        ("postgres://luthier@127.0.0.1/luthier", "begins with postgres://"),
        ("sqlite+pysqlcipher:///luthier.db", "is not installed"),
    ],
)
def test_a_database_that_cannot_be_used_is_a_sentence(
    folder: Path, command: list[str], database: str, said: str
) -> None:
    before = files(folder)
    ended = run(command, folder, database=database)
    assert (ended.returncode, "Traceback" in ended.stderr + ended.stdout) == (2, False)
    assert said in ended.stderr
    assert files(folder) == before


def test_a_first_start_on_a_disk_that_is_too_full_names_the_setting(tmp_path: Path) -> None:
    command, folder = COMMANDS["streamlit"], tmp_path / "first"
    ended = run(command, folder, database="", LUTHIER_DISK_RESERVE_MB=str(2**40))
    said = ended.stdout + ended.stderr
    assert (ended.returncode, "Traceback" in said) == (2, False)
    assert "LUTHIER_DISK_RESERVE_MB" in said
    assert "MiB are free" in said


def run(command: list[str], folder: Path, *, database: str, **more: str) -> subprocess.CompletedProcess[str]:
    port = str(free_port())
    settings = {
        "LUTHIER_DATA_DIR": str(folder),
        "LUTHIER_DATABASE_URL": database,
        "LUTHIER_PORT": port,
    } | more
    return subprocess.run(
        [sys.executable, *(word.format(port=port) for word in command)],
        cwd=ROOT,
        env=child_environment(**settings),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


def files(folder: Path) -> dict[str, bytes]:
    """All of them but SQLite's log and its index, which come and go with whoever looks at the database."""
    kept = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm")))
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
