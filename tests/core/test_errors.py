"""An error that was written down as code and message becomes one of that code again, whoever reads it."""

import errno
import inspect
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet
from starlette.exceptions import HTTPException

from core import datasets, errors, storage
from core.api.errors import STATUS, as_luthier_error, status_of
from core.datasets import scratch
from core.datasets.editing import Edits
from core.fields import parse
from core.fine_tuning.before import process
from core.ingest import queue as conversions
from core.people.users import User
from core.query import SavedQuery
from core.sql_sandbox.explain import explain
from core.tables import DatasetVersionRow
from core.workers import worker

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.LuthierError) and kind is not errors.LuthierError
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_code_becomes_an_error_of_that_code_and_status_again(kind: type[errors.LuthierError]) -> None:
    found = errors.class_of(kind.code)
    assert found is not None
    assert issubclass(kind, found)
    error = found("what was said")
    assert (error.code, error.message) == (kind.code, "what was said")
    assert status_of(error) == STATUS[kind.code]


def test_an_unknown_code_has_no_class() -> None:
    assert errors.class_of("nothing_like_it") is None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_who_reads_a_childs_error_raises_one_of_its_code(kind: type[errors.LuthierError]) -> None:
    """What a preview and a converter say, by the way each of them is read."""
    assert process._as_error({"code": kind.code, "message": "no"}).code == kind.code
    row = DatasetVersionRow(errors=[{"line": None, "message": "no", "summary": "no", "code": kind.code}])
    assert conversions.error_of(row).code == kind.code


def test_what_training_code_calls_by_its_own_codes_is_a_conflict() -> None:
    found = process._as_error({"code": "invalid_training_file", "message": "None of the rows fits."})
    assert (type(found), found.message) == (errors.Conflict, "None of the rows fits.")


@pytest.mark.parametrize("status", sorted(set(STATUS.values())))
def test_frameworks_errors_keep_their_status(status: int) -> None:
    assert status_of(as_luthier_error(HTTPException(status))) == status


def test_a_status_without_a_code_is_ours_to_answer_for() -> None:
    assert status_of(as_luthier_error(HTTPException(418))) == 500


FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    duckdb.IOException('Could not write file "x": No space left on device'),
    duckdb.IOException("Could not write all bytes: Disk quota exceeded"),
    RuntimeError("(sqlite3.OperationalError) database or disk is full"),
]


@pytest.mark.parametrize("error", FULL, ids=str)
def test_a_full_disk_is_seen_by_everybody_alike(error: Exception) -> None:
    """A used-up quota was an internal error to datasets; trainings knew only the numbers of Linux."""
    assert errors.is_full_disk(error)
    assert isinstance(as_luthier_error(error), errors.DiskFull)
    assert worker._is_about_space(error)
    if not isinstance(error, RuntimeError):  # the metadata's, which these two never meet
        assert explain(error).kind == "disk"
    if isinstance(error, duckdb.IOException):
        with pytest.raises(errors.DiskFull), scratch._translated(1, []):
            raise error


OTHERS = [OSError(errno.EACCES, "Permission denied"), duckdb.IOException("gone"), ValueError()]


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_other_errors_are_not_a_full_disk(error: Exception) -> None:
    assert not errors.is_full_disk(error)
    assert not isinstance(as_luthier_error(error), errors.DiskFull)


def test_a_note_has_one_length_everywhere(ada: User, make_version: Callable[..., DatasetVersionRow]) -> None:
    """Said in an input model, checked for a file, or asked for with a query."""
    for model, given in ((SavedQuery, {"sql": "SELECT 1"}), (Edits, {})):
        assert parse(model, **given, note="x" * 500).note
        with pytest.raises(errors.ValidationError, match="note: at most 500 characters"):
            parse(model, **given, note="x" * 501)
    with pytest.raises(errors.ValidationError, match="note: at most 500 characters"):
        datasets.create_from_table(ada, parquet=a_table(), name="x", note="x" * 501)


def a_table() -> Path:
    path = storage.new_staging_path()
    parquet.write_table(pa.table({"n": [1]}), path)
    return path
