"""What the "Use it" tab offers for copying is run here,
against the real server: Python in this process, curl in a shell."""

import contextlib
import io
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core import datasets, fine_tuning
from core.config import settings
from core.ingest import converter
from core.ingest import queue as conversions
from core.people import api_keys
from core.people.api_keys import NewKey
from core.people.users import User
from core.ui.datasets import use_snippets
from core.ui.datasets.use_snippets import TASKS, SnippetFacts
from tests.api.live import serving
from tests.ui.things import make_dataset, make_model

NAME = "fa\"q '$HOME' %s"
RUNNABLE = sorted(TASKS)


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture
def use(ada: User, origin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SnippetFacts:
    monkeypatch.setattr(conversions, "run_and_wait", converter.run)
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    Path("next.csv").write_text("question,answer\nwhy,because\n")
    made = make_dataset(
        ada, [{"question": "how", "answer": "so"}, {"question": "who", "answer": "me"}], name=NAME
    )
    dataset, version = datasets.get(ada, made.dataset_id), datasets.get_version(ada, made.id)
    return SnippetFacts(
        origin,
        dataset,
        version,
        '"' + NAME.replace('"', '""') + '"',
        {"prompt": "question", "completion": "answer"},
    )


@pytest.fixture
def with_key_for(ada: User, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """The environment that the page asks for: a key that may do this and nothing else."""

    def narrow(name: str) -> None:
        _, secret = api_keys.create(ada, NewKey(name=name, scopes=[TASKS[name].scope]))
        monkeypatch.setenv("LUTHIER_API_KEY", secret)

    return narrow


@pytest.fixture(autouse=True)
def jobs_end(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing trains here: a program that waits for its job sees it cancelled."""
    make_model(None, "base")
    pause = time.sleep

    def cancel_and_sleep(seconds: float) -> None:
        for job in fine_tuning.list_jobs(ada, fine_tuning.JobList()).items:
            if job.finished_at is None:
                fine_tuning.cancel(ada, job.id)
        pause(min(seconds, 0.05))

    monkeypatch.setattr(time, "sleep", cancel_and_sleep)


@pytest.mark.parametrize("name", RUNNABLE)
def test_python_runs_as_it_is(
    use: SnippetFacts, ada: User, with_key_for: Callable[[str], None], name: str
) -> None:
    with_key_for(name)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(use_snippets.build(TASKS[name], use, "python"), name, "exec"), {})
    check(use, ada, name, said.getvalue())


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="needs curl and bash")
@pytest.mark.parametrize("name", sorted(set(RUNNABLE) - {"read"}))
def test_curl_runs_as_it_is(
    use: SnippetFacts, ada: User, with_key_for: Callable[[str], None], name: str
) -> None:
    with_key_for(name)
    script = use_snippets.build(TASKS[name], use, "bash")
    ran = subprocess.run(
        ["bash", "-eu", "-c", script], capture_output=True, text=True, timeout=60, env=os.environ, check=False
    )
    assert ran.returncode == 0, ran.stderr
    check(use, ada, name, ran.stdout)


def check(use: SnippetFacts, ada: User, name: str, said: str) -> None:
    if name in ("download", "read"):
        assert Path("data.parquet").read_bytes()[:4] == b"PAR1"
    if name in ("preview", "query", "read") and "PAR1" not in said:
        assert "how" in said
    if name == "version":
        assert datasets.get(ada, use.dataset.id).version == 2
    if name == "tune":
        (job,) = fine_tuning.list_jobs(ada, fine_tuning.JobList()).items
        assert job.dataset_version_id == use.version.id


@pytest.mark.parametrize("language", ["python", "bash"])
@pytest.mark.parametrize("name", RUNNABLE)
def test_no_snippet_asks_for_the_password(use: SnippetFacts, ada: User, name: str, language: str) -> None:
    code = use_snippets.build(TASKS[name], use, language)
    assert "LUTHIER_API_KEY" in code
    assert not any(word in code.lower() for word in ("password", "login", ada.email))


@pytest.mark.parametrize("language", ["python", "bash"])
def test_fine_tuning_names_version_and_columns(use: SnippetFacts, language: str) -> None:
    code = use_snippets.build(TASKS["tune"], use, language)
    assert use.version.id in code
    assert '"completion": "answer"' in code
    if language == "python":
        compile(code, "tune", "exec")
    else:
        assert subprocess.run(["bash", "-n", "-c", code], check=False).returncode == 0
