"""Alembic's own commands from the folder of the project, on Luthier's database: in this process, as its
program runs them."""

import shutil
from pathlib import Path

import pytest
from alembic.config import CommandLine, Config
from alembic.script import ScriptDirectory

from core import db
from core.config import ROOT, settings

NEWEST = ScriptDirectory.from_config(Config(ROOT / "alembic.ini")).get_current_head()


@pytest.fixture(autouse=True)
def in_the_folder_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    # it would write to the output there was when it was imported
    monkeypatch.setattr(Config, "print_stdout", lambda _self, text, *values: print(text % values))


def alembic(*arguments: str) -> None:
    CommandLine(prog="alembic").main(list(arguments))


def test_current_and_upgrade_work_on_luthiers_own_database(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alembic("current")
    assert f"{NEWEST} (head)" in capsys.readouterr().out
    alembic("downgrade", "-1")
    alembic("current")
    assert f"{NEWEST} (head)" not in capsys.readouterr().out
    alembic("upgrade", "head")
    alembic("current")
    assert f"{NEWEST} (head)" in capsys.readouterr().out
    db.require_there()


def test_the_address_of_the_database_is_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.db"
    monkeypatch.setenv("LUTHIER_DATABASE_URL", f"sqlite:///{other}")
    settings.cache_clear()
    with pytest.raises(SystemExit):
        alembic("current")
    assert "There is no database" in capsys.readouterr().out
    assert not other.exists()  # looking makes nothing
    alembic("upgrade", "head")
    assert other.is_file()
    db.require_there()


def test_migrations_make_what_the_tables_say(capsys: pytest.CaptureFixture[str]) -> None:
    alembic("check")
    assert "No new upgrade operations" in capsys.readouterr().out


@pytest.mark.parametrize("how", [[], ["--autogenerate"]])
def test_a_revision_gets_the_next_number(how: list[str], tmp_path: Path) -> None:
    """In a copy: other tests migrate by the folder of the project."""
    shutil.copy(ROOT / "alembic.ini", tmp_path)
    versions = tmp_path / "core" / "migrations" / "versions"
    shutil.copytree(ROOT / "core" / "migrations", versions.parent)
    alembic("-c", str(tmp_path / "alembic.ini"), "revision", "-m", "for a test", *how)
    number = f"{int(NEWEST or '0') + 1:04}"
    (made,) = versions.glob(f"{number}_*.py")
    assert made.name == f"{number}_for_a_test.py"
    text = made.read_text()
    assert f"down_revision = {NEWEST!r}" in text
    assert "op." not in text.replace("import op", "")


@pytest.mark.parametrize("address", ["nonsense", "postgres://ada:secret@db/luthier"])
def test_a_wrong_address_is_a_sentence(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LUTHIER_DATABASE_URL", address)
    settings.cache_clear()
    with pytest.raises(SystemExit):
        alembic("current")
    said = capsys.readouterr().out
    assert "LUTHIER_DATABASE_URL" in said
    assert "secret" not in said
    monkeypatch.delenv("LUTHIER_DATABASE_URL")
    settings.cache_clear()
