"""What is not documented fails: settings, error codes, routes' descriptions, the tree, the dependencies."""

import inspect
import re

import pytest

from core import errors
from core.config import ROOT, Settings

README = (ROOT / "README.md").read_text(encoding="utf-8")
SETTINGS = [f"LUTHIER_{name.upper()}" for name in Settings.model_fields]
ERRORS = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.LuthierError)]


@pytest.mark.parametrize("name", SETTINGS)
def test_setting_is_in_readme_and_example(name: str) -> None:
    assert f"`{name}`" in README
    assert f"{name}=" in (ROOT / ".env.example").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_setting_has_a_description(name: str) -> None:
    assert Settings.model_fields[name].description


def test_readme_lists_no_setting_that_is_gone() -> None:
    assert set(re.findall(r"`(LUTHIER_[A-Z_]+)`", README)) <= set(SETTINGS)


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: e.__name__)
def test_error_has_a_message_a_code_and_a_place_in_the_tree(error: type[errors.LuthierError]) -> None:
    assert error.__doc__
    assert error.code in {e.code for e in ERRORS}
    assert error.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: e.__name__)
def test_error_code_has_a_status(error: type[errors.LuthierError]) -> None:
    from core.api.errors import STATUS

    assert error.code in STATUS


def test_every_route_says_what_it_does() -> None:
    from core.api import apps

    for app in apps():
        for route in app.routes:
            if hasattr(route, "methods") and getattr(route, "include_in_schema", False):
                assert (route.description or route.summary or "").strip(), f"{route.path} has no docstring"


@pytest.mark.parametrize("line", (ROOT / "requirements.txt").read_text().split())
def test_dependency_is_pinned_and_explained(line: str) -> None:
    name, _, version = line.partition("==")
    assert version, f"{name} is not pinned"
    assert f"`{name.lower()}`" in README, f"README does not say why {name} is there"


@pytest.mark.parametrize("folder", ["pages", "core", "data", "tests", ".streamlit", ".ci"])
def test_tree_in_readme_names_every_folder(folder: str) -> None:
    assert f"{folder}/" in README


def test_readme_says_how_to_use_alembic() -> None:
    for command in ("current", "upgrade head", "revision", "check"):
        assert f".venv/bin/alembic {command}" in README
