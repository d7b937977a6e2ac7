"""The guide: /guide?chapter=devices&section=ports-and-safety"""

import streamlit as st

from core import guide
from core.ui import guide_view, places, show, sign_in

sign_in.require_user()
with show.header("Guide", "How training works here, and how to get more out of it.", icon="menu_book"):
    words = st.text_input(
        "Search",
        placeholder="Search the guide",
        key=guide_view.SEARCH,
        icon=":material/search:",
        label_visibility="collapsed",
        width=260,
    )

if words.strip():
    guide_view.show_hits(words, guide.search(words))
else:
    guide_view.show_chapter(guide_view.pick_chapter(), section=places.query("section"))
