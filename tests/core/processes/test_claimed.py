"""A child's work and a database that is away meanwhile."""

from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from core import datasets, storage
from core.ingest import converter
from core.people.users import User
from core.processes import claimed
from core.reports import computing
from core.tables import VersionReportRow
from tests.absence import Absence, absence
from tests.core.datasets.version_of_sql import make
from tests.core.uploads.shared import in_process, upload

__all__ = ["absence", "in_process"]


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("name", ["convert", "_profile"])
def test_a_conversion_waits_for_the_database(
    ada: User, absence: Absence, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    absence.after(monkeypatch, converter, name, times=6)
    dataset = upload(ada, "faq.csv", "a,b\n1,2\n")
    assert (dataset.status, dataset.num_rows, absence.left) == ("ready", 1, 0)
    assert storage.parquet_path(str(dataset.latest_version_id)).exists()


def test_a_report_waits_for_the_database(
    ada: User, absence: Absence, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = make(ada, "SELECT 1 AS n")
    datasets.quality(ada, version.id)
    with claimed.writing() as session:
        session.merge(VersionReportRow(version_id=version.id, kind="quality"))
    absence.after(monkeypatch, computing, "_clean", times=6)
    assert computing.run(version.id, "quality")
    assert (datasets.quality(ada, version.id).status, absence.left) == ("ready", 0)


def test_what_may_be_written_already_is_not_written_again() -> None:
    """The database breaks off in the commit: a second try would take the settled row for somebody else's."""
    tries: list[int] = []

    class Breaking:
        def __enter__(self) -> Any:
            return None

        def __exit__(self, *_: object) -> None:
            raise OperationalError("COMMIT", {}, ConnectionResetError("connection reset"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claimed, "writing", Breaking)
        with pytest.raises(RuntimeError, match="broke off"):
            claimed.write_end(lambda _session: tries.append(1))
    assert tries == [1]
