"""A run to take along: as a notebook, as plain files, as TensorBoard's events, or into MLflow.

``open_report`` makes the file in memory: a run's numbers are small, and a log is cut to its end.
"""

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from core import storage
from core.errors import NotFound
from core.fine_tuning.following import get
from core.fine_tuning.run import curves, mlflow, notebook
from core.fine_tuning.run.facts import Run, gather, plain, summary
from core.fine_tuning.run.mlflow import Exported
from core.people.users import User

Form = Literal["ipynb", "zip", "tensorboard"]
LOG_BYTES = 20 * 2**20
ADDRESS = "http://localhost:8501"  # where nobody knows the server by another
READ_ME = """The run {name} ({id}) of Luthier.

run.yaml       what is known about it: settings as asked and as run, data, environment, hardware, results,
               checkpoints
recipe.yaml    the request alone: load it in the form, or run it with
               python -m core fine-tune --recipe recipe.yaml
metrics.csv    every measured value, one line per step, one column per series
samples.jsonl  what the model answered while it was trained
hardest.jsonl  the rows with the highest loss
events.csv     what happened, oldest first
log.txt        the log, up to its last {megabytes} MB
"""


@dataclass(frozen=True)
class RunFile:
    """A file to save."""

    filename: str
    media_type: str
    content: bytes


def open_report(user: User, job_id: str, form: Form, *, address: str = ADDRESS) -> RunFile:
    """Raises NotFound, also where a run has no events for TensorBoard.

    ``address``: of this server, for commands that call it.
    """
    run = gather(user, job_id)
    name = _file_name(run)
    if form == "ipynb":
        return RunFile(f"{name}.ipynb", "application/x-ipynb+json", notebook.build(run, address=address))
    if form == "tensorboard":
        return RunFile(f"{name}-tensorboard.zip", "application/zip", _tensorboard(run))
    return RunFile(f"{name}.zip", "application/zip", _archive(run))


def export_to_mlflow(user: User, job_id: str) -> Exported:
    """Write the run into the server's MLflow, once.

    Raises NotFound, Conflict (not set up, not ended), Unavailable.
    """
    run = gather(user, job_id)
    mlflow.require_ready(run)
    return mlflow.export(run, _texts(run) | {"run.ipynb": notebook.build(run, address=ADDRESS)})


def why_no_mlflow() -> str | None:
    """What is missing for an export to MLflow, in words for a person; None when nothing is."""
    return mlflow.why_not()


def has_tensorboard(user: User, job_id: str) -> bool:
    """Whether there is something for TensorBoard. Raises NotFound."""
    return any(_event_files(storage.job_dir(get(user, job_id).id)))


def _archive(run: Run) -> bytes:
    read_me = READ_ME.format(name=run.job.name, id=run.job.id, megabytes=LOG_BYTES // 2**20)
    files = {"README.txt": read_me.encode(), **_texts(run)}
    files["log.txt"] = _log(run)
    return _zipped((f"{_file_name(run)}/{name}", content) for name, content in files.items())


def _texts(run: Run) -> dict[str, bytes]:
    files = {"run.yaml": yaml.safe_dump(summary(run), allow_unicode=True, sort_keys=False, width=120)}
    if run.recipe is not None:
        files["recipe.yaml"] = run.recipe
    files |= {
        "metrics.csv": curves.wide_csv(run.series),
        "samples.jsonl": _lines(run.samples),
        "hardest.jsonl": _lines(run.hardest),
        "events.csv": _events(run),
    }
    return {name: text.encode() for name, text in files.items()}


def _tensorboard(run: Run) -> bytes:
    files = list(_event_files(run.folder))
    if not files:
        raise NotFound("This run has no events for TensorBoard.")
    return _zipped((f"{_file_name(run)}/{path.name}", path.read_bytes()) for path in files)


def _event_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted((folder / "tensorboard").glob("*")) if path.is_file())


def _log(run: Run) -> bytes:
    path = run.folder / "log.txt"
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - LOG_BYTES))
        return file.read()


def _events(run: Run) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["created_at", "level", "message", "data"])
    for event in run.events:
        data = json.dumps(plain(event.data), ensure_ascii=False)
        writer.writerow([event.created_at.isoformat(), event.level, event.message, data])
    return out.getvalue()


def _lines(rows: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in rows)


def _zipped(files: Iterable[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return out.getvalue()


def _file_name(run: Run) -> str:
    """The run's name as far as every system takes it, and enough of its id to tell two runs apart."""
    kept = "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in run.job.name).strip("-.")
    return f"{kept or 'run'}-{run.job.id[-6:]}"
