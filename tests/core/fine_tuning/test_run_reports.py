"""A run to take along: notebook, archive, TensorBoard, MLflow."""

import csv
import io
import json
import sys
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import nbformat
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from core import fine_tuning, storage
from core.config import settings
from core.db import writing
from core.errors import Conflict, NotFound
from core.fine_tuning import recipes
from core.fine_tuning.run import curves as run_curves
from core.people.users import User
from core.security import new_id
from core.tables import CheckpointRow, JobEventRow, JobRow, MetricPointRow, ModelRow, SampleRow

MakeJob = Callable[..., JobRow]
NASTY = "'''\"\"\"\\n{x} <b>bold</b> | `code` \n__import__('os').abort()"


@pytest.fixture
def run_id(ada: User, make_job: MakeJob) -> str:
    """A finished run with everything a report can show."""
    times = {
        "started_at": datetime(2026, 1, 2, 3, tzinfo=UTC),
        "finished_at": datetime(2026, 1, 2, 4, tzinfo=UTC),
    }
    numbers = {"step": 30, "total_steps": 30, "train_loss": 0.5, "valid_loss": 0.7, "spent_seconds": 3600.0}
    resolved = {"n_epochs": 10, "batch_size": 4, "tuning": "full"}
    job = make_job(
        ada, status="succeeded", name="my <run>", notes=NASTY, resolved=resolved, **numbers, **times
    )
    with writing() as session:
        for step in range(1, 31):
            session.add(MetricPointRow(job_id=job.id, name="train_loss", step=step, value=3 / step))
            if step % 10 == 0:
                session.add(MetricPointRow(job_id=job.id, name="valid_loss", step=step, value=4 / step))
        session.add(
            SampleRow(
                job_id=job.id,
                step=10,
                kind="fixed",
                position=0,
                prompt=NASTY,
                answer="It is Paris.",
                loss=None,
            )
        )
        session.add(JobEventRow(job_id=job.id, message="Created, with a comma", data={"a": 1}))
        session.add(
            CheckpointRow(
                id=new_id("ckpt"), job_id=job.id, step=30, metrics={"valid_loss": 0.7}, size_bytes=5
            )
        )
    folder = storage.job_dir(job.id)
    (folder / "tensorboard").mkdir(parents=True)
    (folder / "tensorboard" / "events.out.tfevents.1").write_bytes(b"events")
    (folder / "log.txt").write_text("a line of the log\n")
    rows = {
        "line": [3, 7],
        "loss": [1.5, 2.5],
        "first": [3.0, float("nan")],
        "tokens": [5, 6],
        "step": [30, 30],
    }
    parquet.write_table(pa.table(rows), folder / "rows-train.parquet")
    return job.id


def notebook_of(ada: User, run_id: str) -> Any:
    made = fine_tuning.open_report(ada, run_id, "ipynb", address="http://box:8501")
    assert made.filename.endswith(".ipynb")
    return nbformat.reads(made.content.decode(), as_version=4)


def execute(book: Any) -> dict[str, Any]:
    """Every code cell in order, as a kernel would."""
    names: dict[str, Any] = {}
    for cell in book.cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, cell.id, "exec"), names)
    return names


def test_the_notebook_is_valid_and_its_cells_run(ada: User, run_id: str) -> None:
    book = notebook_of(ada, run_id)
    nbformat.validate(book)
    names = execute(book)
    assert list(names["curves"].columns) == ["train_loss", "valid_loss"]
    assert names["curves"]["train_loss"][30] == pytest.approx(0.1)
    assert names["curves"]["valid_loss"].notna().sum() == 3
    assert names["run"]["resolved"]["n_epochs"] == 10
    assert names["samples"]["answer"][0] == "It is Paris."
    assert list(names["hardest"]["line"]) == [7, 3]
    assert names["hardest"]["text"][0].startswith("user: Capital number 6?")


def test_curves_are_seen_without_running(ada: User, run_id: str) -> None:
    pictures = [
        output.data["image/svg+xml"]
        for cell in notebook_of(ada, run_id).cells
        for output in cell.get("outputs", [])
        if "image/svg+xml" in output.get("data", {})
    ]
    assert len(pictures) == 1  # only the losses were measured
    drawn = ElementTree.fromstring(pictures[0])
    lines = [element for element in drawn if element.tag.endswith("polyline")]
    assert [len(line.attrib["points"].split()) for line in lines] == [30, 3]
    assert "validation loss" in "".join(drawn.itertext())


def test_texts_of_users_stay_text(ada: User, run_id: str) -> None:
    book = notebook_of(ada, run_id)
    assert execute(book)["samples"]["prompt"][0] == NASTY
    html = "".join(
        output.data.get("text/html", "") for cell in book.cells for output in cell.get("outputs", [])
    )
    assert "<b>bold" not in html
    assert "&lt;b&gt;bold" in html
    first = book.cells[0].source
    assert "my \\<run\\>" in first
    assert "\\<b\\>" in first


