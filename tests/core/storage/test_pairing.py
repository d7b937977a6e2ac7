"""A data folder and a database that do not belong together:
the start ends with a sentence, and every file is still there."""

import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from core import config, db, models, storage, uploads
from core.config import settings
from core.db import writing
from core.errors import CannotStart, FolderMismatch
from core.exports import queue as export_queue
from core.ingest import queue as conversions
from core.people.users import User
from core.reports import queue as report_queue
from core.security import new_id
from core.storage import pairing, trash
from core.tables import DatasetVersionRow, ExportRow, ModelVersionRow, Row, ServerSettingRow
from core.uploads import NewUpload
from core.workers.supervisor import Supervisor
from tests.core.uploads.shared import stage

Files = dict[str, bytes]


@pytest.fixture
def quiet_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is started in the background: only what a start removes is looked at."""
    monkeypatch.setattr(export_queue.QUEUE, "run", lambda: None)
    monkeypatch.setattr("core.reports.queue.QUEUE.run", lambda: None)
    monkeypatch.setattr("core.ingest.queue.run_in_background", lambda version_id: None)


@pytest.fixture
def made(ada: User, make_version: Any, make_job: Any, quiet_queues: None, data_dir: Path) -> Path:
    """A data folder with a file of every kind, and an id on both sides."""
    pairing.open_database()
    job = make_job(ada, status="succeeded")
    _write(storage.job_dir(job.id) / "checkpoints" / "step-4" / "state.pt")
    upload = uploads.begin(ada, NewUpload(filename="waiting.csv", size_bytes=4), source="api")
    uploads.append(ada, upload.id, offset=0, chunk=b"a\n1\n")
    with writing() as session:
        base = session.query(ModelVersionRow).first()
        assert base
        version_id, export_id = new_id("mdv"), new_id("exp")
        session.add(
            ModelVersionRow(
                id=version_id,
                model_id=base.model_id,
                version=2,
                folder=f"models/{version_id}",
                finetune_job_id=job.id,
            )
        )
        session.flush()
        session.add(
            ExportRow(
                id=export_id, user_id=ada.id, model_version_id=version_id, kind="merged", status="ready"
            )
        )
    _write(storage.model_dir(version_id) / "model.safetensors")
    _write(storage.export_dir(export_id) / "x.zip")
    return data_dir


@pytest.fixture
def older_dump(ada: User, data_dir: Path) -> Path:
    """The database before anything of ``made`` was there, with the id of its folder."""
    pairing.open_database()
    return _copy_database(data_dir.parent / "older.db")


def start() -> None:
    """What a start does to files, in its order."""
    pairing.open_database()
    conversions.recover()
    report_queue.QUEUE.recover()
    uploads.recover()
    models.recover()
    export_queue.QUEUE.recover()
    Supervisor()._sweep()


def _write(path: Path, content: bytes = b"weeks of work") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _files(root: Path) -> Files:
    """Every file that somebody would miss, by its path."""
    kinds = ("datasets", "models", "jobs", "exports", "uploads")
    return {
        str(p.relative_to(root)): p.read_bytes()
        for kind in kinds
        for p in (root / kind).rglob("*")
        if p.is_file()
    }


def _whole_tree(root: Path) -> Files:
    """All files but SQLite's log and its index, which come and go with whoever looks at a database."""
    kept = (p for p in root.rglob("*") if p.is_file() and not p.name.endswith(("-wal", "-shm")))
    return {str(p.relative_to(root)): p.read_bytes() for p in kept}


def _copy_database(target: Path) -> Path:
    source = sqlite3.connect(settings().sqlalchemy_url.removeprefix("sqlite:///"))
    copy = sqlite3.connect(target)
    source.backup(copy)
    source.close()
    copy.close()
    return target


def _use(monkeypatch: pytest.MonkeyPatch, *, database: str | None = None, folder: Path | None = None) -> None:
    db.engine().dispose()
    if database is not None:
        monkeypatch.setenv("LUTHIER_DATABASE_URL", database)
    if folder is not None:
        monkeypatch.setenv("LUTHIER_DATA_DIR", str(folder))
    settings.cache_clear()


def _remove_database() -> None:
    db.engine().dispose()
    for file in settings().data_dir.glob("luthier.db*"):
        file.unlink()


