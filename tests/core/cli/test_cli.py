"""The command line: the same services, options made from the models, output for people and for programs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import cli, fine_tuning, models
from core.db import reading
from core.fine_tuning import NewJob
from core.fine_tuning.starting import Job
from core.people.users import User
from core.storage import pairing
from core.tables import DatasetRow, JobRow, ModelRow
from core.training import Hyperparameters

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """``run("jobs", "--json")`` → (exit status, output, messages)"""

    def call(*words: str) -> tuple[int, str, str]:
        try:
            status = cli.main(words)
        except SystemExit as end:
            status = int(end.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


@pytest.fixture
def faq(ada: User, base_model: ModelRow, make_version: Any) -> DatasetRow:
    version = make_version(ada, name="support faq")
    with reading() as session:
        return session.get_one(DatasetRow, version.dataset_id)


def only_job(user: User) -> Job:
    (job,) = fine_tuning.list_jobs(user).items
    return job


@pytest.mark.parametrize("name", cli.commands())
def test_help_fits_80_columns(name: str, run: Run) -> None:
    status, text, _ = run(name, "--help")
    assert status == 0
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("name", Hyperparameters.model_fields)
def test_every_setting_is_an_option_with_its_help(name: str, run: Run) -> None:
    _, text, _ = run("fine-tune", "--help")
    words = " ".join(text.split())
    assert f"--{name.replace('_', '-')} " in words
    assert str(Hyperparameters.model_fields[name].description)[:20] in words


@pytest.mark.parametrize(
    "name", sorted(set(NewJob.model_fields) - {"dataset_id", "hyperparameters", "copied_from"})
)
def test_every_field_of_a_job_is_an_option_that_says_what_it_is(name: str) -> None:
    (action,) = [one for one in cli.commands()["fine-tune"]._actions if one.dest == name]
    assert len(str(action.help)) > 8
    assert action.help != name.replace("_", " ").title(), "pydantic's own title says nothing"


def test_a_training_is_queued_with_the_options_given(faq: DatasetRow, ada: User, run: Run) -> None:
    status, out, told = run(
        "fine-tune", "support faq", "--name", "bot", "--n-epochs", "3", "--packing", "on", "--tuning", "lora",
        "--learning-rate", "0.002", "--seed", "5", "--tag", "a", "--tag", "b", "--validation-fraction",
        "0.25",
    )  # fmt: skip
    job = only_job(ada)
    assert (status, out.strip()) == (0, job.id)
    assert "queued" in told
    assert (job.name, job.seed, job.tags, job.validation_fraction) == ("bot", 5, ["a", "b"], 0.25)
    asked = {name: value for name, value in job.asked.items() if value != "auto"}
    assert asked == {"n_epochs": 3, "packing": True, "tuning": "lora", "learning_rate": 0.002}


def test_columns_are_pairs(faq: DatasetRow, ada: User, run: Run) -> None:
    assert run("fine-tune", faq.id, "--column", "prompt=completion", "--column", "completion=prompt")[0] == 0
    assert only_job(ada).columns == {"prompt": "completion", "completion": "prompt"}
    status, _, told = run("fine-tune", faq.id, "--column", "prompt")
    assert (status, "ROLE=NAME" in told) == (2, True)


def test_a_wrong_value_is_refused_with_its_field_and_starts_nothing(
    faq: DatasetRow, ada: User, run: Run
) -> None:
    status, out, told = run("fine-tune", "support faq", "--n-epochs", "many", "--lora-rank", "0")
    assert (status, out) == (2, "")
    assert "n_epochs" in told
    assert "lora_rank" in told
    assert fine_tuning.list_jobs(ada).total == 0


def test_a_plan_says_what_would_happen_and_starts_nothing(faq: DatasetRow, ada: User, run: Run) -> None:
    status, out, _ = run("fine-tune", "support faq", "--plan", "--n-epochs", "2")
    assert status == 0
    assert "examples" in out
    assert json.loads(run("fine-tune", "support faq", "--plan", "--json")[1])["num_examples"] == 12
    assert fine_tuning.list_jobs(ada).total == 0


def test_a_dataset_that_is_not_there_is_named(faq: DatasetRow, run: Run) -> None:
    status, _, told = run("fine-tune", "nonsense")
    assert (status, "nonsense" in told, "core datasets" in told) == (2, True, True)
    assert "DATASET" in run("fine-tune")[2]


def test_jobs_in_80_columns_and_as_json(ada: User, make_job: Any, run: Run) -> None:
    job = make_job(ada, name="a name that is far too long for a line of a terminal, and says so at length")
    _, out, _ = run("jobs")
    assert max(map(len, out.splitlines())) <= 80
    assert job.id in out
    assert [one["id"] for one in json.loads(run("jobs", "--json")[1])] == [job.id]
    assert run("jobs", "--status", "failed")[1].startswith("No job yet")


def test_a_job_is_steered_by_the_beginning_of_its_id(ada: User, make_job: Any, run: Run) -> None:
    job = make_job(ada)
    for verb, status in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        assert run(verb, job.id[:12])[:2] == (0, f"{job.id}\n")
        assert fine_tuning.get(ada, job.id).status == status
    status, _, told = run("cancel", "last")
    assert (status, "already cancelled" in told) == (2, True)


@pytest.mark.parametrize(("end", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 1), ("paused", 3)])
def test_watching_ends_with_the_jobs_outcome(ada: User, make_job: Any, run: Run, end: str, code: int) -> None:
    job = make_job(
        ada,
        status=end,
        error={"code": "x", "message": "The reason.", "line": None} if end == "failed" else None,
    )
    status, _, told = run("watch", job.id)
    assert status == code
    assert ("The reason." in told) is (end == "failed")


def test_the_log_is_printed(ada: User, make_job: Any, run: Run) -> None:
    job = make_job(ada, status="succeeded")
    path = fine_tuning.log_path(ada, job.id)
    path.parent.mkdir(parents=True)
    path.write_text("one\ntwo\nthree\n")
    assert run("logs", job.id, "--tail", "2")[1] == "two\nthree\n"
    assert run("logs", job.id, "--follow")[1] == "one\ntwo\nthree\n"


def test_other_users_things_look_missing(ada: User, bob: User, make_job: Any, run: Run) -> None:
    job = make_job(ada)
    for verb in ("watch", "cancel", "pause", "logs"):
        assert run(verb, job.id, "--user", "bob@example.com")[0] == 2
    assert run("jobs", "--user", "bob@example.com")[1].startswith("No job yet")
    assert fine_tuning.get(ada, job.id).status == "queued"


def test_of_several_accounts_one_must_be_named(
    ada: User, bob: User, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, told = run("jobs")
    assert (status, "--user" in told) == (2, True)
    assert run("jobs", "--user", "Ada@Example.com")[0] == 0
    assert run("jobs", "--user", "eve@example.com")[0] == 2


def test_an_empty_data_folder_says_what_to_do(run: Run) -> None:
    status, _, told = run("jobs")
    assert (status, "LUTHIER_DATA_DIR" in told) == (2, True)


def test_settings_are_explained_and_secrets_hidden(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.config import Settings, settings

    with monkeypatch.context() as patch:
        patch.setenv("LUTHIER_RAY_TOKEN", "very-secret-0815")
        patch.setenv("LUTHIER_DATABASE_URL", "postgresql+psycopg://luthier:0815@db/luthier")
        settings.cache_clear()
        _, out, _ = run("settings")
        assert "0815" not in out + run("settings", "--json")[1]
    settings.cache_clear()
    assert max(map(len, (line for line in out.splitlines() if line.startswith(" ")))) <= 80
    for name, field in Settings.model_fields.items():
        assert f"LUTHIER_{name.upper()}" in out
        assert str(field.description)[:30] in " ".join(out.split())


def test_names_cannot_play_with_the_terminal(ada: User, make_job: Any, run: Run) -> None:
    make_job(ada, name="\x1b[31mred\u202eevil")
    out = run("jobs")[1]
    assert "\x1b" not in out
    assert "\u202e" not in out


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_base")
def test_without_a_server_a_training_runs_from_the_shell(faq: DatasetRow, ada: User, run: Run) -> None:
    status, out, told = run("fine-tune", "support faq", "--n-epochs", "2", "--name", "bot", "--run", "--json")
    assert status == 0, told
    assert json.loads(out)["status"] == "succeeded"
    with reading() as session:
        assert session.query(JobRow).one().lease_token is None
    assert "bot" in run("models")[1]


def test_joining_a_folder_with_a_database_asks_first(run: Run, ada: User) -> None:
    """Standard input of a test is no terminal: nobody can be asked."""
    status, said, refused = run("join")
    assert status == 2
    assert "names nothing" in said
    assert "Say --yes" in refused
    assert pairing.look_at_folder().id is None
    status, said, _ = run("join", "--yes")
    assert status == 0
    assert pairing.look_at_folder().id == pairing.look_at_database().id
    assert str(pairing.look_at_folder().id) in said


@pytest.mark.slow
def test_an_admin_adds_a_base(run: Run, ada: User, tiny_base: Path) -> None:
    status, id, said = run("add-base", "llama", str(tiny_base), "--description", "Ours")
    assert status == 0
    assert "llama is ready for everybody" in said
    base = models.get(ada, id.strip())
    assert (base.name, base.description, base.type) == ("llama", "Ours", "base")


def test_a_base_is_refused_as_on_the_page(run: Run, bob: User, tmp_path: Path) -> None:
    status, _, said = run("add-base", "llama", str(tmp_path / "my-model"), "--user", bob.email)
    assert (status, "Only an admin" in said) == (2, True)
    status, _, said = run("add-base", "llama", str(tmp_path / "my-model"), "--user", "ada@example.com")
    assert (status, '"my-model" is missing' in said) == (2, True)
