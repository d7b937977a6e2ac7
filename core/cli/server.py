"""``settings``: how the server is set up, with the help
that the documentation has; ``join``: a data folder and its database."""

import argparse
import sys
import textwrap
from typing import Any

from core import db
from core.cli import output
from core.cli.options import WIDTH, add_command
from core.config import Settings, settings
from core.errors import Conflict
from core.people.users import User
from core.storage import pairing

SECRET = ("jwt_secret", "ray_token", "database_url")
HIDDEN = "(set)"
JOINING = """
A server refuses to start when the data folder and the database are not known to belong together, for what no
row of the database names is moved to the trash folder at the start. This command makes them belong together
all the same. Whatever was moved to the trash comes back at the next start with a database that names it, for
LUTHIER_TRASH_DAYS.
"""


def add_commands(commands: Any) -> None:
    add_command(
        commands,
        "settings",
        show_settings,
        "Show the server's settings, what they are and what they are for.",
        more="They come from environment variables and the file .env beside app.py. Secrets are not shown.",
        needs_user=False,
    )

    parser = add_command(
        commands,
        "join",
        join,
        "Make this data folder and this database belong together.",
        more=JOINING,
        needs_user=False,
        as_json=False,
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")


def join(user: User | None, chosen: argparse.Namespace) -> int:
    print(f"Data folder {settings().data_dir} holds {pairing.look_at_folder()}.")
    print(f"Database {db.name()} names {pairing.look_at_database()}.")
    if not chosen.yes:
        if not sys.stdin.isatty():
            raise Conflict("Nothing was changed. Say --yes to join them without being asked.")
        if input("Join them? [y/N] ").strip().lower() not in ("y", "yes"):
            print("Nothing was changed.")
            return 1
    print(f"They belong together now, by the id {pairing.join()}.")
    return 0


def show_settings(user: User | None, chosen: argparse.Namespace) -> int:
    descriptions = describe()
    if chosen.json:
        output.show(descriptions)
        return 0
    for setting in descriptions:
        shown = "" if setting["value"] in ("", None) else f" = {setting['value']}"
        print(f"{setting['name']}{shown}{'' if setting['is_default'] else '   (changed)'}")
        print(textwrap.fill(setting["help"], WIDTH, initial_indent="    ", subsequent_indent="    "))
    return 0


def describe() -> list[dict[str, Any]]:
    """Every setting by its variable: value, default, help; secrets only as set or not."""
    now = settings()
    return [
        {
            "name": f"LUTHIER_{name.upper()}",
            "value": _shown(name, getattr(now, name)),
            "default": _shown(name, field.default),
            "is_default": getattr(now, name) == field.default,
            "help": field.description,
        }
        for name, field in Settings.model_fields.items()
    ]


def _shown(name: str, value: Any) -> Any:
    if name in SECRET and value:
        return HIDDEN
    return value if isinstance(value, (int, float)) else str(value)
