"""The code that pages show for calling a model is run here, against the real server, with a key that may do
that and nothing else."""

import contextlib
import io
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from core import models
from core.models import NewAlias
from core.people import api_keys
from core.people.api_keys import NewKey
from core.people.users import User
from core.providers import PROVIDERS
from core.ui.models import model_view
from core.ui.people import key_view
from tests.api.live import serving
from tests.ui.things import Echo, make_model

NAME = 'it\'s a "bot" 🎻'
CALLED = [NAME, f"{NAME}@production"]


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture
def key(ada: User, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(PROVIDERS, "echo", Echo())
    model_id = make_model(ada, NAME, provider="echo")
    models.set_alias(ada, model_id, "production", NewAlias(version=1))
    _, secret = api_keys.create(ada, NewKey(name="x", scopes=["chat"]))
    monkeypatch.setenv("LUTHIER_API_KEY", secret)
    return secret


def run(code: str) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, "snippet", "exec"), {})
    return said.getvalue()


@pytest.mark.parametrize("called", CALLED)
def test_python_runs_as_it_is(origin: str, key: str, called: str) -> None:
    language, code = model_view.build_snippets(called, origin)["Python"]
    assert language == "python"
    assert "Hello!" in run(code)  # the echo


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="needs curl and bash")
@pytest.mark.parametrize("called", CALLED)
def test_curl_runs_as_it_is(origin: str, key: str, called: str) -> None:
    _, script = model_view.build_snippets(called, origin)["curl"]
    ran = subprocess.run(
        ["bash", "-eu", "-c", script], capture_output=True, text=True, timeout=60, env=os.environ, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert '"object":"chat.completion"' in ran.stdout
    assert "Hello!" in ran.stdout


def test_the_code_below_a_new_key_runs_as_it_is(origin: str, key: str) -> None:
    assert "Hello!" in run(key_view.example(origin, NAME, key))


def test_no_code_asks_for_the_password(origin: str) -> None:
    for _, code in model_view.build_snippets("x", origin).values():
        assert "LUTHIER_API_KEY" in code
        assert not any(word in code.lower() for word in ("password", "login"))