def _forget_id_in_database() -> None:
    with writing() as session:
        session.query(ServerSettingRow).filter_by(key=pairing.KEY).delete()


def _forget_id_in_folder() -> None:
    (settings().data_dir / pairing.ID_FILE).unlink()


def _empty_all_tables() -> None:
    with writing() as session:
        for table in reversed(Row.metadata.sorted_tables):
            session.execute(table.delete())


def _other_database(
    tmp: Path, migrated: Path, *, id_: str | None = "fld_of_somebody_else", rows: bool = False
) -> str:
    """A database of another server: with its id or none, empty or with rows that name nothing of ours."""
    path = tmp / "other.db"
    shutil.copyfile(migrated, path)
    connection = sqlite3.connect(path)
    with connection:
        if id_:
            connection.execute(
                "INSERT INTO server_settings VALUES (?, ?)", (pairing.KEY, f'{{"id": "{id_}"}}')
            )
        if rows:
            connection.execute(
                "INSERT INTO users (id, email, name, password_hash, role, tokens_valid_from, created_at) "
                "VALUES ('usr_x', 'x@example.com', '', '', 'admin', '2026-01-01', '2026-01-01')"
            )
            connection.execute(
                (
                    "INSERT INTO uploads (id, user_id, source, state, filename, received_bytes, options, "
                    "created_at, updated_at) VALUES (?, 'usr_x', 'api', 'receiving', 'x.csv', 0, '{}', "
                    "'2026-01-01', '2026-01-01')"
                ),
                (new_id("upl"),),
            )
    connection.close()
    return f"sqlite:///{path}"


Mismatch = Callable[[pytest.MonkeyPatch, Path, Path], None]


def typo_in_the_address(patch: pytest.MonkeyPatch, tmp: Path, migrated: Path) -> None:
    _use(patch, database=f"sqlite:///{tmp / 'lutheir.db'}")


def database_file_missing(patch: pytest.MonkeyPatch, tmp: Path, migrated: Path) -> None:
    _remove_database()


def database_file_empty(patch: pytest.MonkeyPatch, tmp: Path, migrated: Path) -> None:
    _remove_database()
    (settings().data_dir / "luthier.db").touch()


def new_database_with_schema_only(patch: pytest.MonkeyPatch, tmp: Path, migrated: Path) -> None:
    _use(patch, database=_other_database(tmp, migrated, id_=None))


def new_database_and_folder_without_id(patch: pytest.MonkeyPatch, tmp: Path, migrated: Path) -> None:
    _forget_id_in_folder()
    _use(patch, database=_other_database(tmp, migrated, id_=None))


def database_of_another_server(patch: pytest.MonkeyPatch, tmp: Path, migrated: Path) -> None:
    _use(patch, database=_other_database(tmp, migrated, rows=True))


def database_of_another_server_and_folder_without_id(
    patch: pytest.MonkeyPatch, tmp: Path, migrated: Path
) -> None:
    _forget_id_in_folder()
    _use(patch, database=_other_database(tmp, migrated, rows=True))


def database_of_another_server_from_before_ids(patch: pytest.MonkeyPatch, tmp: Path, migrated: Path) -> None:
    _forget_id_in_folder()
    _use(patch, database=_other_database(tmp, migrated, id_=None, rows=True))


def rows_deleted_with_the_id(patch: pytest.MonkeyPatch, tmp: Path, migrated: Path) -> None:
    _empty_all_tables()


def no_database_at_all(patch: pytest.MonkeyPatch, tmp: Path, migrated: Path) -> None:
    (tmp / "notes.txt").write_text("not a database, whatever its name says " * 50)
    _use(patch, database=f"sqlite:///{tmp / 'notes.txt'}")


def folder_of_another_server(patch: pytest.MonkeyPatch, tmp: Path, migrated: Path) -> None:
    """Our database, another folder that has its own id and files."""
    database = _copy_database(tmp / "ours.db")
    (settings().data_dir / pairing.ID_FILE).write_text("fld_another")
    _use(patch, database=f"sqlite:///{database}")


MISMATCHES: list[Mismatch] = [
    typo_in_the_address,
    database_file_missing,
    database_file_empty,
    new_database_with_schema_only,
    new_database_and_folder_without_id,
    database_of_another_server,
    database_of_another_server_and_folder_without_id,
    database_of_another_server_from_before_ids,
    rows_deleted_with_the_id,
    no_database_at_all,
    folder_of_another_server,
]


