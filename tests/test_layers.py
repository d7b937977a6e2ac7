"""Imports run one way, services know no web framework, pages know no database, and torch stays out of the web process."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.config import ROOT

WEB = {"streamlit", "fastapi", "starlette", "streamlit_authenticator"}
HEAVY = {"torch", "transformers", "peft", "accelerate", "safetensors", "gguf", "huggingface_hub"}
STORAGE = {"sqlalchemy", "duckdb", "core.db", "core.tables"}
# Lower layers first. A module may import its own layer and those above it in this list; a package stands for all of its modules.
LAYERS = [
    {
        "core.errors",
        "core.clock",
        "core.config",
        "core.stopping",
        "core.cells",
        "core.sql_types",
        "core.hardware",
        "core.network",
        "core.processes",
    },
    {"core.security", "core.fields"},
    {"core.db", "core.tables", "core.migrations"},
    {"core.listing"},
    {"core.storage", "core.formats", "core.sql_sandbox", "core.readers", "core.weights"},
    {"core.people"},
    {"core.reports"},
    {"core.ingest", "core.datasets"},
    {"core.uploads"},
    {"core.query", "core.providers", "core.models"},
    {"core.exports"},
    {
        "core.alerts",
        "core.jobs",
        "core.training",
    },
    {"core.runners"},
    {"core.chats", "core.fine_tuning"},
    {"core.workers", "core.worker"},
    {"core.cli"},
    {"core.guide"},
    {"core.api", "core.ui", "core.server"},
    {"core.launch", "core.__main__", "pages", "app"},
]


def _modules() -> list[Path]:
    return [*sorted(ROOT.glob("core/**/*.py")), *sorted(ROOT.glob("pages/*.py")), ROOT / "app.py"]


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
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


def _layer(module: str) -> int | None:
    return next((i for i, layer in enumerate(LAYERS) if _is_one_of(module, layer)), None)


def _is_service(name: str) -> bool:
    return name.startswith("core.") and not _is_one_of(name, {"core.api", "core.ui", "core.server", "core.launch"})


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_imports_run_one_way(path: Path) -> None:
    name, own = _name(path), _layer(_name(path))
    if name == "core":
        return
    assert own is not None, f"{name} has no layer: give it one in tests/test_layers.py"
    for module in _imports(path):
        theirs = _layer(module)
        assert theirs is None or theirs <= own, f"{name} imports {module}, which is a layer above it"


@pytest.mark.parametrize("path", [p for p in _modules() if _is_service(_name(p))], ids=_name)
def test_services_know_no_web_framework(path: Path) -> None:
    assert not [m for m in _imports(path) if _is_one_of(m, WEB)]


@pytest.mark.parametrize("path", sorted(ROOT.glob("pages/*.py")), ids=_name)
def test_pages_know_no_database(path: Path) -> None:
    assert not [m for m in _imports(path) if _is_one_of(m, STORAGE)]


@pytest.mark.parametrize("path", sorted(ROOT.glob("pages/*.py")), ids=_name)
def test_every_page_asks_who_is_there(path: Path) -> None:
    assert "require_user()" in path.read_text(encoding="utf-8")


def test_no_pages_folder_beside_the_streamlit_script() -> None:
    """Streamlit's legacy discovery would run such pages without the sign-in gate."""
    assert not (ROOT / "core" / "ui" / "pages").exists()


def test_routers_of_the_two_apis_do_not_know_each_other() -> None:
    for one, other in (("rest", "openai"), ("openai", "rest")):
        for path in (ROOT / "core" / "api" / one).glob("*.py"):
            assert not [m for m in _imports(path) if _is_one_of(m, {f"core.api.{other}"})], path


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_only_config_reads_the_environment(path: Path) -> None:
    if path.name != "config.py":
        text = path.read_text(encoding="utf-8")
        assert "os.environ" not in text
        assert "getenv(" not in text.replace('"getenv', "")


def test_web_process_imports_no_torch() -> None:
    code = f"import core.api, core.ui, core.server, sys; print([m for m in {sorted(HEAVY)} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_app_stays_small() -> None:
    assert len((ROOT / "app.py").read_text().splitlines()) < 40
