"""One contract per family that every member must pass:
formats, providers, training methods, runners, chat commands."""

import re

import pytest

from core.chats.commands import COMMANDS
from core.formats import FORMATS
from core.providers import PROVIDERS
from core.runners import RUNNERS
from core.training import METHODS

NAME = re.compile(r"^[a-z][a-z0-9_]*$")
FAMILIES = {
    "formats": FORMATS,
    "providers": PROVIDERS,
    "methods": METHODS,
    "runners": RUNNERS,
    "commands": COMMANDS,
}


def _members(family: object) -> dict[str, object]:
    if isinstance(family, dict):
        return dict(family)
    return {member.name: member for member in family}  # type: ignore[attr-defined]


@pytest.mark.parametrize("family", FAMILIES)
def test_names_are_unique_and_plain(family: str) -> None:
    names = (
        [m.name for m in FAMILIES[family]]
        if not isinstance(FAMILIES[family], dict)
        else list(FAMILIES[family])
    )
    assert names
    assert len(names) == len(set(names))
    assert all(NAME.match(name) for name in names)


@pytest.mark.parametrize("family", FAMILIES)
def test_members_say_what_they_are(family: str) -> None:
    for name, member in _members(FAMILIES[family]).items():
        described = member if isinstance(member, type) else type(member)
        assert described.__doc__ or getattr(member, "help", ""), f"{family}: {name} does not say what it is"
