"""``datasets``, ``models``, ``add-base``, ``export``: what there is to train on, from and with."""

import argparse
import time
from typing import Any

from core import datasets, exports, models
from core.cli import output
from core.cli.finding import find_model
from core.cli.options import add_command, add_fields, read_fields
from core.exports import Export, NewExport
from core.exports.queue import ExportQueue
from core.fields import parse
from core.models import NewBase
from core.people.users import User

LOOK_SECONDS = 0.5
OPEN = ("waiting", "running")
# a push is for the page: the server's memory holds its token, and a shell keeps words
PUSHING = ("repository", "private", "token")
KINDS = tuple(kind for kind in exports.KINDS if kind != "hub")
ADDING = """
A folder with a Hugging Face language model stays where it is. A GGUF file is unpacked, and a hub model
downloaded, into the data folder.
"""
EXPORTING = """
The export is made by a process of its own and offered only when it answers like the model here. The server
that works on this data folder makes it; --wait waits for that and prints the file's path. Where no server
runs, --run makes it from here.
"""


def add_commands(commands: Any) -> None:
    for name, act, help in (
        ("datasets", list_datasets, "List datasets, newest first."),
        ("models", list_models, "List base models and those you have made."),
    ):
        parser = add_command(commands, name, act, help)
        parser.add_argument("--limit", type=int, default=20, metavar="N", help="how many (default 20)")
    parser = add_command(
        commands, "add-base", add_base, "Add a base model for everybody (admins only).", more=ADDING
    )
    parser.add_argument("name", metavar="NAME", help="what it will be called")
    parser.add_argument("source", metavar="SOURCE", help="a folder, a GGUF file or a hub id")
    add_fields(parser, NewBase, without=("name", "source"))
    parser = add_command(
        commands, "export", export, "Make a model into a form that runs elsewhere.", more=EXPORTING
    )
    parser.add_argument("model", metavar="MODEL", help="its name or id")
    parser.add_argument("--wait", action="store_true", help="wait until it is ready")
    parser.add_argument(
        "--run", action="store_true", help="make it from here: for a machine on which no server runs"
    )
    add_fields(parser, NewExport, named={"kind": "--as"}, words={"kind": KINDS}, without=PUSHING)


def list_datasets(user: User, chosen: argparse.Namespace) -> int:
    items = datasets.list_datasets(user, datasets.DatasetList(limit=chosen.limit)).items
    if chosen.json:
        output.show(items)
    else:
        lines = [
            (d.id, d.name, d.status, d.format, f"{d.num_rows:,}", output.age(d.created_at)) for d in items
        ]
        output.table(
            ("DATASET", "NAME", "STATUS", "FORMAT", "ROWS", "AGE"), lines, flexible=1, empty="No dataset yet."
        )
    return 0


def list_models(user: User, chosen: argparse.Namespace) -> int:
    items = models.list_models(user, models.ModelList(limit=chosen.limit)).items
    if chosen.json:
        output.show(items)
    else:
        lines = [
            (m.id, m.name, m.type, m.latest_version, output.size(m.num_parameters), output.age(m.created_at))
            for m in items
        ]
        output.table(
            ("MODEL", "NAME", "TYPE", "VERSION", "SIZE", "AGE"), lines, flexible=1, empty="No model yet."
        )
    return 0


def add_base(user: User, chosen: argparse.Namespace) -> int:
    base = models.add_base(user, parse(NewBase, **read_fields(chosen, NewBase)))
    if chosen.json:
        output.show(base)
    else:
        print(base.id)
        output.note(f"{base.name} is ready for everybody: {output.size(base.num_parameters)} parameters.")
    return 0


def export(user: User, chosen: argparse.Namespace) -> int:
    new = parse(NewExport, **read_fields(chosen, NewExport, without=PUSHING))
    model_export = exports.request_export(user, find_model(user, chosen.model).id, new).export
    queue = ExportQueue()
    while model_export.status in OPEN and (chosen.wait or chosen.run):
        if chosen.run:
            queue.tick()
        time.sleep(LOOK_SECONDS)
        model_export = exports.get_export(user, model_export.id)
    if chosen.json:
        output.show(model_export)
    else:
        _tell(user, model_export)
    return int(model_export.status == "failed")


def _tell(user: User, made: Export) -> None:
    if made.status == "ready":
        print(exports.open_export(user, made.id).path)
        output.note(f"{made.num_same} of {len(made.checks)} answers are the same as here.")
        return
    print(made.id)
    output.note(f"The export is {made.status}. {made.error or ''}".rstrip())
