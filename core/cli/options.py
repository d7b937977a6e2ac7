"""Command line options made from pydantic models: names, choices, bounds and help come from the fields.

What is not given is not in the values, so the model's own defaults stand. Texts are read leniently by
``core.fields.parse``, which also says what is wrong with them.
"""

import argparse
import shutil
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from core.errors import ValidationError
from core.fields import properties_of

WIDTH = 80  # of help and tables, where the terminal is not narrower
METAVARS = {"integer": "N", "number": "X", "boolean": "on|off", "object": "ROLE=NAME"}
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
}


class Help(argparse.RawDescriptionHelpFormatter):
    """Help in at most 80 columns, descriptions in paragraphs."""

    def __init__(self, prog: str) -> None:
        width = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
        super().__init__(prog, width=width, max_help_position=26)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = (" ".join(part.split()) for part in text.strip().split("\n\n"))
        return "\n\n".join(
            textwrap.fill(part, width, initial_indent=indent, subsequent_indent=indent) for part in parts
        )


def add_command(
    commands: Any,
    name: str,
    act: Any,
    help: str,
    *,
    more: str = "",
    needs_user: bool = True,
    as_json: bool = True,
) -> argparse.ArgumentParser:
    """A command with the options that all share.

    ``act(user, chosen)`` does it and returns the exit status.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=f"{help}\n\n{more}", formatter_class=Help
    )
    parser.set_defaults(act=act, needs_user=needs_user, user=None)
    shared = parser.add_argument_group("for all commands")
    if needs_user:
        shared.add_argument(
            "--user",
            metavar="EMAIL",
            help="the account to work as; else LUTHIER_USER, else the only one there is",
        )
    if as_json:
        shared.add_argument("--json", action="store_true", help="write JSON, for programs")
    return parser


def add_fields(
    parser: Any,
    model: type[BaseModel],
    *,
    named: Mapping[str, str] | None = None,
    words: Mapping[str, Iterable[str]] | None = None,
    without: Iterable[str] = (),
) -> None:
    """An option per field of ``model``.

    ``named`` gives other names to some; ``words``: what a field of a registry may be.
    """
    fields = properties_of(model)
    for name in model.model_fields:
        if name not in set(without):
            field = fields[name] | ({"enum": list(words[name])} if words and name in words else {})
            _add_field(parser, name, field, flag=(named or {}).get(name) or flag_of(name))


def read_fields(
    chosen: argparse.Namespace, model: type[BaseModel], *, without: Iterable[str] = ()
) -> dict[str, Any]:
    """The values that were given. Raises ValidationError for a pair that is none."""
    values = {name: getattr(chosen, name) for name in model.model_fields if name not in set(without)}
    fields = properties_of(model)
    chosen_values = {name: value for name, value in values.items() if value is not None}
    return {
        name: _pairs(name, value) if _kind(fields[name]) == "object" else value
        for name, value in chosen_values.items()
    }


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def _add_field(parser: Any, name: str, field: Mapping[str, Any], *, flag: str) -> None:
    kind = _kind(field)
    repeated = {"action": "append"} if kind in ("array", "object") else {}
    parser.add_argument(
        flag, dest=name, metavar=_metavar(field), help=_help(field).replace("%", "%%"), **repeated
    )


def _kinds(field: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [kind for kind in field.get("anyOf") or [field] if kind.get("type") != "null"]


def _kind(field: Mapping[str, Any]) -> str:
    return str(_kinds(field)[0].get("type", ""))


def _metavar(field: Mapping[str, Any]) -> str:
    words: list[str] = []
    for kind in _kinds(field):
        if "enum" in kind or "const" in kind:
            words += map(str, kind.get("enum", [kind.get("const")]))
        else:
            words.append(METAVARS.get(str(kind.get("type")), "TEXT"))
    return "|".join(words)


def _help(field: Mapping[str, Any]) -> str:
    """The field's own sentence, then its bounds."""
    bounds = [
        BOUNDS[name].format(f"{kind[name]:,}") for kind in _kinds(field) for name in BOUNDS if name in kind
    ]
    about = str(field.get("description") or field.get("title") or "")
    return about + (f" ({', '.join(bounds)})" if bounds else "")


def _pairs(name: str, values: Iterable[str]) -> dict[str, str]:
    columns = {}
    for value in values:
        role, equals, column = value.partition("=")
        if not equals or not role:
            raise ValidationError.of(name, f"“{value}” is no pair: write ROLE=NAME, such as prompt=question")
        columns[role] = column
    return columns
