"""``datasets``, ``models``, ``export``: what there is to train on, from and with."""

import argparse
import time
from importlib.util import find_spec
from typing import Any

from core import datasets, models
from core.cli import output
from core.cli.finding import find_model
from core.cli.options import add_command, add_fields, read_fields
from core.fields import parse
from core.users import User

LOOK_SECONDS = 0.5
EXPORTING = """
The export is made and checked by a process of its own, started by the server that works on this data folder. --wait
waits for it and prints where the file is.
"""


def add_commands(commands: Any) -> None:
    for name, act, help in (
        ("datasets", list_datasets, "List datasets, newest first."),
        ("models", list_models, "List base models and those you have made."),
    ):
        parser = add_command(commands, name, act, help)
        parser.add_argument("--limit", type=int, default=20, metavar="N", help="how many (default 20)")
    if find_spec("core.models.exports") is None:
        return
    parser = add_command(commands, "export", export, "Make a model into a form that runs elsewhere.", more=EXPORTING)
    parser.add_argument("model", metavar="MODEL", help="its name or id")
    parser.add_argument("--wait", action="store_true", help="wait until it is ready")
    from core.models import exports

    add_fields(parser, exports.NewExport, named={"kind": "--as"})


def list_datasets(user: User, chosen: argparse.Namespace) -> int:
    found = datasets.list_datasets(user, datasets.DatasetList(limit=chosen.limit)).items
    if chosen.json:
        output.show(found)
    else:
        lines = [(d.id, d.name, d.status, d.format, f"{d.num_rows:,}", output.age(d.created_at)) for d in found]
        output.table(("DATASET", "NAME", "STATUS", "FORMAT", "ROWS", "AGE"), lines, flexible=1, empty="No dataset yet.")
    return 0


def list_models(user: User, chosen: argparse.Namespace) -> int:
    found = models.list_models(user, models.ModelList(limit=chosen.limit)).items
    if chosen.json:
        output.show(found)
    else:
        lines = [(m.id, m.name, m.type, m.latest_version, output.size(m.num_parameters), output.age(m.created_at)) for m in found]
        output.table(("MODEL", "NAME", "TYPE", "VERSION", "SIZE", "AGE"), lines, flexible=1, empty="No model yet.")
    return 0


def export(user: User, chosen: argparse.Namespace) -> int:
    from core.models import exports

    model = find_model(user, chosen.model)
    made = exports.request_export(user, model.id, parse(exports.NewExport, **read_fields(chosen, exports.NewExport))).export
    while chosen.wait and made.status in ("waiting", "running"):
        time.sleep(LOOK_SECONDS)
        made = exports.get_export(user, made.id)
    if chosen.json:
        output.show(made)
    elif made.status == "ready":
        print(made.facts.get("url") or exports.open_export(user, made.id).path)
    else:
        print(made.id)
        output.note(f"The export is {made.status}. {made.error or ''}".rstrip())
    return int(made.status == "failed")