@pytest.mark.parametrize("mismatch", MISMATCHES, ids=lambda one: one.__name__)
def test_strangers_do_not_start_and_every_file_stays(
    made: Path, mismatch: Mismatch, tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mismatch(monkeypatch, tmp_path, migrated)
    db.engine().dispose()
    before = _whole_tree(tmp_path)
    assert len(_files(made)) >= 5
    with pytest.raises(FolderMismatch) as refused:
        start()
    assert _whole_tree(tmp_path) == before
    assert str(made) in refused.value.message or "cannot be read as a database" in refused.value.message
    assert "LUTHIER_DATABASE_URL" in refused.value.message


def test_the_sentence_says_what_each_side_holds(made: Path) -> None:
    _remove_database()
    with pytest.raises(
        FolderMismatch,
        match=r"the folder holds 1 dataset version, 1 model version, 1 job, 1 export and 1 upload, and the",
    ):
        pairing.check()


def test_an_empty_folder_under_a_full_database_is_taken_for_an_unmounted_disk(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    _use(monkeypatch, database=f"sqlite:///{_copy_database(tmp_path / 'ours.db')}", folder=tmp_path / "empty")
    with pytest.raises(FolderMismatch, match=r"holds nothing of it\. Is its disk mounted"):
        start()
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_password_in_the_address_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("LUTHIER_DATABASE_URL", "postgresql://luthier:s3cret@db/luthier")
        settings.cache_clear()
        assert db.name() == "postgresql://luthier:***@db/luthier"
    settings.cache_clear()


def test_a_first_start_gives_both_sides_one_id(data_dir: Path) -> None:
    _remove_database()
    pairing.open_database()
    known = pairing.look_at_folder().id
    assert known
    assert known.startswith("fld_")
    assert pairing.look_at_database().id == known
    pairing.open_database()
    assert pairing.look_at_folder().id == pairing.look_at_database().id == known


@pytest.mark.parametrize("forget", ["both", "folder", "database"])
def test_what_belongs_together_by_its_names_gets_an_id(made: Path, forget: str) -> None:
    """A folder and a database from before there were ids; a lost file; a dump from before the update."""
    files, known = _files(made), pairing.look_at_folder().id
    if forget != "database":
        _forget_id_in_folder()
    if forget != "folder":
        _forget_id_in_database()
    start()
    assert _files(made) == files
    assert pairing.look_at_folder().id == pairing.look_at_database().id
    assert forget == "both" or pairing.look_at_folder().id == known


def test_a_folder_that_moved_with_its_database_starts(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = _files(made)
    db.engine().dispose()
    shutil.copytree(made, tmp_path / "elsewhere")
    _use(monkeypatch, folder=tmp_path / "elsewhere")
    start()
    assert _files(tmp_path / "elsewhere") == files


def test_rows_copied_to_another_database_start(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = _files(made)
    _use(monkeypatch, database=f"sqlite:///{_copy_database(tmp_path / 'copied.db')}")
    start()
    assert _files(made) == files


def test_a_crash_between_the_two_ids_is_healed(data_dir: Path) -> None:
    pairing.open_database()
    known = pairing.look_at_folder().id
    _forget_id_in_folder()
    pairing.open_database()
    assert pairing.look_at_folder().id == known


def test_a_database_of_the_first_release_is_looked_at(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables and columns that came later are missing there."""
    from alembic import command
    from alembic.config import Config

    path = tmp_path / "first.db"
    _use(monkeypatch, database=f"sqlite:///{path}")
    config_ = Config(config.ROOT / "alembic.ini")
    command.upgrade(config_, "0001")
    db.engine().dispose()
    assert pairing.look_at_database() == pairing.Side(
        None, {"datasets": set(), "models": set(), "jobs": set()}
    )
    with pytest.raises(FolderMismatch):
        pairing.check()


def test_joined_strangers_start_and_lose_nothing(
    made: Path, tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = _files(made)
    ours = _copy_database(tmp_path / "ours.db")
    _use(monkeypatch, database=_other_database(tmp_path, migrated, rows=True))
    pairing.join()
    monkeypatch.setattr("core.models.publishing.SWEEP_AFTER_SECONDS", 0)
    start()
    assert _files(made) == {}
    assert sorted(_files_in_trash(made).values()) == sorted(files.values())
    _use(monkeypatch, database=f"sqlite:///{ours}")  # the right one again: same folder, same id
    start()
    assert _files(made) == files
    assert trash.list_all() == []


def test_an_older_dump_moves_to_the_trash_what_it_does_not_know_and_the_newer_one_brings_it_back(
    older_dump: Path, made: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files, newer = _files(made), _copy_database(made.parent / "newer.db")
    monkeypatch.setattr("core.models.publishing.SWEEP_AFTER_SECONDS", 0)
    _use(monkeypatch, database=f"sqlite:///{older_dump}")
    start()
    assert _files(made) == {}
    assert sorted(_files_in_trash(made).values()) == sorted(files.values())
    for name in {Path(file).parts[1] for file in files}:
        assert f"{name} is named by no row of the database: moved to trash/" in caplog.text
    assert trash.remove_expired() == []  # never at once
    _use(monkeypatch, database=f"sqlite:///{newer}")
    start()
    assert _files(made) == files


def test_a_version_that_was_still_being_made_when_the_dump_was_taken_is_not_deleted(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = _files(made)
    newer = _copy_database(made.parent / "newer.db")
    with writing() as session:  # as it was then: its converter at work, its files not yet there
        session.query(DatasetVersionRow).update(
            {"status": "processing", "worker_pid": 2**22 + 1, "worker_started": 1.0}
        )
    start()
    _use(monkeypatch, database=f"sqlite:///{newer}")
    start()
    assert _files(made) == files


@pytest.mark.usefixtures("quiet_queues")
def test_an_uploaded_file_that_waits_for_its_converter_is_not_scratch(
    older_dump: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = storage.staging_dir() / new_id("dsv")
    stage(b"scratch of a call that died")
    waiting.write_bytes(b"a\n1\n")
    _use(monkeypatch, database=f"sqlite:///{older_dump}")
    start()
    assert [(one.kind, one.name) for one in trash.list_all()] == [("staging", waiting.name)]
    assert list(storage.staging_dir().iterdir()) == []
    trash.put_back("staging", {waiting.name})
    assert waiting.read_bytes() == b"a\n1\n"


def _files_in_trash(root: Path) -> Files:
    return {str(p.relative_to(root)): p.read_bytes() for p in (root / "trash").rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgres://luthier:s3cret@db/luthier", r"begins with postgres://\. Write postgresql\+psycopg://"),
        ("mongodb://db/luthier", r"is no address of a database\. Write postgresql\+psycopg://"),
        ("luthier.db", "is no address of a database"),
        ("sqlite+pysqlcipher:///luthier.db", "The driver .* is not installed"),
        ("mysql+nodriver://db/luthier", "is no address of a database"),
    ],
)
def test_an_address_that_cannot_be_used_is_a_sentence(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, address: str, said: str
) -> None:
    _use(monkeypatch, database=address)
    with pytest.raises(CannotStart, match=said) as caught:
        pairing.check()
    assert "LUTHIER_DATABASE_URL" in caught.value.message
    assert "s3cret" not in caught.value.message


def test_a_driver_that_is_missing_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, database="postgresql+psycopg://luthier:s3cret@db/luthier")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(
        CannotStart, match=r"The driver psycopg .* \.venv/bin/pip install 'psycopg\[binary\]'"
    ):
        pairing.check()


def test_a_database_that_is_down_is_a_sentence(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = OperationalError("connect", {}, ConnectionRefusedError("connection refused"))
    monkeypatch.setattr(pairing, "_read_side", lambda _connection: _raise(error))
    with pytest.raises(CannotStart, match=r"The database .*luthier\.db cannot be reached\. Start it, or"):
        pairing.check()


def _raise(error: Exception) -> None:
    raise error


def test_a_database_of_a_newer_version_is_left_as_it_is(data_dir: Path) -> None:
    pairing.open_database()
    with sqlite3.connect(data_dir / "luthier.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(CannotStart, match="made by a newer version of Luthier: it has the schema 9999"):
        pairing.open_database()
    with sqlite3.connect(data_dir / "luthier.db") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
