"""Tables of the guide that come from the code: settings, methods, formats, runners, commands, scopes."""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from core import cli
from core.alerts import ALERT_KINDS
from core.api import apps
from core.api.scopes import Reach, decision
from core.config import Settings
from core.fields import properties_of
from core.formats import FORMATS
from core.formats.layouts import TableLayout
from core.people.api_keys import SCOPES, Scope
from core.runners import RUNNERS
from core.training import METHODS, Hyperparameters
from core.training.presets import PRESETS

TRAINING_SETTINGS = ("training_", "ray_", "checkpoint_", "disk_reserve")
SETTINGS_GROUP = "settings: "  # groups of options that the table of settings stands for


def settings() -> str:
    """Every hyperparameter, by section."""
    fields = properties_of(Hyperparameters)
    sections: dict[str, list[str]] = {}
    for name, field in fields.items():
        only = f" *Only for {_names(field['methods'])}.*" if field.get("methods") else ""
        entry = _entry(field["title"], name, field["description"] + only, _values(field))
        sections.setdefault(field["section"], []).append(entry)
    return "\n\n".join(f"#### {section}\n\n" + "\n\n".join(entries) for section, entries in sections.items())


def methods() -> str:
    return "\n\n".join(
        _entry(one.title, name, one.help, f"learns from {_names(one.formats)}")
        for name, one in METHODS.items()
    )


def presets() -> str:
    rows = [(f"**{one.title}**", one.help) for one in PRESETS.values()]
    return _table(("Preset", "What it is for"), rows)


def formats() -> str:
    return "\n\n".join(
        _entry(one.title, name, _first_sentence(one)) for name, one in FORMATS.items() if one.trainable
    )


def layouts() -> str:
    """Columns by which tables are known, and what they are read as."""
    rows = [(_columns(layout), one.title) for one in FORMATS.values() for layout in one.layouts]
    return _table(("Columns", "Read as"), rows)


def _columns(layout: TableLayout) -> str:
    optional = dict.fromkeys(name for _, name in layout.optional if name not in layout.columns.values())
    named = ", ".join(f"`{name}`" for name in layout.columns.values())
    return named + "".join(f" (`{name}`)" for name in optional)


def runners() -> str:
    return "\n\n".join(_entry(one.title, name, _first_sentence(one)) for name, one in RUNNERS.items())


def commands() -> str:
    """All commands in a table, then each with its options."""
    every = cli.commands()
    rows = [(f"`{name}`", str(parser.description).strip().split("\n")[0]) for name, parser in every.items()]
    details = (f"#### {name}\n\n```text\n{_help(parser)}\n```" for name, parser in every.items())
    return "\n\n".join([_table(("Command", "What it does"), rows), *details])


def server_settings() -> str:
    """Those of the server that concern training."""
    fields = {
        name: field for name, field in Settings.model_fields.items() if name.startswith(TRAINING_SETTINGS)
    }
    return "\n\n".join(
        _lines(f"`LUTHIER_{name.upper()}` · {_default(field.default)}", str(field.description))
        for name, field in fields.items()
    )


def alerts() -> str:
    return _table(("Alert", "When"), [(f"**{name}**", kind.help) for name, kind in ALERT_KINDS.items()])


def scopes() -> str:
    """What each scope of API keys reaches, as the table that decides it has it."""
    rows = [(f"`{scope}`", _reached(scope, "/api"), _reached(scope, "/v1") or "–") for scope in SCOPES]
    return _table(("Scope", "On `/api`", "On `/v1`"), rows)


def _reached(scope: Scope, prefix: str) -> str:
    """Lines of the table that decide about a route there is, the widest of each path."""
    lines = [line for line in _deciding() if scope in line.scopes and line.path.startswith(prefix + "/")]
    whole = {line.path for line in lines if line.methods == "*"}
    parts = {line.path: f"{line.methods} " for line in lines if line.path not in whole}
    return ", ".join(
        f"{parts.get(path, '')}`{path.removeprefix(prefix)}`" for path in sorted(whole | {*parts})
    )


def _deciding() -> set[Reach]:
    routes = (
        (method, prefix + str(getattr(route, "path", "")))
        for prefix, app in zip(("/api", "/v1"), apps(), strict=True)
        for route in app.routes
        for method in getattr(route, "methods", None) or ()
    )
    return {line for method, path in routes if (line := decision(method, path))}


BLOCKS: dict[str, Callable[[], str]] = {
    one.__name__: one
    for one in (
        *(settings, presets, methods, formats, layouts, runners, commands, server_settings, alerts, scopes),
    )
}


def _entry(title: str, name: str, about: str, *facts: str) -> str:
    """A line of names and facts and one of words: fits any width, which a table of four columns does not."""
    return _lines(" · ".join([f"**{title}**", f"`{name}`", *facts]), about)


def _lines(first: str, second: str) -> str:
    return f"{first}\\\n{second}"


def _default(value: Any) -> str:
    return "empty by default" if value == "" else f"{value} by default"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |"
        for line in lines
    )


def _values(field: Mapping[str, Any]) -> str:
    """``1 to 50``, ``on, off``, ``full, lora, qlora``; ``auto`` is always possible and not repeated."""
    for kind in field.get("anyOf", [field]):
        if kind.get("const") == "auto":
            continue
        if "enum" in kind:
            return ", ".join(f"`{word}`" for word in kind["enum"])
        if kind.get("type") == "boolean":
            return "`on`, `off`"
        if kind.get("type") in ("integer", "number"):
            return _range(kind)
    return "text"


def _range(kind: Mapping[str, Any]) -> str:
    low, above = kind.get("minimum"), kind.get("exclusiveMinimum")
    high, below = kind.get("maximum"), kind.get("exclusiveMaximum")
    start = f"{low:,}" if low is not None else f"above {above:,}"
    return f"{start} to {high:,}" if high is not None else f"{start} to below {below:,}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


def _first_sentence(thing: Any) -> str:
    described = thing if isinstance(thing, type) else type(thing)
    text = getattr(thing, "help", "") or described.__doc__ or ""
    return " ".join(text.strip().split("\n\n")[0].split()).replace("``", "`")


def _help(parser: argparse.ArgumentParser) -> str:
    """The command's help without the options of single settings."""
    parser._action_groups = [
        group for group in parser._action_groups if not str(group.title).startswith(SETTINGS_GROUP)
    ]
    return parser.format_help().strip().replace("```", "'''")
