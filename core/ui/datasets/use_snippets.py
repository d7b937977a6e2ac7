"""Code that uses a dataset from elsewhere, ready to be copied:
a task in Python and in the shell, filled in for one version.

Only text is made here. Names of datasets and columns come from users, so they are always written as literals
of the language. The API key is never part of it: it is taken from the environment.
``tests/api/datasets/test_snippets.py`` runs every one of them.
"""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from core.datasets import Dataset, Version
from core.people.api_keys import Scope

Build = Callable[["SnippetFacts"], str]


@dataclass(frozen=True)
class SnippetFacts:
    """What the snippets are filled in with.

    ``table``: what SQL calls the version; ``columns``: how a table's rows are learned.
    """

    origin: str
    dataset: Dataset
    version: Version
    table: str
    columns: dict[str, str] | None

    @property
    def path(self) -> str:
        return f"/datasets/{self.dataset.id}"

    @property
    def sql(self) -> str:
        return f"SELECT * FROM {self.table} LIMIT 1000"


@dataclass(frozen=True)
class SnippetTask:
    """One thing to do: what it is called, what to know about it, the scope that an API key needs for it, and
    how it is built in each language."""

    title: str
    about: str
    scope: Scope
    python: Build
    shell: Build


def build(task: SnippetTask, use: SnippetFacts, language: str) -> str:
    """The whole program, from the key to the result."""
    if language == "python":
        return f"{_begin_python(use)}\n{task.python(use)}"
    return f"{_begin_shell(use)}\n{task.shell(use)}"


def _begin_python(use: SnippetFacts) -> str:
    return f"""from os import environ
import requests

url = {_literal(use.origin + "/api")}
headers = {{"Authorization": "Bearer " + environ["LUTHIER_API_KEY"]}}
"""


def _begin_shell(use: SnippetFacts) -> str:
    return f"URL={shlex.quote(use.origin + '/api')}\n"


def _literal(text: str) -> str:
    """A literal that Python, JSON and JavaScript read alike."""
    return json.dumps(text, ensure_ascii=False)


def _curl(rest: str) -> str:
    return f'curl -s -H "Authorization: Bearer $LUTHIER_API_KEY" {rest}'


def _download_python(use: SnippetFacts) -> str:
    return f"""# as: parquet, csv, jsonl, or original for the uploaded file
asked = {{"version": {use.version.version}, "as": "parquet"}}
answer = requests.get(url + "{use.path}/content", params=asked, headers=headers, stream=True)
answer.raise_for_status()
with open("data.parquet", "wb") as file:
    for chunk in answer.iter_content(1 << 20):
        file.write(chunk)"""


def _download_shell(use: SnippetFacts) -> str:
    return "# as: parquet, csv, jsonl, or original for the uploaded file\n" + _curl(
        f'-f -o data.parquet "$URL{use.path}/content?version={use.version.version}&as=parquet"'
    )


def _read_python(use: SnippetFacts) -> str:
    return (
        _download_python(use)
        + """

import duckdb
import pandas as pd

frame = pd.read_parquet("data.parquet")
print(frame.head())
# DuckDB reads the file as it lies there, and only what a query needs
print(duckdb.sql("SELECT count(*) AS rows FROM 'data.parquet'"))
# polars: import polars as pl; pl.scan_parquet("data.parquet")"""
    )


def _read_shell(use: SnippetFacts) -> str:
    return (
        _download_shell(use)
        + """
python3 -c "import pandas as pd; print(pd.read_parquet('data.parquet').head())\""""
    )


def _preview_python(use: SnippetFacts) -> str:
    column = _literal(_first_column(use))
    return f"""# where: a value, null, or contains, starts_with, min, max, one_of, is_null … per column
asked = {{"version": {use.version.version}, "limit": 20, "where": '{{}}', "order_by": {column}}}
page = requests.get(url + "{use.path}/preview", params=asked, headers=headers).json()
for row in page["items"]:
    print(row["line"], row["data"])"""


def _preview_shell(use: SnippetFacts) -> str:
    query = urlencode({"version": use.version.version, "limit": 20, "order_by": _first_column(use)})
    return _curl(f'"$URL{use.path}/preview?{query}"')


