"""A real run from rows to model: gsm8k's 7,473 worked answers
as supervised chat, packed, on this machine's CPU.

    python -m tests.bench.bench_gsm8k                 one epoch of all rows
    python -m tests.bench.bench_gsm8k --rows 500      a taste

Goes through the services and the worker, as a user's job does, in a data folder of its own. Prints rows,
tokens, the time from pressing start to the first step, steps, tokens per second, and the validation loss from
its first to its last measurement.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from core.config import ROOT, settings

GSM8K = ROOT.parent / "shared" / "data" / "gsm8k-train.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=7473)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--no-packing", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LUTHIER_DATA_DIR"] = folder
        settings.cache_clear()
        run(arguments, Path(folder))


def run(arguments: argparse.Namespace, folder: Path) -> None:
    from core import datasets, db, fine_tuning, models
    from core.fine_tuning import NewJob
    from core.people.users import Registration, register
    from core.workers.supervisor import Supervisor

    db.migrate()
    models.ensure_starter()
    user = register(
        Registration(email="bench@example.com", password="correct horse battery", name="Bench"),
        address="10.0.0.1",
    )
    dataset = make_dataset(folder, arguments.rows, user)
    base = models.list_models(user, models.ModelList()).items[0]
    supervisor = Supervisor()
    supervisor.start()
    began = time.monotonic()
    job = fine_tuning.create(
        user,
        NewJob.model_validate(
            {
                "base_model_id": base.id,
                "dataset_id": dataset.id,
                "columns": {"prompt": "question", "completion": "answer"},
                "validation_fraction": 0.02,
                "hyperparameters": {
                    "n_epochs": arguments.epochs,
                    "packing": not arguments.no_packing,
                    "evaluate_every": 20,
                },
                "seed": 1,
            }
        ),
    )
    first = None
    while (now := fine_tuning.get(user, job.id)).status in fine_tuning.ACTIVE:
        if first is None and now.step:
            first = time.monotonic() - began
            print(f"first step after {first:.1f} s", flush=True)
        time.sleep(0.25)
    report(user, now, seconds=time.monotonic() - began)
    supervisor.stop()
    assert datasets.get(user, dataset.id).id == dataset.id


def make_dataset(folder: Path, rows: int, user: Any) -> Any:
    import pandas as pd

    from core import datasets
    from core.datasets import NewDataset

    lines = GSM8K.read_text(encoding="utf-8").splitlines()[:rows]
    (folder / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return datasets.create(
        user, NewDataset(name="gsm8k"), table=pd.read_json(folder / "rows.jsonl", lines=True)
    )


def report(user: Any, job: Any, *, seconds: float) -> None:
    from core import fine_tuning

    series = fine_tuning.metrics(user, job.id, max_points=10_000).series
    valid, pace = series["valid_loss"], series["tokens_per_second"]
    told = [event.message for event in fine_tuning.events(user, job.id).items]
    print(f"{job.status} after {seconds:.0f} s")
    print("\n".join(line for line in told if "tokens" in line or "Training" in line))
    print(f"steps {job.step}, trained tokens {job.trained_tokens:,}")
    print(f"tokens per second: median {sorted(v for _, v in pace)[len(pace) // 2]:,.0f}")
    print("validation loss: " + ", ".join(f"{step}: {loss:.3f}" for step, loss in valid))
    assert valid[-1][1] < valid[0][1], "the validation loss did not fall"


if __name__ == "__main__":
    main()
