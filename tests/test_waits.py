"""Tests wait for conditions, by ``tests.waiting.wait_until``, and never by the clock: a machine that is busy
makes every pause too short."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.config import ROOT

PAUSES = {"sleep", "wait_for_timeout"}
# Who may pause all the same, and why
ALLOWED = {
    "tests/waiting.py": "between two looks",
    "tests/bench": "measures what a server does while nobody asks it anything",
    "tests/core/alerts/test_alerts.py": "a receiver that answers too slowly is what the test is about",
    "tests/hostile/child_program.py": "a child whose work is to be alive until it is killed",
    "tests/hostile/slow_worker.py": "slow steps and steps that never end are the trouble it makes",
    "tests/hostile/test_training_survival.py": "draws the moment at which somebody presses pause",
}


def _tests() -> list[Path]:
    return sorted((ROOT / "tests").rglob("*.py"))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _pauses(path: Path) -> Iterator[int]:
    """The lines in which a test would wait for a time to pass."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
            if called in PAUSES:
                yield node.lineno


@pytest.mark.parametrize("path", _tests(), ids=_name)
def test_a_test_waits_for_a_condition(path: Path) -> None:
    if not _name(path).startswith(tuple(ALLOWED)):
        assert list(_pauses(path)) == [], "wait for what has to happen: tests.waiting.wait_until"


def test_whoever_may_pause_does() -> None:
    pausing = [_name(path) for path in _tests() if any(_pauses(path))]
    assert not [name for name in ALLOWED if not any(path.startswith(name) for path in pausing)]
