"""The admin's page: who may come in, base models for everybody, the state of the server."""

import streamlit as st

from core.ui import show
from core.ui.datasets import retention_view
from core.ui.people import admin_view
from core.ui.session import origin
from core.ui.sign_in import require_user

user = require_user()
show.header("Admin", "People, base models and the state of this server.", icon="admin_panel_settings")
if not user.is_admin:
    show.empty("Only for admins", "Ask an admin of this server if you need something changed.", icon="lock")
    st.stop()

tabs = ["People", "Base models", "Old versions", "Server"]
people, base_models, old_versions, server = st.tabs(
    tabs, key="admin_tab", on_change="rerun", bind="query-params"
)
if people.open:
    with people, show.guarded():
        admin_view.show_registration(user)
        admin_view.show_invitations(user, origin())
        admin_view.show_people(user)
if base_models.open:
    with base_models, show.guarded():
        admin_view.show_base_models(user)
if old_versions.open:
    with old_versions, show.guarded():
        retention_view.show_retention(user)
if server.open:
    with server, show.guarded():
        admin_view.show_server()
        admin_view.show_trash()