def test_the_notebook_says_how_to_repeat_the_run(ada: User, run_id: str) -> None:
    text = "\n".join(cell.source for cell in notebook_of(ada, run_id).cells if cell.cell_type == "markdown")
    assert f"python -m core rerun {run_id}" in text
    assert "curl http://box:8501/api/finetune" in text
    body = json.loads(text.split("`body.json`:")[1].split("json\n", 1)[1].rsplit("```", 1)[0].rstrip("`\n"))
    assert body["hyperparameters"]["n_epochs"] == 10


def test_a_run_whose_base_is_gone_opens_all_the_same(ada: User, run_id: str, base_model: ModelRow) -> None:
    with writing() as session:
        job = session.get_one(JobRow, run_id)
        job.base_model_id = job.base_version_id = job.dataset_id = job.dataset_version_id = None
    book = notebook_of(ada, run_id)
    execute(book)
    assert "cannot be repeated" in "\n".join(cell.source for cell in book.cells)
    assert "recipe.yaml" not in names_in(ada, run_id)


def test_a_run_that_has_only_begun_opens(ada: User, make_job: MakeJob) -> None:
    book = notebook_of(ada, make_job(ada).id)
    execute(book)
    assert "Nothing was measured yet" in "\n".join(cell.source for cell in book.cells)


def names_in(ada: User, run_id: str) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(fine_tuning.open_report(ada, run_id, "zip").content)) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def test_the_archive_holds_everything_in_plain_files(ada: User, run_id: str) -> None:
    files = names_in(ada, run_id)
    assert set(files) == {
        *(
            "README.txt",
            "run.yaml",
            "recipe.yaml",
            "metrics.csv",
            "samples.jsonl",
            "hardest.jsonl",
            "events.csv",
            "log.txt",
        )
    }
    told = yaml.safe_load(files["run.yaml"])
    assert (told["id"], told["notes"], told["cost"]["device_hours"]) == (run_id, NASTY, 1.0)
    assert told["dataset"]["rows"] == 12
    assert told["checkpoints"][0]["step"] == 30
    curves = pd.read_csv(io.BytesIO(files["metrics.csv"]), index_col="step")
    assert curves.shape == (30, 2)
    assert json.loads(files["samples.jsonl"].splitlines()[0])["prompt"] == NASTY
    events = list(csv.DictReader(io.StringIO(files["events.csv"].decode())))
    assert events[0]["message"] == "Created, with a comma"
    assert files["log.txt"] == b"a line of the log\n"


def test_the_recipe_in_the_archive_is_the_request(ada: User, run_id: str) -> None:
    read = recipes.from_yaml(names_in(ada, run_id)["recipe.yaml"].decode())
    job = fine_tuning.get(ada, run_id)
    assert (read.base_model_id, read.seed, read.hyperparameters.n_epochs) == (job.base_model_id, job.seed, 10)


def test_tensorboards_files_come_as_they_are(ada: User, run_id: str, make_job: MakeJob) -> None:
    assert fine_tuning.has_tensorboard(ada, run_id)
    with zipfile.ZipFile(io.BytesIO(fine_tuning.open_report(ada, run_id, "tensorboard").content)) as archive:
        assert [archive.read(name) for name in archive.namelist()] == [b"events"]
    other = make_job(ada).id
    assert not fine_tuning.has_tensorboard(ada, other)
    with pytest.raises(NotFound, match="no events"):
        fine_tuning.open_report(ada, other, "tensorboard")


@pytest.mark.parametrize("form", ["ipynb", "zip", "tensorboard"])
def test_another_users_run_does_not_exist(bob: User, run_id: str, form: Any) -> None:
    with pytest.raises(NotFound):
        fine_tuning.open_report(bob, run_id, form)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 0), (1, 1), (-5, 5), (0.001, 0.0011), (1, 100_000), (1e-9, 1e9)]
)
def test_axes_hold_all_values_at_round_numbers(low: float, high: float) -> None:
    first, end, step = run_curves._nice(low, high)
    assert first <= low <= high <= end
    assert 2 <= (end - first) / step <= 12


