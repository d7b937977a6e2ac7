"""A run as a Jupyter notebook: configuration, curves, samples, hardest rows, and how to repeat it.

It stands alone: the numbers are inside, the curves are drawn already, and cells that need only pandas (and
matplotlib to draw) draw them anew. Texts of users go in as data, never as code or as markup.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import yaml

from core.fine_tuning.run import curves
from core.fine_tuning.run.facts import Run, plain, summary

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
MAX_POINTS = 2000  # of each series inside a notebook; the archive has all
MAX_SAMPLES = 200
Cell = dict[str, Any]
PLOTS = (
    ("Loss", ("train_loss", "valid_loss")),
    ("Learning rate", ("learning_rate",)),
    ("Gradient norm", ("grad_norm",)),
    ("Tokens per second", ("tokens_per_second",)),
)
LABELS = {"train_loss": "training loss", "valid_loss": "validation loss"}
READ = """import io

import pandas as pd

CSV = {csv!r}
curves = pd.read_csv(io.StringIO(CSV), index_col="step")
curves.describe()"""
DRAW = """columns = [name for name in {names!r} if name in curves]
try:
    curves[columns].interpolate().plot(title={title!r}, xlabel="step", figsize=(9, 3.5), grid=True)
except ImportError:
    print("pandas draws with matplotlib: pip install matplotlib")"""


def build(run: Run, *, address: str) -> bytes:
    """The notebook as it is saved, valid and with outputs.

    ``address``: of this server, for the commands that repeat the run.
    """
    import nbformat  # takes 0.2 s, which no start of the server should wait for

    cells = [
        *_about(run),
        *_configuration(run),
        *_curves(run),
        *_samples(run),
        *_hardest(run),
        *_repeat(run, address),
    ]
    numbered = [{**cell, "id": f"cell-{number}"} for number, cell in enumerate(cells)]
    about = {"language_info": {"name": "python"}, "kernelspec": KERNEL}
    book = nbformat.from_dict({"nbformat": 4, "nbformat_minor": 5, "metadata": about, "cells": numbered})
    nbformat.validate(book)
    return nbformat.writes(book).encode()


def _about(run: Run) -> Iterator[Cell]:
    job, data = run.job, run.made.get("dataset") or {}
    facts = {
        "Status": job.status,
        "Base": run.base,
        "Data": f"{data['name']} v{data['number']}, {data['rows']:,} rows" if data else "a deleted dataset",
        "Method": job.method,
        "Steps": f"{job.step:,} of {job.total_steps:,}",
        "Training loss": _loss(job.train_loss),
        "Validation loss": _loss(job.valid_loss),
        "Device hours": run.made["cost"]["device_hours"],
        "Cost": run.made["cost"]["total"] or None,
        "Started": plain(job.started_at),
        "Ended": plain(job.finished_at),
    }
    rows = "\n".join(
        f"| {name} | {_cell(value)} |" for name, value in facts.items() if value not in (None, "")
    )
    notes = f"\n\n> {_cell(job.notes)}" if job.notes else ""
    yield _markdown(
        f"# {_cell(job.name)}\n"
        f"\n"
        f"A fine-tuning run of Luthier (`{job.id}`).{notes}\n"
        f"\n"
        f"| | |\n"
        f"|---|---|\n"
        f"{rows}"
    )


def _configuration(run: Run) -> Iterator[Cell]:
    text = yaml.safe_dump(summary(run), allow_unicode=True, sort_keys=False, width=120)
    yield _markdown(
        "## Configuration\n"
        "\n"
        "Everything that is known about the run: settings as asked and as run, data, environment."
    )
    yield _code(f'import json\n\nrun = json.loads({_literal(summary(run))})\nrun["resolved"]', _as_text(text))


def _curves(run: Run) -> Iterator[Cell]:
    if not run.series:
        yield _markdown("## Curves\n\nNothing was measured yet.")
        return
    thin = curves.thinned(run.series, MAX_POINTS)
    text = curves.wide_csv(thin)
    is_thinned = any(len(points) < len(run.series[name]) for name, points in thin.items())
    thinned = f" Each series is thinned to {MAX_POINTS:,} points that keep its peaks; the archive has all."
    note = thinned if is_thinned else ""
    yield _markdown(f"## Curves\n\nAs CSV in wide form, one line per step.{note}")
    steps = text.count("\n") - 1
    caption = f"{steps:,} steps, {len(thin)} series: {', '.join(thin)}"
    yield _code(READ.format(csv=text), _as_text(caption))
    for title, names in PLOTS:
        shown = {name: run.series[name] for name in names if run.series.get(name)}
        if shown:
            picture = curves.svg(title, shown, LABELS)
            data = {"image/svg+xml": picture, "text/plain": f"{title}: {', '.join(shown)}"}
            output: Cell = {"output_type": "display_data", "metadata": {}, "data": data}
            yield _code(DRAW.format(names=list(names), title=title), output)


def _samples(run: Run) -> Iterator[Cell]:
    if not run.samples:
        return
    shown = run.samples[-MAX_SAMPLES:]
    yield _markdown("## Samples\n\nWhat the model answered while it was trained, greedily.")
    yield _table("samples", shown, ("step", "kind", "prompt", "expected", "answer", "loss"))


def _hardest(run: Run) -> Iterator[Cell]:
    if not run.hardest:
        return
    split = "validation" if run.hardest[0]["split"] == "validation" else "training"
    yield _markdown(
        f"## Hardest rows\n\nThe {split} rows with the highest loss at the last look. Lines count from 1."
    )
    yield _table("hardest", run.hardest, ("line", "loss", "first_loss", "tokens", "text"))


def _repeat(run: Run, address: str) -> Iterator[Cell]:
    yield _markdown("## Repeat it")
    if run.recipe is None:
        yield _markdown("The base or the data of this run was deleted, so it cannot be repeated as it was.")
        return
    body = json.dumps(yaml.safe_load(run.recipe), indent=2, ensure_ascii=False)
    by_cli = f"python -m core fine-tune --recipe recipe.yaml --watch\npython -m core rerun {run.job.id}"
    by_api = f"""curl {address}/api/finetune \\
  -H "Authorization: Bearer $LUTHIER_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d @body.json"""
    yield _markdown(
        "On the server, with the recipe below saved as `recipe.yaml`, or by the run's id:\n\n"
        f"{_fenced(by_cli, 'bash')}\n\n{_fenced(run.recipe, 'yaml')}"
    )
    yield _markdown(
        "Over the API, with an API key that has the scope fine-tuning, in the environment variable "
        f"`LUTHIER_API_KEY`:\n\n{_fenced(by_api, 'bash')}\n\n"
        f"`body.json`:\n\n{_fenced(body, 'json')}"
    )


