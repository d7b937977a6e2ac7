"""``fine-tune`` and ``sweep``: start trainings, with an option for every setting of the form."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from core import fine_tuning
from core.cli import following, output
from core.cli.finding import find_dataset, find_model, first_base
from core.cli.options import add_command, add_fields, read_fields
from core.errors import ValidationError
from core.fields import parse
from core.fine_tuning import NewJob, recipes, sweeps
from core.people.users import User
from core.runners import RUNNERS
from core.training import METHODS, Hyperparameters

NAMED = {
    "base_model_id": "--base",
    "validation_dataset_id": "--validation-dataset",
    "dataset_version_id": "--dataset-version-id",
}
NAMED |= {
    "columns": "--column",
    "sample_prompts": "--sample-prompt",
    "tags": "--tag",
    "num_processes": "--devices",
}
# the argument, the settings as options of their own, what `rerun` is for
APART = ("dataset_id", "hyperparameters", "copied_from")
STARTING = """
The job waits in the queue of the server that works on this data folder. --watch follows it and exits with 0
when the model is there, with 1 when the job failed or was cancelled, with 3 when it was paused. Where no
server runs, --run trains here.

A recipe is the YAML that the form saves; what is given as options or as DATASET wins over it.
"""
SWEEPING = """
--vary NAME=VALUE,VALUE,… tries each value, --vary NAME=LOW..HIGH draws numbers (LOW..HIGH:log for a log
scale) and needs --random. A grid tries every combination.
"""


def add_commands(commands: Any) -> None:
    parser = add_command(commands, "fine-tune", fine_tune, "Train a model on a dataset.", more=STARTING)
    _add_job_options(parser)
    parser.add_argument("--plan", action="store_true", help="only say what would be done")
    parser.add_argument("--watch", action="store_true", help="follow the job until it ends")
    parser.add_argument(
        "--run", action="store_true", help="run it from here: for a machine on which no server runs"
    )
    parser = add_command(
        commands, "sweep", sweep, "Start a group of trainings that differ in a few settings.", more=SWEEPING
    )
    _add_job_options(parser)
    parser.add_argument(
        "--vary", action="append", required=True, metavar="NAME=VALUES", help="a setting and what to try"
    )
    parser.add_argument(
        "--random", type=int, metavar="N", help="draw N combinations at random instead of trying all"
    )
    parser.add_argument("--sweep-name", metavar="TEXT", help="name of the sweep")


def fine_tune(user: User, chosen: argparse.Namespace) -> int:
    new = _new_job(user, chosen)
    if chosen.plan:
        return _show_plan(user, new, as_json=chosen.json)
    job = fine_tuning.create(user, new)
    if not (chosen.watch or chosen.run):
        return _tell_created(job, as_json=chosen.json)
    output.note(f"{job.id}  {job.name}")
    follow = following.run if chosen.run else following.watch
    status = follow(user, job, quiet=chosen.json)
    if chosen.json:
        output.show(fine_tuning.get(user, job.id))
    return status


def sweep(user: User, chosen: argparse.Namespace) -> int:
    space = dict(_read_variation(text) for text in chosen.vary)
    search = {"kind": "random", "count": chosen.random} if chosen.random else {"kind": "grid"}
    new_sweep = sweeps.create(
        user,
        parse(sweeps.NewSweep, job=_new_job(user, chosen), space=space, name=chosen.sweep_name, **search),
    )
    if chosen.json:
        output.show(new_sweep)
    else:
        output.table(("JOB", "NAME"), [(trial.job_id, trial.name) for trial in new_sweep.trials], flexible=1)
        output.note(f"{new_sweep.num_jobs} jobs wait in the queue as sweep {new_sweep.id}.")
    return 0


def _add_job_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dataset", nargs="?", metavar="DATASET", help="the dataset to learn from: its name or id"
    )
    parser.add_argument("--recipe", metavar="FILE", type=Path, help="settings from a YAML file")
    about = parser.add_argument_group("the job")
    parser.usage = f"{parser.prog} [DATASET] [options]"
    add_fields(about, NewJob, named=NAMED, words={"method": METHODS, "runner": RUNNERS}, without=APART)
    sections: dict[str, Any] = {}
    for name, field in Hyperparameters.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        section = str(extra.get("section", "Settings"))
        group = sections.setdefault(section, None) or parser.add_argument_group(f"settings: {section}")
        sections[section] = group
        add_fields(group, Hyperparameters, without=set(Hyperparameters.model_fields) - {name})


def _new_job(user: User, chosen: argparse.Namespace) -> NewJob:
    """Options over the recipe over the defaults. Raises NotFound, ValidationError."""
    values = _read_recipe(chosen.recipe) if chosen.recipe else {}
    fields = read_fields(chosen, NewJob, without=APART)
    settings = values.pop("hyperparameters", {}) | read_fields(chosen, Hyperparameters)
    if chosen.dataset:
        fields["dataset_id"] = find_dataset(user, chosen.dataset).id
    if "base_model_id" in fields:
        fields["base_model_id"] = find_model(user, fields["base_model_id"]).id
    elif "base_model_id" not in values:
        fields["base_model_id"] = first_base(user).id
    if "validation_dataset_id" in fields:
        fields["validation_dataset_id"] = find_dataset(user, fields["validation_dataset_id"]).id
    if not (chosen.dataset or "dataset_id" in values):
        raise ValidationError.of("DATASET", "is required: name the dataset to learn from, or give a recipe")
    return parse(NewJob, **(values | fields), hyperparameters=settings)


def _read_recipe(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise ValidationError.of("--recipe", f"{path} could not be read ({why})") from error
    return recipes.from_yaml(text).model_dump(exclude_unset=True)


def _read_variation(text: str) -> tuple[str, Any]:
    """``learning_rate=0.001..0.01:log`` or ``batch_size=4,8``."""
    name, equals, values = text.partition("=")
    if not (name and equals and values):
        raise ValidationError.of("--vary", f"“{text}” is not NAME=VALUES, such as batch_size=4,8")
    ends, _, scale = values.partition(":")
    if ".." in ends:
        low, _, high = ends.partition("..")
        return name.replace("-", "_"), {"low": low, "high": high, "scale": scale or "linear"}
    return name.replace("-", "_"), [yaml.safe_load(value) for value in values.split(",")]


def _show_plan(user: User, new: NewJob, *, as_json: bool) -> int:
    plan = fine_tuning.plan(user, new)
    if as_json:
        output.show(plan)
        return 0
    output.facts(
        {
            "examples": f"{plan.num_examples:,}",
            "held back": f"{plan.num_validation:,}",
            "steps": f"{plan.total_steps:,}",
            "about": output.short_seconds(plan.estimated_seconds),
            **_chosen_settings(plan.resolved),
        }
    )
    for warning in plan.warnings:
        output.note(f"warning: {warning}")
    for note in plan.notes:
        output.note(note)
    return 0


def _chosen_settings(resolved: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in resolved.items()
        if name in Hyperparameters.model_fields and value is not None
    }


def _tell_created(job: fine_tuning.Job, *, as_json: bool) -> int:
    if as_json:
        output.show(job)
        return 0
    print(job.id)
    output.note(f"{job.name} is {job.status}. Follow it: python -m core watch {job.id}")
    return 0
