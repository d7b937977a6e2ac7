"""What every test gets: an own data folder with a migrated database,
and two users who must never see each other's things."""

import gc
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine

from core import db, security
from core.config import ROOT, settings
from core.errors import CannotStart, LuthierError, SqlError
from core.people import users
from core.people.users import Registration, User
from core.processes import claimed

# Fixtures that load torch or transformers: importing them costs a pytest process as much as a hundred tests
HEAVY = {"tiny_base", "tokenizer"}
SHARED = ROOT.parent / "shared" / "data"
EVALUATIONS = "core.fine_tuning.checkpoints.evaluations"
PASSWORD = "correct horse battery"


# Words of libraries and programs that no message to a user may hold; what they wrote stands in quotes
FOREIGN = (
    *(
        "duckdb",
        "pyarrow",
        "sqlalchemy",
        "pydantic",
        "calamine",
        "starlette",
        "traceback",
        "errno",
        "nonetype",
    ),
    *("try_cast", "read_csv", "read_json", "ignore_errors", "object at 0x", "ended unexpectedly"),
    *(f"{kind} error" for kind in ("binder", "conversion", "invalid input", "catalog", "parser", "internal")),
)
PATHS = ("/tmp/", "/dev/shm/", "site-packages")
QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
spoken: list[str] = []


def _note_foreign_words(make: Any) -> Any:
    def noting(self: LuthierError, *given: Any, **more: Any) -> None:
        make(self, *given, **more)
        said = QUOTED.sub("", self.message.lower())
        # whoever starts a server is told which folder and database it has; a query's names are the user's own
        own = rf"{re.escape(str(settings().data_dir))}(?=[ .])"
        shown = said if isinstance(self, SqlError) else re.sub(own, "", self.message)
        is_path = not isinstance(self, CannotStart) and any(path in shown for path in PATHS)
        if is_path or any(word in said for word in FOREIGN):
            spoken.append(self.message)

    return noting


LuthierError.__init__ = _note_foreign_words(LuthierError.__init__)  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def no_library_speaks() -> Iterator[None]:
    """Of all errors that are made in any test, none tells a user what a library said, or a path."""
    spoken.clear()
    yield
    assert spoken == []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a real model is slow, so that the unit part never imports torch."""
    for item in items:
        if HEAVY & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """All modules are loaded by now and stay: looking through them again and again for what may go took a
    tenth of the time, and looking for it after each 700 new objects another twentieth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory, engines_made: list[Engine]) -> Path:
    """A database that the migrations made, once;
    each test gets a copy (migrating again cost half of the suite's time)."""
    folder = tmp_path_factory.mktemp("migrated")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUTHIER_DATABASE_URL", f"sqlite:///{folder / 'luthier.db'}")
        settings.cache_clear()
        db.migrate()
        db.engine().dispose()
    settings.cache_clear()
    return folder / "luthier.db"


class Team(NamedTuple):
    """Two accounts, and databases that know nobody, the first of them, and both."""

    ada: User
    bob: User
    databases: dict[str | None, Path]


@pytest.fixture(scope="session")
def team(migrated: Path, tmp_path_factory: pytest.TempPathFactory, engines_made: list[Engine]) -> Team:
    """They register once; each test that asks for one of them gets a copy that knows her already (registering
    again and again took a tenth of the time)."""
    folder = tmp_path_factory.mktemp("team")
    shutil.copyfile(migrated, folder / "luthier.db")
    databases: dict[str | None, Path] = {None: migrated, "ada": folder / "ada.db", "bob": folder / "bob.db"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUTHIER_DATABASE_URL", f"sqlite:///{folder / 'luthier.db'}")
        patch.setattr(security, "BCRYPT_COST", 4)  # 12 costs 0.25 s a hash
        settings.cache_clear()
        ada = users.register(
            Registration(email="ada@example.com", password=PASSWORD, name="Ada"), address="10.0.0.1"
        )
        db.engine().dispose()
        shutil.copyfile(folder / "luthier.db", databases["ada"])
        users.set_registration_mode(ada, "open")
        bob = users.register(
            Registration(email="bob@example.com", password=PASSWORD, name="Bob"), address="10.0.0.2"
        )
        db.engine().dispose()
        shutil.copyfile(folder / "luthier.db", databases["bob"])
    settings.cache_clear()
    return Team(ada, bob, databases)


@pytest.fixture(scope="session", autouse=True)
def engines_made() -> Iterator[list[Engine]]:
    """Each test has a database and so an engine of its own, which would compile every statement anew: a sixth
    of the suite's time. Engines of one test process share what they have compiled, which is kept by
    dialect. Gives those that were made and not yet disposed of."""
    make, compiled, dialects = db.create_engine, {}, {}
    every: list[Engine] = []

    def make_engine(url: str, **options: Any) -> Engine:
        made = make(url, **options)
        made.dialect = dialects.setdefault(made.dialect.name, made.dialect)
        made.update_execution_options(compiled_cache=compiled)
        every.append(made)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(db, "create_engine", make_engine)
        yield every


@pytest.fixture(scope="session", autouse=True)
def nothing_beats_while_a_row_is_settled() -> Iterator[None]:
    """A heartbeat that finds its row settled takes it for somebody else's, removes what was made and ends the
    process: between two lines, so no test would meet it often."""
    settle = claimed.Work.settle

    def settle_without_a_heartbeat(*given: Any, **values: Any) -> bool:
        assert not [thread for thread in threading.enumerate() if thread.name == "heartbeat"]
        return settle(*given, **values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claimed.Work, "settle", settle_without_a_heartbeat)
        yield


@pytest.fixture(autouse=True)
def data_dir(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    team: Team,
    engines_made: list[Engine],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """A fresh LUTHIER_DATA_DIR with the newest schema; nothing of the developer's own settings leaks in."""
    for name in [n for n in os.environ if n.startswith("LUTHIER_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "luthier-data"
    folder.mkdir()
    monkeypatch.setenv("LUTHIER_DATA_DIR", str(folder))
    monkeypatch.setattr(security, "BCRYPT_COST", 4)
    settings.cache_clear()
    known = next((name for name in ("bob", "ada") if name in request.fixturenames), None)
    shutil.copyfile(team.databases[known], folder / "luthier.db")
    yield folder
    for thread in threading.enumerate():
        # it waits for a converter of this test, then looks into this test's database
        if thread.name.startswith("ingest-"):
            thread.join(30)
    for name in ("core.ingest.queue", "core.reports.queue", "core.exports.queue", EVALUATIONS):
        if name in sys.modules:  # a server's start was tried, which begins to look after the queue
            sys.modules[name].QUEUE.shut_down()
    while engines_made:
        engines_made.pop().dispose()
    settings.cache_clear()


@pytest.fixture
def ada(team: Team) -> User:
    """The first account, so the admin."""
    return team.ada


@pytest.fixture
def bob(team: Team) -> User:
    """A member who owns nothing of Ada's."""
    return team.bob


@pytest.fixture
def shared_file() -> object:
    """Real files beside the project; without them the test says so and skips."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"the shared test file {name} is not at hand")
        return path

    return find


@pytest.fixture(params=["forked", pytest.param("fresh", marks=pytest.mark.long)])
def as_servers_do(request: pytest.FixtureRequest) -> Iterator[None]:
    """Children are forked from a warm parent, as a server's are; ``fresh``: where there is no fork."""
    from core.processes import children
    from core.server.lifespan import FORKED

    if request.param == "forked":
        children.keep_warm(*FORKED)
    yield
    children.shut_down()
