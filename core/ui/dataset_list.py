"""The list of datasets with its search, sort and filters."""

import streamlit as st

from core import datasets
from core.datasets import DatasetList
from core.fields import parse
from core.ui import dataset_view, lists, show
from core.users import User

SORTS = {"-updated_at": "Recently changed", "-created_at": "Newest", "name": "Name", "-size_bytes": "Largest"}
STATES = {"": "All states", "ready": "Ready", "processing": "Processing", "failed": "Failed"}
KINDS = {"": "All kinds", **{name: label for name, (label, _) in dataset_view.FORMATS.items()}}


def show_list(user: User) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="datasets_toolbar"):
        text = lists.search("datasets_q", placeholder="Search by name")
        sort = lists.choose("datasets_sort", "Sort by", SORTS)
        kind = lists.choose("datasets_kind", "Kind", KINDS)
        state = lists.choose("datasets_state", "State", STATES)
    found = lists.page_of(
        lambda limit, offset: datasets.list_datasets(
            user,
            parse(DatasetList, limit=limit, offset=offset, q=text, sort=sort, format=kind or None, status=state or None),
        ),
        key="datasets_page",
    )
    for dataset in found.items:
        dataset_view.show_row(dataset)
    lists.pages(found, key="datasets_page")
    if not found.total:
        show.empty("Nothing matches", "Try another word, or all kinds and states.", icon="search_off")
