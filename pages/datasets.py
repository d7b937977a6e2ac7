"""All datasets: upload, add a sample, search, open one."""

import streamlit as st

from core import datasets
from core.datasets import DatasetList
from core.fields import parse
from core.ui import dataset_view, lists, places, show, upload
from core.ui.ingest_options import choose_options
from core.ui.session import require_user

SORTS = {
    "-updated_at": "Recently changed",
    "-created_at": "Newest",
    "name": "Name",
    "-size_bytes": "Largest",
}
KINDS = {
    "": "All kinds",
    "chat": "Chat",
    "completion": "Prompt → completion",
    "preference": "Preference",
    "text": "Text",
    "table": "Table",
}
STATES = {"": "All states", "ready": "Ready", "processing": "Processing", "failed": "Failed"}

user = require_user()
show.header("Datasets", "Your files as tables: question them with SQL, train models on them.", icon="database")

arrived = upload.field("upload", title="Drop files here", options=choose_options("upload_options"))
if len(arrived) == 1 and arrived[0].alone:
    places.go("dataset", id=arrived[0].dataset_id)
for one in arrived:
    st.toast(f"{show.plain(one.name)} has arrived.", icon=":material/check_circle:")

with show.guarded():
    converting = datasets.list_datasets(user, DatasetList(status="processing", limit=20))
    if converting.items:
        dataset_view.show_conversions(user, converting.items)

with st.container(horizontal=True, vertical_alignment="center", key="datasets_toolbar"):
    text = lists.search("datasets_q", placeholder="Search by name")
    sort = lists.choose("datasets_sort", "Sort by", SORTS)
    kind = lists.choose("datasets_kind", "Kind", KINDS)
    state = lists.choose("datasets_state", "State", STATES)

with show.guarded():
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

    searched = bool(text or kind or state)
    if not found.total and searched:
        show.empty("Nothing matches", "Try another word, or all kinds and states.", icon="search_off")
    if not found.total and not searched:
        show.empty("No datasets yet", "Drop a file above, or begin with a sample below.", icon="database")
    with st.expander("Sample datasets", icon=":material/science:", expanded=not found.total and not searched):
        dataset_view.show_samples(user, primary=not found.total)
