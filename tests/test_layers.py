"""The order of the house: imports run one way,
services know no web framework, pages no database, the web process no torch."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

import pytest

import core
from core.config import ROOT

WEB = {"streamlit", "fastapi", "starlette", "streamlit_authenticator"}
HEAVY = {"torch", "transformers", "peft", "accelerate", "safetensors", "gguf", "huggingface_hub"}
STORAGE = {"sqlalchemy", "duckdb", "core.db", "core.tables"}
# The door of a folder: the files directly in it. Beyond some twenty a newcomer reads a list instead of seeing
# an order.
MOST_AT_THE_DOOR, MOST_IN_CORE = 22, 17
# Imports of our own inside functions, each with the reason on its line or above it
LATE_IMPORTS = {
    "core.api": {"core.api.openai.app", "core.api.rest.app"},
    "core.inference.base_checks": {"core.inference.growing_cache"},
    "core.inference.batch": {"core.inference.growing_cache"},
    "core.reports.computing": {"core.reports.quality", "core.reports.token_lengths"},
    "core.sql_sandbox.client": {"core.config"},
}


def _layers() -> list[set[str]]:
    """Lower ones first, as the docstring of ``core`` has them."""
    order = core.__doc__.rpartition("::\n")[2]  # type: ignore[union-attr]
    layers = [set(layer.split()) for layer in order.split("->")]
    return [{name if name in ("pages", "app") else f"core.{name}" for name in layer} for layer in layers]


LAYERS = _layers()


def _modules() -> list[Path]:
    return [*sorted(ROOT.glob("core/**/*.py")), *sorted(ROOT.glob("pages/*.py")), ROOT / "app.py"]


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def _imports(path: Path, *, top_level_only: bool = False) -> list[str]:
    return list(_read_imports(path, top_level_only))


def _read_imports(path: Path, top_level_only: bool) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path.name}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_one_of(module: str, names: set[str]) -> bool:
    return any(module == name or module.startswith(name + ".") for name in names)


def _room(module: str) -> str:
    """The file or folder directly under ``core`` that a module lies in;
    ``pages`` and ``app`` are one each."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "core" else parts[0]


def _layer(module: str) -> int | None:
    return next((i for i, layer in enumerate(LAYERS) if _room(module) in layer), None)


def _is_service(name: str) -> bool:
    return name.startswith("core.") and not _is_one_of(
        name, {"core.api", "core.ui", "core.server", "core.launch"}
    )


def test_every_room_has_its_layer() -> None:
    rooms = {_room(_name(path)) for path in _modules()} - {"core"}
    assert rooms == set().union(*LAYERS), (
        "a file or folder under core that core/__init__.py does not name, or the other way round"
    )


def _is_below(module: str, name: str) -> bool:
    """Whether ``name`` may import ``module``."""
    own, theirs = _layer(name), _layer(module)
    return own is None or theirs is None or theirs < own or _room(module) == _room(name)


def test_imports_run_one_way() -> None:
    names = {path: _name(path) for path in _modules()}
    assert not [
        f"{name} imports {module}, which is not below it"
        for path, name in names.items()
        for module in _imports(path)
        if not _is_below(module, name)
    ]


def test_no_module_imports_itself_by_a_detour() -> None:
    known = {_name(path): path for path in _modules()}
    graph = {
        name: {m for m in _imports(path) if m in known and not name.startswith(m)}
        for name, path in known.items()
    }
    assert list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_own_modules_are_imported_at_the_top() -> None:
    names = {path: _name(path) for path in _modules()}
    late = {
        name: set(_imports(path)).difference(_imports(path, top_level_only=True)) & set(names.values())
        for path, name in names.items()
    }
    assert {name: modules for name, modules in late.items() if modules} == LATE_IMPORTS


def test_a_newcomer_sees_an_order_at_each_door() -> None:
    folders = {path.parent for path in ROOT.glob("core/**/*.py")} | {ROOT / "pages"}
    doors = {
        folder: [path for path in folder.glob("*.py") if path.name != "__init__.py"] for folder in folders
    }
    assert len(list((ROOT / "core").glob("*.py"))) <= MOST_IN_CORE
    assert {str(folder): len(files) for folder, files in doors.items() if len(files) > MOST_AT_THE_DOOR} == {}


