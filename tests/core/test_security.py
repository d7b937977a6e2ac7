"""What must not be guessed or read: the folder of a started server belongs to its owner alone."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from core import security
from core.clock import now
from core.config import ROOT, child_environment


def test_started_server_leaves_nothing_readable_for_others(tmp_path: Path) -> None:
    code = "from core.security import make_private; make_private(); from core.db import migrate; migrate()"
    data = tmp_path / "data"
    subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=child_environment(LUTHIER_DATA_DIR=str(data)), check=True
    )
    made = [data / "luthier.db", data / "secrets", data / "secrets" / "jwt"]
    assert all(path.exists() for path in made)
    assert not [path for path in made if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]


def test_long_passwords_differ_beyond_bcrypts_72_bytes() -> None:
    kept = security.hash_password("x" * 100 + "a")
    assert security.verify_password("x" * 100 + "a", kept)
    assert not security.verify_password("x" * 100 + "b", kept)


def test_nobodys_password_is_never_right() -> None:
    assert not security.verify_password("nobody", None)


@pytest.mark.parametrize(
    "change", [lambda t: t[:-2] + "xx", lambda t: t + ".x", lambda t: "", lambda t: "a.b.c"]
)
def test_changed_token_is_refused(change) -> None:
    token, _, _ = security.sign_jwt("usr_x", issued_at=now(), minutes=5)
    assert security.read_jwt(token) is not None
    assert security.read_jwt(change(token)) is None


def test_ids_are_prefixed_and_never_the_same() -> None:
    made = {security.new_id("ds") for _ in range(1000)}
    assert len(made) == 1000
    assert all(i.startswith("ds_") for i in made)
