"""Editing rows in place: a table editor over one page
of a version; what is saved becomes the next version."""

import streamlit as st

from core import datasets
from core.errors import LuthierError
from core.ui import places, show
from core.ui.datasets.rows import edit_view
from core.ui.sign_in import require_user

user = require_user()
try:
    dataset = datasets.get(user, places.query("id") or "")
except LuthierError as err:
    show.header("Edit rows", icon="edit")
    show.error(err)
    places.link("datasets", "All datasets", icon="arrow_back")
    st.stop()

places.link("dataset", show.plain(dataset.name), icon="arrow_back", id=dataset.id, view="Versions")
show.header("Edit rows", icon="edit")
with show.guarded():
    edit_view.show_editor(user, dataset)
