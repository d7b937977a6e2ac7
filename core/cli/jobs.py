"""``jobs``, ``watch``, ``pause``, ``resume``, ``cancel``, ``rerun``, ``logs``: fine-tuning jobs."""

import argparse
import time
from collections.abc import Callable
from typing import Any, get_args

from core import fine_tuning
from core.cli import following, output
from core.cli.finding import find_job
from core.cli.options import add_command
from core.fine_tuning import Job
from core.fine_tuning.following import Status
from core.people.users import User

JOB = "its id or the beginning of it, its name, or “last”"
LOOK_SECONDS = 0.5
HEADS = ("JOB", "NAME", "STATUS", "DONE", "LOSS", "VALID", "AGE")


def add_commands(commands: Any) -> None:
    parser = add_command(commands, "jobs", list_jobs, "List fine-tuning jobs, newest first.")
    parser.add_argument(
        "--status",
        choices=get_args(Status),
        metavar="STATUS",
        help=f"only those that are {', '.join(get_args(Status))}",
    )
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="how many (default 20)")
    parser = _add_job_command(commands, "watch", watch, "Follow a job until it ends.")
    parser.add_argument(
        "--run", action="store_true", help="also run it from here: for a machine on which no server runs"
    )
    _add_job_command(commands, "pause", _steer("pause"), "Save a checkpoint and set the job aside.")
    _add_job_command(commands, "resume", _steer("resume"), "Go on from the last checkpoint.")
    _add_job_command(commands, "cancel", _steer("cancel"), "End the job; no model is made.")
    _add_job_command(
        commands, "rerun", _steer("rerun"), "Start the job once more, with everything as it was."
    )
    parser = _add_job_command(commands, "logs", show_log, "Print the log of a job.", as_json=False)
    parser.add_argument("--follow", action="store_true", help="go on as it grows, until the job ends")
    parser.add_argument(
        "--tail", type=int, default=200, metavar="N", help="only the last lines (default 200)"
    )


def list_jobs(user: User, chosen: argparse.Namespace) -> int:
    jobs = fine_tuning.list_jobs(user, fine_tuning.JobList(status=chosen.status, limit=chosen.limit)).items
    if chosen.json:
        output.show(jobs)
    else:
        output.table(
            HEADS,
            map(_line, jobs),
            flexible=1,
            empty="No job yet. Start one: python -m core fine-tune DATASET",
        )
    return 0


def watch(user: User, chosen: argparse.Namespace) -> int:
    job = find_job(user, chosen.job)
    status = (following.run if chosen.run else following.watch)(user, job, quiet=chosen.json)
    if chosen.json:
        output.show(fine_tuning.get(user, job.id))
    return status


def show_log(user: User, chosen: argparse.Namespace) -> int:
    job = find_job(user, chosen.job)
    print(fine_tuning.log_tail(user, job.id, tail=chosen.tail), end="", flush=True)
    if not chosen.follow:
        return 0
    path = fine_tuning.log_path(user, job.id)
    place = path.stat().st_size if path.exists() else 0
    while True:
        ended = fine_tuning.get(user, job.id).status in following.EXIT
        if path.exists():
            with path.open("rb") as file:
                file.seek(place)
                text = file.read()
            place += len(text)
            print(text.decode("utf-8", "replace"), end="", flush=True)
        if ended:
            return 0
        time.sleep(LOOK_SECONDS)


def _add_job_command(
    commands: Any, name: str, act: Any, help: str, *, as_json: bool = True
) -> argparse.ArgumentParser:
    parser = add_command(commands, name, act, help, as_json=as_json)
    parser.add_argument("job", metavar="JOB", help=JOB)
    return parser


def _steer(verb: str) -> Callable[[User, argparse.Namespace], int]:
    def act(user: User, chosen: argparse.Namespace) -> int:
        changed: Job = getattr(fine_tuning, verb)(user, find_job(user, chosen.job).id)
        if chosen.json:
            output.show(changed)
        else:
            print(changed.id)
            output.note(f"{changed.name} is {changed.status}.")
        return 0

    return act


def _line(job: Job) -> tuple[Any, ...]:
    return (
        job.id,
        job.name,
        job.status,
        f"{job.progress:.0%}",
        job.train_loss,
        job.valid_loss,
        output.age(job.created_at),
    )
