"""A run as a run of MLflow, where the package is installed
and the admin has said where to: ``LUTHIER_MLFLOW_URI``.

The address is a setting and not a field of the request: it is opened by the server, which can reach more than
its users may. Exporting a run again gives the run that is there.
"""

import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from core.config import settings
from core.errors import Conflict, Unavailable
from core.fine_tuning.run.facts import Run, plain
from core.fine_tuning.values import ACTIVE

EXPERIMENT = "luthier"
POINTS_AT_ONCE = 1000  # the most that MLflow takes in one call; of parameters and tags 100
PARAMS_AT_ONCE = 100
LONGEST_VALUE = 500
TAG = "luthier.job_id"
STATUSES = {"succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
INSTALL = "MLflow is not installed on this server. An admin installs it with: pip install mlflow-skinny"
NOWHERE = (
    "This server has no MLflow to export to. An admin sets LUTHIER_MLFLOW_URI to a tracking server or a "
    "folder."
)


class Exported(NamedTuple):
    """Where the run is. ``is_new`` False: it was exported before."""

    tracking_uri: str
    experiment_id: str
    run_id: str
    is_new: bool


def why_not() -> str | None:
    """What is missing for an export, in words for a person; None when nothing is."""
    if not settings().mlflow_uri:
        return NOWHERE
    return None if find_spec("mlflow") else INSTALL


def require_ready(run: Run) -> None:
    """Raises Conflict when MLflow is not set up, or while the run goes on."""
    if missing := why_not():
        raise Conflict(missing)
    if run.job.status in ACTIVE:
        raise Conflict("The run has not ended. Export it when it has.")


def export(run: Run, files: dict[str, bytes]) -> Exported:
    """Params, metrics, tags and ``files`` as artifacts. Raises Unavailable when MLflow does not take them."""
    import mlflow  # takes seconds, and is not there everywhere

    uri = settings().mlflow_uri
    try:
        client = mlflow.MlflowClient(tracking_uri=uri)
        experiment_id = _experiment(client)
        if known := client.search_runs(
            [experiment_id], filter_string=f"tags.`{TAG}` = '{run.job.id}'", max_results=1
        ):
            return Exported(uri, experiment_id, known[0].info.run_id, is_new=False)
        return Exported(uri, experiment_id, _write(mlflow, client, experiment_id, run, files), is_new=True)
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise Unavailable(f"MLflow at {uri} could not take the run: {str(error)[:200]}") from error


def _experiment(client: Any) -> str:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return str(
        experiment.experiment_id
        if experiment
        else client.create_experiment(EXPERIMENT, artifact_location=_artifacts())
    )


def _artifacts() -> str | None:
    """Where files go when the address is a database:
    MLflow's own choice would be the folder that the server was started in."""
    is_database = "://" in settings().mlflow_uri and not settings().mlflow_uri.startswith(("http", "file"))
    return (settings().data_dir / "mlflow").as_uri() if is_database else None


def _write(mlflow: Any, client: Any, experiment_id: str, run: Run, files: dict[str, bytes]) -> str:
    """The tag by which it is found again comes last:
    a run that broke off half way is not taken for a whole one."""
    job = run.job
    mlflow_run = client.create_run(experiment_id, start_time=_milliseconds(job.started_at), run_name=job.name)
    run_id = str(mlflow_run.info.run_id)
    params = [mlflow.entities.Param(name, value) for name, value in _params(run)]
    for part in _cut(params, PARAMS_AT_ONCE):
        client.log_batch(run_id, params=part)
    at = _milliseconds(job.finished_at) or int(time.time() * 1000)
    points = [
        mlflow.entities.Metric(n, v, at, step) for n, series in run.series.items() for step, v in series
    ]
    for part in _cut(points, POINTS_AT_ONCE):
        client.log_batch(run_id, metrics=part)
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder) / name
            path.write_bytes(content)
            client.log_artifact(run_id, str(path))
    for name, value in _tags(run):
        client.set_tag(run_id, name, value)
    client.set_terminated(run_id, STATUSES[job.status], at)
    client.set_tag(run_id, TAG, job.id)
    return run_id


def _params(run: Run) -> Iterator[tuple[str, str]]:
    values = {"method": run.job.method, "seed": run.job.seed, "base": run.base, **run.job.resolved}
    for name, value in values.items():
        if value is not None:
            yield name, str(plain(value))[:LONGEST_VALUE]


def _tags(run: Run) -> Iterator[tuple[str, str]]:
    data = run.made.get("dataset") or {}
    yield "luthier.dataset", f"{data.get('name')} v{data.get('number')}" if data else "deleted"
    yield "luthier.dataset_content_hash", str(data.get("content_hash") or "")
    yield "luthier.chat_template_sha256", str(run.made.get("chat_template_sha256") or "")
    yield "luthier.model_version_id", str(run.job.model_version_id or "")
    yield "mlflow.note.content", run.job.notes
    for tag in run.job.tags:
        yield f"tag.{tag}"[:200], "true"


def _milliseconds(moment: datetime | None) -> int | None:
    return int(moment.timestamp() * 1000) if moment else None


def _cut(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[i : i + size] for i in range(0, len(items), size))
