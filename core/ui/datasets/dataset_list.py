"""The list of datasets: a table with search, filters and an order, all of it kept in the address."""

from typing import Any
from urllib.parse import urlencode

import streamlit as st

from core import datasets
from core.datasets import Dataset, DatasetList
from core.fields import parse
from core.listing import Listed
from core.people.users import User
from core.ui import lists, show
from core.ui.datasets import dataset_view
from core.ui.elements import link_table

PER_PAGE = 25
PAGE, SORT = "datasets_page", "datasets_sort"
NEWEST = "-updated_at"
STATES = {"": "All states", "ready": "Ready", "processing": "Converting", "failed": "Failed"}
KINDS = {"": "All kinds", **{name: label for name, (label, _) in dataset_view.FORMATS.items()}}
TRAINS = {"": "Trains or not", "true": "Trains as it is", "false": "Does not train as it is"}
COLUMNS = [
    {"name": "name", "label": "Name", "sort": "name", "kind": "name"},
    {"name": "training", "label": "Training", "sort": "-training", "kind": "training"},
    {"name": "rows", "label": "Rows", "sort": "-num_rows", "kind": "number"},
    {"name": "columns", "label": "Columns", "sort": "-num_columns", "kind": "number"},
    {"name": "size", "label": "Stored", "sort": "-stored_bytes", "kind": "number unitless"},
    {"name": "version", "label": "Version", "sort": "-version", "kind": "number unitless version"},
    {"name": "owner", "label": "Owner", "sort": "", "kind": "short least"},
    {"name": "changed", "label": "Changed", "sort": NEWEST, "kind": "short"},
]


def show_list(user: User) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="datasets_toolbar"):
        text = lists.search("datasets_q", placeholder="Search names and descriptions")
        kind = lists.choose("datasets_kind", "Kind", KINDS)
        trains = lists.choose("datasets_trains", "Training", TRAINS)
        state = lists.choose("datasets_state", "State", STATES)
    wanted = {
        "q": text,
        "format": kind or None,
        "trains": trains or None,
        "status": state or None,
    }
    lists.begin_anew(PAGE, wanted)
    every = 2.0 if datasets.list_datasets(user, DatasetList(status="processing", limit=1)).total else None
    st.fragment(_show_page, run_every=every)(user, wanted)


def _show_page(user: User, wanted: dict[str, Any]) -> None:
    """Drawn again by itself while something is being converted."""
    wanted = wanted | {"sort": lists.sort_of(SORT, COLUMNS, NEWEST)}
    page = lists.page_of(
        lambda limit, offset: datasets.list_datasets(
            user, parse(DatasetList, limit=limit, offset=offset, **wanted)
        ),
        key=PAGE,
        per_page=PER_PAGE,
    )
    if not page.total:
        show.empty("Nothing matches", "Try another word, or all kinds and states.", icon="search_off")
        return
    doubled = datasets.doubled(user)
    rows = [build_row(dataset, user, is_doubled=dataset.id in doubled) for dataset in page.items]
    link_table.show_table(
        "datasets_table",
        rows,
        columns=COLUMNS,
        sort=wanted["sort"],
        on_sort=lambda chosen: lists.sort_by(SORT, COLUMNS, chosen, page=PAGE),
    )
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption(_counted(page), width="content")
        lists.pages(page, key=PAGE)


def build_row(dataset: Dataset, user: User, *, is_doubled: bool) -> dict[str, Any]:
    """One line of the table, every cell as it is read."""
    verdict, is_ready = dataset_view.judge(dataset), dataset.status == "ready"
    return {
        "id": dataset.id,
        "href": f"dataset?{urlencode({'id': dataset.id})}",
        "name": dataset.name,
        "about": dataset.description.splitlines()[0][:200] if dataset.description else "",
        "mark": "name used twice" if is_doubled else "",
        "mark_help": f"Another dataset has this name. SQL tells them apart by id: {dataset.id}",
        "tone": verdict.tone,
        "state": verdict.state,
        "why": verdict.why,
        "progress": dataset.progress if dataset.status == "processing" else None,
        "rows": show.number(dataset.num_rows) if is_ready else None,
        "columns": show.number(dataset.num_columns) if is_ready else None,
        # versions that were edited have no file: what all of them have is compared
        "size": show.bytes_(dataset.stored_bytes or dataset.size_bytes),
        "version": str(dataset.version) if dataset.version else None,
        "owner": user.name or user.email,
        "changed": show.ago(dataset.updated_at),
        "changed_help": show.when(dataset.updated_at),
    }


def _counted(page: Listed[Dataset]) -> str:
    if page.total <= page.limit:
        return show.count(page.total, "dataset")
    return f"{page.offset + 1:,} to {page.offset + len(page.items):,} of {show.count(page.total, 'dataset')}"
