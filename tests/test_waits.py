"""Tests wait for conditions, by ``tests.waiting.wait_until``, and never by the clock: a machine that is busy
makes every pause too short."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from core.config import ROOT

PAUSES = {"sleep", "wait_for_timeout"}
# Who may pause all the same, and why
ALLOWED = {
    "tests/waiting.py": "between two looks",
    "tests/bench": "measures what a server does while nobody asks it anything",
    "tests/browser/test_edit_fast.py": "hands that rest for as long as the page waits are its matter",
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


@cache
def _pausing() -> dict[str, list[int]]:
    """The files that pause, with the lines in which they do."""
    found = {_name(path): list(_pauses(path)) for path in _tests()}
    return {name: lines for name, lines in found.items() if lines}


def test_a_test_waits_for_a_condition() -> None:
    """What has to happen is waited for by ``tests.waiting.wait_until``."""
    assert {name: lines for name, lines in _pausing().items() if not name.startswith(tuple(ALLOWED))} == {}


def test_whoever_may_pause_does() -> None:
    assert not [name for name in ALLOWED if not any(path.startswith(name) for path in _pausing())]
