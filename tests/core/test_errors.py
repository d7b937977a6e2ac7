"""An error that was written down as code and message becomes one of that code again, whoever reads it."""

import inspect

import pytest
from starlette.exceptions import HTTPException

from core import errors
from core.api.errors import STATUS, as_luthier_error, status_of
from core.fine_tuning.before import process
from core.ingest import queue as conversions
from core.tables import DatasetVersionRow

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
