"""Commands: messages that begin with a slash and are answered without any model.

To add one: write ``core/chats/commands/NAME.py`` with a ``Command`` (see ``base``; one that asks the chat's
dataset is a ``DatasetCommand``, see ``over_dataset``), put an instance into ``COMMANDS``, and
``tests/core/chats/test_commands.py`` runs the contract tests on it. What pages say about commands follows.

A message whose first word is no command's goes to the model, also when it begins with a slash: paths do, and
some models read words such as ``/no_think``.
"""

from core.chats.commands.base import Command
from core.chats.commands.describe import DescribeCommand
from core.chats.commands.sql import SqlCommand

COMMANDS: dict[str, Command] = {
    "describe": DescribeCommand(),
    "sql": SqlCommand(),
}


def find(content: str) -> tuple[Command, str] | None:
    """The command and what stands behind its name; None when the message is for a model."""
    word, _, rest = content.strip().partition(" ")
    word, newline, more = word.partition("\n")
    name = word.removeprefix("/")
    if name == word or name not in COMMANDS:
        return None
    return COMMANDS[name], (f"{more} {rest}" if newline else rest).strip()


def about_data() -> list[Command]:
    """Those that need a dataset."""
    return [command for command in COMMANDS.values() if command.needs_dataset]


def help_text() -> str:
    """What each does, in Markdown: a sentence for each that begins with how it is written."""
    return " ".join(f"`{command.usage}` {command.help}." for command in COMMANDS.values())


__all__ = ["COMMANDS", "Command", "about_data", "find", "help_text"]