class FakeClient:
    """Keeps what it is told, with the limits that MLflow has."""

    runs: list[dict[str, Any]] = []

    def __init__(self, tracking_uri: str) -> None:
        self.uri = tracking_uri

    def get_experiment_by_name(self, name: str) -> Any:
        return None

    def create_experiment(self, name: str, artifact_location: str | None) -> str:
        assert artifact_location is None
        return "7"

    def search_runs(self, experiment_ids: list[str], filter_string: str, max_results: int) -> list[Any]:
        job_id = filter_string.split("'")[1]
        return [run["run"] for run in self.runs if run["tags"].get("luthier.job_id") == job_id]

    def create_run(self, experiment_id: str, start_time: int, run_name: str) -> Any:
        run = SimpleNamespace(info=SimpleNamespace(run_id=f"run{len(self.runs)}"))
        self.runs.append(
            {
                "run": run,
                "name": run_name,
                "start": start_time,
                "metrics": [],
                "params": {},
                "tags": {},
                "files": {},
            }
        )
        return run

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = ()) -> None:
        assert len(metrics) <= 1000
        assert len(params) <= 100
        self.runs[-1]["metrics"] += metrics
        self.runs[-1]["params"] |= dict(params)

    def log_artifact(self, run_id: str, path: str) -> None:
        self.runs[-1]["files"][Path(path).name] = Path(path).read_bytes()

    def set_tag(self, run_id: str, name: str, value: str) -> None:
        self.runs[-1]["tags"][name] = value

    def set_terminated(self, run_id: str, status: str, end_time: int) -> None:
        self.runs[-1] |= {"status": status, "end": end_time}


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> type[FakeClient]:
    """A module of that name where MLflow would be, and a server to export to."""
    module = ModuleType("mlflow")
    module.__spec__ = ModuleSpec("mlflow", None)
    entities = SimpleNamespace(Metric=lambda *values: values, Param=lambda *pair: pair)
    exceptions = SimpleNamespace(MlflowException=type("MlflowException", (Exception,), {}))
    vars(module).update(MlflowClient=FakeClient, entities=entities, exceptions=exceptions)
    FakeClient.runs = []
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setenv("LUTHIER_MLFLOW_URI", "http://mlflow.example")
    settings.cache_clear()
    return FakeClient


def test_a_run_goes_to_mlflow_once(ada: User, run_id: str, mlflow: type[FakeClient]) -> None:
    assert fine_tuning.why_no_mlflow() is None
    first = fine_tuning.export_to_mlflow(ada, run_id)
    assert (first.tracking_uri, first.experiment_id, first.run_id, first.is_new) == (
        "http://mlflow.example",
        "7",
        "run0",
        True,
    )
    again = fine_tuning.export_to_mlflow(ada, run_id)
    assert (again.run_id, again.is_new) == ("run0", False)
    (run,) = mlflow.runs
    assert (run["name"], run["status"], run["end"] - run["start"]) == ("my <run>", "FINISHED", 3_600_000)
    assert run["params"]["n_epochs"] == "10"
    assert len([m for m in run["metrics"] if m[0] == "train_loss"]) == 30
    assert run["metrics"][0] == ("train_loss", 3.0, run["end"], 1)
    assert run["tags"]["luthier.dataset"] == "faq v1"
    assert {"run.yaml", "recipe.yaml", "run.ipynb", "metrics.csv"} <= set(run["files"])


def test_a_run_that_goes_on_is_not_exported(ada: User, mlflow: type[FakeClient], make_job: MakeJob) -> None:
    with pytest.raises(Conflict, match="has not ended"):
        fine_tuning.export_to_mlflow(ada, make_job(ada).id)
    assert mlflow.runs == []


def test_without_a_server_or_without_the_package_it_says_how(
    ada: User, run_id: str, mlflow: type[FakeClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(Conflict, match="pip install mlflow-skinny"):
        fine_tuning.export_to_mlflow(ada, run_id)
    monkeypatch.delenv("LUTHIER_MLFLOW_URI")
    settings.cache_clear()
    with pytest.raises(Conflict, match="LUTHIER_MLFLOW_URI"):
        fine_tuning.export_to_mlflow(ada, run_id)


def test_another_users_run_is_not_exported(bob: User, run_id: str, mlflow: type[FakeClient]) -> None:
    with pytest.raises(NotFound):
        fine_tuning.export_to_mlflow(bob, run_id)


def test_the_real_mlflow_takes_it_where_it_is_installed(
    ada: User, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pytest.importorskip("mlflow")
    monkeypatch.setenv("LUTHIER_MLFLOW_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    settings.cache_clear()
    made = fine_tuning.export_to_mlflow(ada, run_id)
    client = real.MlflowClient(tracking_uri=made.tracking_uri)
    found = client.get_run(made.run_id)
    assert "run.yaml" in [file.path for file in client.list_artifacts(made.run_id)]
    assert found.info.artifact_uri.startswith(settings().data_dir.as_uri())
    assert found.data.params["n_epochs"] == "10"
    assert found.data.tags["luthier.job_id"] == run_id
    assert not fine_tuning.export_to_mlflow(ada, run_id).is_new
