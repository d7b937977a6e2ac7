"""Chat commands: the contract that every member keeps, driven through a real chat, and the way one joins."""

from collections.abc import Iterator
from typing import Any

import pytest

from core import chats
from core.chats import commands, sources
from core.chats.commands import COMMANDS, Command
from core.chats.replies import ReplyTable
from core.errors import ValidationError
from core.fields import parse
from core.people.users import User
from core.providers.base import Delta
from core.tables import DatasetVersionRow
from tests.fake_http import Upstream, make_external, upstream
from tests.ui.things import make_dataset

DUCKS = [{"name": "mallard", "food": "oats"}, {"name": "teal", "food": "peas"}]


@pytest.fixture
def model() -> Iterator[Upstream]:
    """Whoever is asked when a message is no command counts its requests."""
    with upstream() as state:
        yield state


@pytest.fixture
def ducks(ada: User) -> DatasetVersionRow:
    return make_dataset(ada, DUCKS, "ducks")


@pytest.fixture
def chat(ada: User, model: Upstream, ducks: DatasetVersionRow) -> chats.Chat:
    return chats.create(ada, chats.NewChat(model_id=make_external(ada), dataset_id=ducks.dataset_id))


def say(user: User, chat: chats.Chat, content: str) -> chats.Message:
    reply = chats.send(user, parse(chats.NewMessage, chat_id=chat.id, content=content)).reply
    assert reply
    return reply


class Shout(Command):
    """One that needs no dataset, as a new file would have it."""

    name = "shout"
    usage = "/shout WORDS"
    help = "says WORDS loudly"
    example = "/shout hello"
    missing = "Write the words behind it: `/shout hello`."

    def answer(self, user: User, dataset_id: str | None, arguments: str) -> Iterator[Delta | ReplyTable]:
        if arguments == "nothing":
            raise ValidationError.of("words", "say more")
        yield Delta(arguments.upper())


@pytest.fixture
def shout(monkeypatch: pytest.MonkeyPatch) -> Shout:
    member = Shout()
    monkeypatch.setitem(COMMANDS, "shout", member)
    return member


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_how_it_is_written_and_what_it_does(name: str) -> None:
    command = COMMANDS[name]
    assert command.name == name
    assert command.usage.split()[0] == f"/{name}"
    assert command.help
    assert not command.help.endswith(".")
    assert f"`{command.usage}` {command.help}." in commands.help_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_answers_its_example_without_a_model_and_at_no_cost(
    name: str, ada: User, chat: chats.Chat, model: Upstream
) -> None:
    reply = say(ada, chat, COMMANDS[name].example)
    assert reply.content
    assert not reply.content.startswith("That could not be answered")
    assert (reply.finish_reason, reply.error, reply.usage, reply.model_id) == ("stop", None, None, None)
    assert model.count == 0
    assert COMMANDS[name].needs_dataset <= bool(reply.table)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_what_it_lacks(name: str, ada: User, chat: chats.Chat) -> None:
    command = COMMANDS[name]
    if command.missing:
        assert say(ada, chat, f"/{name}").content == command.missing
        assert say(ada, chat, f"/{name} \n ").content == command.missing
    if command.needs_dataset:
        chats.update(ada, chat.id, parse(chats.ChatChange, dataset_id=None))
        reply = say(ada, chat, command.example)
        assert reply.content == f"Attach a dataset to this chat first. {commands.help_text()}"
        assert reply.table is None


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.needs_dataset])
def test_no_command_reads_a_dataset_of_another_user(
    name: str, ada: User, bob: User, ducks: DatasetVersionRow
) -> None:
    """As after a transfer of the row: the chat names it, the user may not see it."""
    mine = list(sources.from_command(ada, ducks.dataset_id, COMMANDS[name].example))
    theirs = list(sources.from_command(bob, ducks.dataset_id, COMMANDS[name].example))
    missing = list(sources.from_command(bob, "ds_nothere", COMMANDS[name].example))
    assert any(isinstance(event, ReplyTable) for event in mine)
    assert theirs == missing
    assert not any(isinstance(event, ReplyTable) for event in theirs)
    assert "That could not be answered" in str(theirs[0])


@pytest.mark.parametrize(
    "content", ["/nothing", "/etc/hosts is empty", "/", "sql SELECT 1", "/SQL", "/sqlx 1"]
)
def test_what_is_no_command_goes_to_the_model(
    content: str, ada: User, chat: chats.Chat, model: Upstream
) -> None:
    assert commands.find(content) is None
    assert say(ada, chat, content).content == content
    assert model.count == 1


@pytest.mark.parametrize(
    ("content", "arguments"),
    [
        ("/shout a b", "a b"),
        ("  /shout   a b  ", "a b"),
        ("/shout\na\nb", "a\nb"),
        ("/shout a\nb", "a\nb"),
        ("/shout", ""),
    ],
)
def test_arguments_are_all_that_stands_behind_the_name(shout: Shout, content: str, arguments: str) -> None:
    assert commands.find(content) == (shout, arguments)


def test_a_new_command_needs_no_dataset_and_its_errors_become_the_reply(
    ada: User, chat: chats.Chat, model: Upstream, shout: Shout
) -> None:
    chats.update(ada, chat.id, parse(chats.ChatChange, dataset_id=None))
    assert say(ada, chat, "/shout hello you").content == "HELLO YOU"
    assert say(ada, chat, "/shout").content == shout.missing
    failed = say(ada, chat, "/shout nothing")
    assert failed.content == "That could not be answered. words: say more"
    assert (failed.error, model.count) == (None, 0)
    assert "`/shout WORDS` says WORDS loudly." in commands.help_text()
    assert shout not in commands.about_data()


def test_the_model_reads_neither_commands_nor_their_answers(
    ada: User, chat: chats.Chat, model: Upstream, shout: Shout
) -> None:
    say(ada, chat, "/shout hello")
    say(ada, chat, "/describe")
    say(ada, chat, "Thanks")
    read: list[dict[str, Any]] = model.requests[0].body["messages"]
    assert read == [{"role": "user", "content": "Thanks"}]
