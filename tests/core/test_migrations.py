"""A database of an earlier version of Luthier keeps what people had when it becomes one of this."""

import json
import sqlite3
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config

from core.config import ROOT
from core.people import api_keys
from core.people.api_keys import SCOPES, NewKey
from core.people.users import User

MOMENT = "2026-11-01 00:00:00"
READY = {"run": "r", "status": "ready", "columns": None, "heard_at": MOMENT, "loss": 0.5, "dataset": "faq v1"}
RUNNING = {
    "run": "r",
    "status": "running",
    "progress": 0.4,
    "columns": {"a": "b"},
    "dataset": "faq v1",
    "rows": "all",
}


def test_open_evaluations_become_rows_and_results_stay_metrics(data_dir: Path) -> None:
    database = data_dir / "luthier.db"
    config = Config(ROOT / "alembic.ini")
    command.downgrade(config, "0003")
    with sqlite3.connect(database) as connection:
        for name, evaluation in (("done", READY), ("open", RUNNING), ("none", None)):
            metrics: dict[str, Any] = {"valid_loss": 1.0} | ({"evaluation": evaluation} if evaluation else {})
            _insert(connection, f"ckpt_{name}", metrics)
    command.upgrade(config, "head")
    with sqlite3.connect(database) as connection:
        kept = {
            id: json.loads(metrics)
            for id, metrics in connection.execute("SELECT id, metrics FROM checkpoints")
        }
        found = connection.execute(
            "SELECT checkpoint_id, status, progress, asked FROM evaluations"
        ).fetchall()
    assert kept == {
        "ckpt_done": {"valid_loss": 1.0, "evaluation": {"status": "ready", "loss": 0.5, "dataset": "faq v1"}},
        "ckpt_open": {"valid_loss": 1.0},
        "ckpt_none": {"valid_loss": 1.0},
    }
    ((checkpoint, status, progress, asked),) = found
    assert (checkpoint, status, progress) == ("ckpt_open", "failed", 0.4)  # who was at it is gone
    assert json.loads(asked)["columns"] == {"a": "b"}


def test_keys_from_before_reach_v1_and_nothing_else(data_dir: Path, ada: User) -> None:
    database = data_dir / "luthier.db"
    config = Config(ROOT / "alembic.ini")
    made = {name: api_keys.create(ada, NewKey(name=name)) for name in ("old", "new")}
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM api_keys WHERE name = 'new'")
    command.downgrade(config, "0005")
    command.upgrade(config, "head")
    made["new"] = api_keys.create(ada, NewKey(name="new"))
    reach = {name: api_keys.identify(secret).reaches_api for name, (_, secret) in made.items()}
    assert reach == {"old": False, "new": True}
    assert api_keys.identify(made["old"][1]).scopes == set(SCOPES)  # on /v1 they stay what they were


def _insert(connection: sqlite3.Connection, id: str, metrics: dict[str, Any]) -> None:
    columns = {"id": id, "job_id": "job", "step": len(id), "metrics": json.dumps(metrics), "size_bytes": 0}
    columns |= {"created_at": MOMENT, "step": hash(id) % 10**6}
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    connection.execute(f"INSERT INTO checkpoints ({names}) VALUES ({marks})", list(columns.values()))
