"""What every method must do, driven through the real parts: it trains a job, is planned and previewed, is
evaluated, and is known by form, API and command line. A new method is in here by its line in ``METHODS``."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import cli, fine_tuning, storage
from core.config import ROOT
from core.db import reading, writing
from core.fields import parse
from core.fine_tuning import NewJob
from core.fine_tuning.before import forecast
from core.fine_tuning.checkpoints import evaluator
from core.fine_tuning.checkpoints.evaluations import EvaluationQueue
from core.formats import FORMATS
from core.people.users import User
from core.tables import DatasetVersionRow, JobRow, MetricPointRow, ModelRow
from core.training import METHODS, Hyperparameters, checkpoints, likely_method, resolve
from core.training.methods import OWN_SETTINGS
from core.training.settings import CommonSettings
from core.workers import worker
from tests.core.workers.test_worker import claim

MESSAGES = "STRUCT(role VARCHAR, content VARCHAR)[]"
# rows of each format as a file would bring them, and the types of their columns
ROWS: dict[str, tuple[Callable[[int], dict[str, Any]], dict[str, str]]] = {
    "chat": (lambda n: {"messages": _turns(f"Say {n}", f"It is {n}.")}, {"messages": MESSAGES}),
    "completion": (lambda n: {"prompt": f"Say {n}", "completion": f"It is {n}."}, {}),
    "text": (lambda n: {"text": f"The lamp number {n} burns all night."}, {}),
    "preference": (
        lambda n: {
            "input": {"messages": _turns(f"Say {n}")},
            "preferred_output": _turns("", f"It is {n}.")[1:],
            "non_preferred_output": _turns("", "No.")[1:],
        },
        {
            "input": "STRUCT(messages JSON)",
            "preferred_output": "JSON[]",
            "non_preferred_output": "JSON[]",
        },
    ),
}
SETTINGS = {"n_epochs": 2, "batch_size": 4, "evaluate_every": 3}
# where the first method is the default of old rows, which name none
MAY_NAME_ONE = {"core/tables/training.py", "core/fine_tuning/checkpoints/evaluating.py"}


def _turns(asked: str, answer: str | None = None) -> list[dict[str, str]]:
    turns = [{"role": "user", "content": asked}]
    return [*turns, {"role": "assistant", "content": answer}] if answer else turns


@pytest.fixture
def version_for(ada: User, make_version: Callable[..., Any]) -> Callable[..., DatasetVersionRow]:
    """``version_for(method)``: twelve rows of the first format that the method learns from."""

    def make(method: str) -> DatasetVersionRow:
        format_ = METHODS[method].formats[0]
        row_of, types = ROWS[format_]
        return make_version(ada, [row_of(n) for n in range(12)], format=format_, types=types)

    return make


@pytest.mark.parametrize("name", METHODS)
def test_it_trains_reports_and_is_evaluated(
    ada: User,
    tiny_base: Path,
    base_model: ModelRow,
    make_job: Callable[..., JobRow],
    version_for: Callable[..., Any],
    name: str,
) -> None:
    method, version = METHODS[name], version_for(name)
    job_id = make_job(ada, method=name, validation_fraction=0.3, hyperparameters=SETTINGS).id
    with writing() as session:
        session.get_one(JobRow, job_id).dataset_version_id = version.id
    assert worker.main(claim()) == 0
    with reading() as session:
        job = session.get_one(JobRow, job_id)
        reported = set(session.query(MetricPointRow.name).filter_by(job_id=job_id).distinct().all())
    assert (job.status, job.error) == ("succeeded", None)
    assert {series.name for series in method.series} <= {name for (name,) in reported}
    step = checkpoints.steps(storage.job_dir(job_id))[-1]
    fine_tuning.evaluate_checkpoint(ada, job_id, step)
    [asked] = EvaluationQueue().list_open()
    assert evaluator.run(asked.id)
    found = fine_tuning.get_checkpoint(ada, job_id, step).metrics["evaluation"]
    assert found["status"] == "ready", found
    assert found["loss"] == pytest.approx(job.valid_loss, abs=1e-4)
    assert ("exact_match" in found) == method.gives_answers
    for measured, words in method.measured:
        assert words.format(found[measured]) != words


@pytest.mark.parametrize("name", METHODS)
def test_it_is_planned_and_its_memory_estimated(
    ada: User, tiny_base: Path, base_model: ModelRow, version_for: Callable[..., Any], name: str
) -> None:
    ids = {"base_model_id": base_model.id, "dataset_id": version_for(name).dataset_id}
    new = parse(NewJob, **ids, method=name, hyperparameters=SETTINGS)
    told = forecast.forecast(ada, new)
    assert told.plan.total_steps == 6
    assert told.memory.need
    assert told.seconds
    for fixed, value in METHODS[name].fixed.items():
        assert told.plan.resolved[fixed] == value
    assert fine_tuning.create(ada, new).method == name


@pytest.mark.parametrize("name", METHODS)
def test_it_says_what_it_is_and_learns_from(name: str) -> None:
    method = METHODS[name]
    assert method.name == name
    assert method.title
    assert method.help
    assert set(method.formats) <= set(ROWS)
    assert set(method.likely_for) <= set(method.formats)
    assert set(method.fixed) <= set(CommonSettings.__dataclass_fields__)
    objective = method.objective(settings_of(name))
    assert [series.name for series in method.series] == list(objective.sum_names)
    assert {measured for measured, _ in method.measured} <= set(objective.measured_names)


def settings_of(name: str, **asked: Any) -> Any:
    sizes = {"num_examples": 50, "num_parameters": 30_000, "context_length": 128}
    return resolve(Hyperparameters(**asked), method=name, **sizes)


@pytest.mark.parametrize("name", METHODS)
def test_its_own_settings_are_asked_decided_and_kept_from_the_others(name: str) -> None:
    method, schema = METHODS[name], Hyperparameters.model_json_schema()["properties"]
    for own in method.settings:
        assert own is OWN_SETTINGS[own.name], "two methods have a setting of the same name"
        assert (schema[own.name]["title"], schema[own.name]["section"]) == (own.title, own.section)
        assert settings_of(name).own(own.name) == own.automatic
    for other in set(OWN_SETTINGS) - {own.name for own in method.settings}:
        assert settings_of(name).own(other) is None
    asked = {setting for setting, field in schema.items() if name in (field["methods"] or METHODS)}
    others = {own for own in OWN_SETTINGS if OWN_SETTINGS[own] not in method.settings}
    assert asked == set(Hyperparameters.model_fields) - others - set(method.fixed)


@pytest.mark.parametrize("name", METHODS)
def test_the_command_line_knows_it_and_its_settings(name: str) -> None:
    help_ = cli.commands()["fine-tune"].format_help()
    assert name in help_
    for own in METHODS[name].settings:
        assert f"--{own.name.replace('_', '-')}" in help_


@pytest.mark.parametrize("format_", [name for name, one in FORMATS.items() if one.trainable])
def test_every_format_has_a_likely_method(format_: str) -> None:
    likely = {"chat": "supervised", "completion": "supervised", "text": "continued", "preference": "dpo"}
    assert likely_method(format_) == likely.get(format_, likely_method(format_))
    assert format_ in METHODS[str(likely_method(format_))].formats


def test_no_other_file_names_a_method() -> None:
    """A method is one file and one line: what differs is in it, and whoever asks reads it there."""
    named = re.compile("|".join(f"""["']{name}["']""" for name in METHODS))
    naming = {
        str(path.relative_to(ROOT))
        for path in [*ROOT.glob("core/**/*.py"), *ROOT.glob("pages/*.py")]
        if named.search(re.sub(r'"""[\s\S]*?"""', "", path.read_text(encoding="utf-8")))
    }
    own = {str(path.relative_to(ROOT)) for path in ROOT.glob("core/training/methods/*.py")}
    assert naming - own - MAY_NAME_ONE == set()