def _table(name: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Cell:
    """A cell that makes a DataFrame of the rows, and how it looks."""
    chosen = [{column: row.get(column) for column in columns} for row in rows]
    head = "".join(f"<th>{escape(column.replace('_', ' '))}</th>" for column in columns)
    lines = "".join(
        "<tr>" + "".join(f"<td>{_html(row[column])}</td>" for column in columns) + "</tr>" for row in chosen
    )
    drawn = f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
    output = {"text/html": drawn, "text/plain": f"{len(chosen)} rows"}
    source = (
        f"import json\n\nimport pandas as pd\n\n{name} = pd.DataFrame(json.loads({_literal(chosen)}))\n{name}"
    )
    return _code(source, _result(output))


def _markdown(text: str) -> Cell:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _code(source: str, output: Cell) -> Cell:
    return {"cell_type": "code", "metadata": {}, "source": source, "outputs": [output], "execution_count": 1}


def _result(data: dict[str, str]) -> Cell:
    return {"output_type": "execute_result", "metadata": {}, "data": data, "execution_count": 1}


def _as_text(text: str) -> Cell:
    return _result({"text/plain": text})


def _literal(value: Any) -> str:
    """JSON inside a Python string: whatever a user wrote stays text."""
    return repr(json.dumps(plain(value), ensure_ascii=False))


def _fenced(text: str, language: str) -> str:
    """A block of code whose fence is longer than any run of backticks in it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _cell(value: Any) -> str:
    """Text inside markdown: neither markup nor a table's border."""
    text = " ".join(str(value).split())
    return "".join("\\" + sign if sign in "\\`*_[]<>#|~$!" else sign for sign in text)


def _html(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return escape(text).replace("\n", "<br>")


def _loss(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"
