"""The process of an export and its heartbeat, without a model."""

import os
from pathlib import Path
from typing import Any

import pytest

from core import exports, storage
from core.exports import worker
from core.exports.making.whole import Made
from core.people.users import User
from tests.ui.things import make_export, make_model


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where the process would have ended."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    return codes


def test_a_heartbeat_never_takes_a_finished_export_for_somebody_elses(
    ada: User, exits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would end the process and remove the files of an export whose row says that it is ready."""

    def make(_order: Any, _progress: Any, draft: Path, *, token: str) -> Made:
        (draft / "merged.zip").write_text("weights")
        return Made(size_bytes=7, checks=[])

    monkeypatch.setattr(worker, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(worker, "read_order", lambda row: row)
    monkeypatch.setattr(worker, "make", make)
    model_id = make_model(ada, "support-bot")
    for target in range(30):
        export_id = make_export(ada, model_id, status="waiting", target=str(target))
        assert worker.run(export_id)
        export = exports.get_export(ada, export_id)
        assert (export.status, export.error, exits) == ("ready", None, [])
        assert (storage.export_dir(export_id) / "merged.zip").exists()