def test_every_folder_says_what_belongs_there() -> None:
    folders = {path.parent for path in ROOT.glob("core/**/*.py") if "migrations" not in path.parts}
    docstrings = {
        folder: ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        for folder in folders
    }
    assert not [str(folder) for folder, said in docstrings.items() if not said]


def test_rooms_have_one_name_everywhere() -> None:
    rooms = {room.removeprefix("core.") for layer in LAYERS for room in layer}
    shared = {
        "core/ui": {"elements", "static"},
        "tests/core": set(),
        "tests/api": {"openai"},
        "tests/ui": {"elements"},
    }
    for where, own in shared.items():
        found = {
            path.name for path in (ROOT / where).iterdir() if path.is_dir() and not path.name.startswith("__")
        }
        assert found - own <= rooms, where


def test_the_readme_names_every_room() -> None:
    tree = (
        (ROOT / "README.md").read_text(encoding="utf-8").partition("    core/ ")[2].partition("    data/ ")[0]
    )
    named = {word.removesuffix("/") for word in tree.split()}
    assert {room.removeprefix("core.") for layer in LAYERS for room in layer} - {"pages", "app"} <= named


def _who_imports(paths: Iterable[Path], modules: set[str]) -> list[str]:
    return [f"{_name(path)} imports {m}" for path in paths for m in _imports(path) if _is_one_of(m, modules)]


def test_services_know_no_web_framework() -> None:
    services = [path for path in _modules() if _is_service(_name(path))]
    assert len(services) > 100
    assert _who_imports(services, WEB) == []


def _pages() -> list[Path]:
    found = sorted(ROOT.glob("pages/*.py"))
    assert len(found) > 10
    return found


def test_pages_know_no_database() -> None:
    assert _who_imports(_pages(), STORAGE) == []


def test_every_page_asks_who_is_there() -> None:
    assert not [path for path in _pages() if "require_user()" not in path.read_text(encoding="utf-8")]


def test_no_pages_folder_beside_the_streamlit_script() -> None:
    """Streamlit's legacy discovery would run such pages without the sign-in gate."""
    assert not (ROOT / "core" / "ui" / "pages").exists()


def test_routers_of_the_two_apis_do_not_know_each_other() -> None:
    for one, other in (("rest", "openai"), ("openai", "rest")):
        for path in (ROOT / "core" / "api" / one).glob("*.py"):
            assert not [m for m in _imports(path) if _is_one_of(m, {f"core.api.{other}"})], path


def test_only_config_reads_the_environment() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in _modules() if path.name != "config.py"}
    assert not [
        path
        for path, text in texts.items()
        if "os.environ" in text or "getenv(" in text.replace('"getenv', "")
    ]


@pytest.fixture(scope="module")
def web_process() -> tuple[list[str], list[str]]:
    """What one has imported that it should not: heavy libraries, once all of ours is imported; then modules
    of ``core/ui`` in place of others, also of those that are imported late."""
    ours = {path.stem for path in (ROOT / "core/ui").iterdir() if not path.name.startswith("__")}
    names = [
        name
        for name in map(_name, _modules())
        if _is_one_of(name, {"core.ui", "core.api", "core.server", "core.cli"}) and name != "core.ui.main"
    ]
    late = ["pandas", "altair", "tokenizers", "huggingface_hub", *(["mlflow"] if find_spec("mlflow") else [])]
    code = (
        f"import importlib, json, sys; sys.path.insert(0, {str(ROOT / 'core/ui')!r})\n"
        f"for name in {names}: importlib.import_module(name)\n"
        f"heavy = sorted({HEAVY} & sys.modules.keys())\n"
        f"for name in {late}: importlib.import_module(name)\n"
        f"print(json.dumps([heavy, sorted({ours} & sys.modules.keys())]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy, hidden = json.loads(done.stdout.splitlines()[-1])
    return heavy, hidden


def test_web_process_imports_no_torch(web_process: tuple[list[str], list[str]]) -> None:
    assert web_process[0] == []


def test_nothing_in_the_web_process_is_hidden_by_a_folder_of_the_pages(
    web_process: tuple[list[str], list[str]],
) -> None:
    """Streamlit puts ``core/ui`` first on ``sys.path`` while a page runs:
    ``import datasets`` would find our folder there."""
    assert web_process[1] == []


def test_app_stays_small() -> None:
    assert len((ROOT / "app.py").read_text().splitlines()) < 40
