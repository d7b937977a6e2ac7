"""Two versions compared: what changed in the schema, and which rows were added, removed or changed."""

import streamlit as st

from core.errors import LuthierError
from core.ui import places, show
from core.ui.datasets import diff_view
from core.ui.sign_in import require_user

user = require_user()
try:
    pair = diff_view.find_pair(user)
except LuthierError as err:
    show.header("Compare versions", icon="difference")
    show.error(err)
    places.link("datasets", "All datasets", icon="arrow_back")
    st.stop()

places.link("dataset", show.plain(pair.dataset.name), icon="arrow_back", id=pair.dataset.id, view="Versions")
show.header("Compare versions", icon="difference")
with show.guarded():
    diff_view.choose_sides(user, pair)
    match = diff_view.choose_match(user, pair)
    diff_view.show_diff(user, pair, match)
