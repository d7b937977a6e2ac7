"""All datasets: bring one in, add a sample, search, open one."""

import streamlit as st

from core import datasets
from core.datasets import DatasetList
from core.ui import show
from core.ui.datasets import conversions_view, dataset_list, dataset_view
from core.ui.sign_in import require_user
from core.ui.uploads import source_tabs

user = require_user()
show.header(
    "Datasets", "Your files as tables: question them with SQL, train models on them.", icon="database"
)

with show.guarded():
    source_tabs.show_ways(user)

with show.guarded():
    conversions_view.show_conversions(user)

with show.guarded():
    has_any = datasets.list_datasets(user, DatasetList(limit=1)).total > 0
    if has_any:
        dataset_list.show_list(user)
    else:
        show.empty("No datasets yet", "Drop a file above, or begin with a sample below.", icon="database")
    with st.expander("Sample datasets", icon=":material/science:", expanded=not has_any):
        dataset_view.show_samples(user)
