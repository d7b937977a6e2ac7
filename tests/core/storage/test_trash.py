"""What no row names is kept in the trash: moved, not deleted,
for as long as the admin says, and it comes back."""

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from core import datasets, storage, uploads
from core.clock import now
from core.config import settings
from core.datasets import NewDataset
from core.ingest import queue as conversions
from core.people.users import User
from core.security import new_id
from core.storage import trash
from core.uploads import NewUpload


def make(kind: str, name: str, content: str = "rows") -> Path:
    folder = settings().data_dir / kind / name
    folder.mkdir(parents=True)
    (folder / "file").write_text(content)
    return folder


def test_what_is_known_stays_and_the_rest_is_moved() -> None:
    known, stray = new_id("dsv"), new_id("dsv")
    kept, gone = make("datasets", known), make("datasets", stray)
    assert trash.sweep("datasets", {known}) == [stray]
    assert kept.is_dir()
    assert not gone.exists()
    (one,) = trash.list_all()
    assert (one.kind, one.name, one.noun, one.size_bytes) == ("datasets", stray, "dataset version", 4)
    assert (one.path / "file").read_text() == "rows"


@pytest.mark.parametrize(
    "name",
    ["lost+found", "README.txt", ".snapshot", "dsv_", "mdv_aaaaaaaaaaaaaaaaaaaaaaaa", "notes.tmp", ".x.tmp"],
)
def test_what_we_did_not_name_is_not_touched(name: str) -> None:
    foreign = make("datasets", name)
    assert trash.sweep("datasets", set()) == []
    assert (foreign / "file").read_text() == "rows"


def test_only_scratch_leaves_the_staging_folder(ada: User) -> None:
    left = [storage.staging_dir() / name for name in ("in-abc", "sql-abc", "work-abc", "tmpabc", "spill")]
    foreign = storage.staging_dir() / "notes of the admin"
    for path in (*left, foreign):
        path.write_text("x")
    conversions.recover()
    assert list(storage.staging_dir().iterdir()) == [foreign]


def test_drafts_of_dead_processes_are_removed_at_once() -> None:
    draft, half_deleted = (make("models", f".{new_id('mdv')}.aB_-1234.{end}") for end in ("tmp", "gone"))
    assert trash.sweep("models", set()) == []
    assert not draft.exists()
    assert not half_deleted.exists()
    assert trash.list_all() == []


def test_what_is_fresh_may_belong_to_a_living_process() -> None:
    fresh = make("models", new_id("mdv"))
    assert trash.sweep("models", set(), older_than_seconds=3600) == []
    assert fresh.is_dir()


def test_it_stays_for_the_days_that_the_admin_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_TRASH_DAYS", "3")
    settings.cache_clear()
    stray = new_id("ftj")
    make("jobs", stray)
    trash.sweep("jobs", set())
    assert trash.remove_expired(now() + timedelta(days=2, hours=23)) == []
    (gone,) = trash.remove_expired(now() + timedelta(days=3, seconds=1))
    assert gone.name == stray
    assert trash.list_all() == []
    assert not list((settings().data_dir / "trash").rglob("file"))


def test_what_a_row_names_again_comes_back_and_takes_no_place_that_is_taken() -> None:
    lost, taken = new_id("exp"), new_id("exp")
    make("exports", lost, "first"), make("exports", taken, "old")
    trash.sweep("exports", set())
    make("exports", taken, "new")
    assert trash.sweep("exports", {lost, taken}) == []
    assert (storage.export_dir(lost) / "file").read_text() == "first"
    assert (storage.export_dir(taken) / "file").read_text() == "new"
    assert [one.name for one in trash.list_all()] == [taken]


def test_the_newest_of_several_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    name = new_id("dsv")
    for days, content in ((2, "older"), (1, "newer")):
        moment = now() - timedelta(days=days)
        monkeypatch.setattr(trash, "now", lambda moment=moment: moment)
        make("datasets", name, content)
        trash.sweep("datasets", set())
    trash.put_back("datasets", {name})
    assert (storage.version_dir(name) / "file").read_text() == "newer"


def test_a_folder_that_cannot_be_moved_stays_where_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stray = make("datasets", new_id("dsv"))
    (settings().data_dir / "trash").write_text("in the way")
    assert trash.sweep("datasets", set()) == []
    assert (stray / "file").read_text() == "rows"
    assert "could not be moved to the trash" in caplog.text


def test_deleting_a_dataset_takes_the_uploads_that_were_meant_for_it(ada: User) -> None:
    """They are deleted by somebody, so they do not lie in the trash for weeks."""
    made = datasets.create(ada, NewDataset(name="n"), table=pa.table({"a": [1]}))
    upload = uploads.begin(
        ada, NewUpload(filename="next.csv", size_bytes=4, dataset_id=made.id), source="api"
    )
    uploads.append(ada, upload.id, offset=0, chunk=b"a\n1\n")
    assert storage.upload_path(upload.id).exists()
    datasets.delete(ada, made.id)
    assert not storage.upload_path(upload.id).exists()
    uploads.recover()
    assert trash.list_all() == []