def _query_python(use: SnippetFacts) -> str:
    return f"""import pyarrow as pa

# without "Accept": JSON, at most 10,000 rows
wanted = headers | {{"Accept": "application/vnd.apache.arrow.stream"}}
answer = requests.post(url + "/query", json={{"sql": {_literal(use.sql)}, "limit": 1000}}, headers=wanted)
answer.raise_for_status()
frame = pa.ipc.open_stream(answer.content).read_pandas()
print(frame, "and there is more" if answer.headers["X-Truncated"] == "true" else "")
# polars: import io, polars as pl; pl.read_ipc_stream(io.BytesIO(answer.content))"""


def _query_shell(use: SnippetFacts) -> str:
    body = shlex.quote(json.dumps({"sql": use.sql, "limit": 1000}, ensure_ascii=False))
    return _curl(f"\"$URL/query\" -H 'Content-Type: application/json' \\\n  -d {body}")


def _version_python(use: SnippetFacts) -> str:
    return f"""# a file; {{"sql": …, "note": …}} as JSON makes a version of a query's result
with open("next.csv", "rb") as file:
    sent = {{"files": {{"file": ("next.csv", file)}}, "data": {{"note": "From a program"}}}}
    answer = requests.post(url + "{use.path}/versions", headers=headers, **sent)
answer.raise_for_status()  # 422 says which line cannot be read
is_new = answer.status_code == 201
print("version", answer.json()["version"], "is new" if is_new else "had these bytes already")"""


def _version_shell(use: SnippetFacts) -> str:
    return _curl(f'"$URL{use.path}/versions" -F file=@next.csv -F "note=From a program"')


def _tune_python(use: SnippetFacts) -> str:
    columns = f',\n    "columns": {json.dumps(use.columns, ensure_ascii=False)}' if use.columns else ""
    return f"""import time

base = requests.get(url + "/models?type=base&sort=created_at", headers=headers).json()["items"][0]
asked = {{
    "base_model_id": base["id"],
    "dataset_id": "{use.dataset.id}",
    "dataset_version_id": "{use.version.id}"{columns}
}}
job = requests.post(url + "/finetune", json=asked, headers=headers)
job.raise_for_status()
at = url + "/finetune/" + job.json()["id"]
while (now := requests.get(at, headers=headers).json())["finished_at"] is None:
    print(now["status"])
    time.sleep(2)
print(now["status"], now["model_id"])"""


def _tune_shell(use: SnippetFacts) -> str:
    body = {"base_model_id": "BASE", "dataset_id": use.dataset.id, "dataset_version_id": use.version.id}
    written = shlex.quote(
        json.dumps(body | ({"columns": use.columns} if use.columns else {}), ensure_ascii=False)
    )
    base = _curl('"$URL/models?type=base&sort=created_at" | sed -n \'s/.*"id": *"\\(mdl_[^"]*\\)".*/\\1/p\'')
    return f"BASE=$({base})\n" + _curl(
        f"\"$URL/finetune\" -H 'Content-Type: application/json' \\\n"
        f'  -d "$(printf \'%s\' {written} | sed "s/BASE/$BASE/")"'
    )


def _first_column(use: SnippetFacts) -> str:
    return use.version.columns[0]["name"]


TASKS = {
    "download": SnippetTask(
        "Download",
        "The whole version as Parquet, CSV, JSON Lines or the uploaded file.",
        "query",
        _download_python,
        _download_shell,
    ),
    "preview": SnippetTask(
        "Look at rows",
        "A page of rows, filtered and sorted by the server.",
        "query",
        _preview_python,
        _preview_shell,
    ),
    "query": SnippetTask(
        "Query",
        "SQL, answered as Arrow for pandas and polars, or as JSON.",
        "query",
        _query_python,
        _query_shell,
    ),
    "read": SnippetTask(
        "Into pandas or DuckDB", "Download once, then work on the file.", "query", _read_python, _read_shell
    ),
    "version": SnippetTask(
        "Upload the next version",
        "The file's rows become the next version; older ones stay.",
        "files",
        _version_python,
        _version_shell,
    ),
    "tune": SnippetTask(
        "Fine-tune",
        "Start a job on this version and wait for its model.",
        "finetune",
        _tune_python,
        _tune_shell,
    ),
}
