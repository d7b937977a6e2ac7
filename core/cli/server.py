"""``settings``: how the server is set up, with the help that the documentation has."""

import argparse
import textwrap
from typing import Any

from core.cli import output
from core.cli.options import WIDTH, add_command
from core.config import Settings, settings
from core.users import User

SECRET = ("jwt_secret", "ray_token", "database_url")
HIDDEN = "(set)"


def add_commands(commands: Any) -> None:
    add_command(
        commands,
        "settings",
        show_settings,
        "Show the server's settings, what they are and what they are for.",
        more="They come from environment variables and the file .env beside app.py. Secrets are not shown.",
        needs_user=False,
    )


def show_settings(user: User | None, chosen: argparse.Namespace) -> int:
    found = describe()
    if chosen.json:
        output.show(found)
        return 0
    for setting in found:
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
