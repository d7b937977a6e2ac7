"""``streamlit run app.py``: the pages, ``/api`` and ``/v1`` in one process on one port.

Streamlit finds ``app`` by reading this file, so it must be a plain call. The pages' script lies in
``core/ui``, not beside ``pages/``.
"""

import streamlit as st
from starlette.middleware import Middleware

from core.server import FrontDoor, lifespan
from core.server.client import believe_no_proxy_but_ours
from core.ui import show

believe_no_proxy_but_ours()
app = st.App(
    "core/ui/main.py", middleware=[Middleware(FrontDoor)], lifespan=lifespan, on_script_error=show.problem
)
