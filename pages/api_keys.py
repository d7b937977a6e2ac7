"""Keys for own programs: make one, see it once, change it, revoke it."""

import streamlit as st

from core import models
from core.fields import parse
from core.models import ModelList
from core.people import api_keys
from core.people.api_keys import KeyList
from core.ui import show
from core.ui.people import key_view
from core.ui.session import origin
from core.ui.sign_in import require_user

user = require_user()
header = show.header(
    "API keys",
    "A key lets your own programs do in your name what its scopes allow, on `/v1` and `/api`. "
    "Keep it secret.",
    icon="key",
)

model_names = [model.name for model in models.list_models(user, ModelList(limit=100)).items]
if header.button("New key", key="new_key", type="primary", icon=":material/add:"):
    key_view.ask_for_new(user, model_names)

key_view.show_fresh(origin())

with_revoked = st.toggle("Show revoked keys", key="show_revoked", bind="query-params")
with show.guarded():
    found = api_keys.list_keys(user, parse(KeyList, limit=100, include_revoked=with_revoked))
    if not found.items:
        show.empty(
            "No keys yet",
            "Make one, and call your models with the OpenAI SDK or any HTTP client.",
            icon="key",
        )
    for api_key in found.items:
        key_view.show_key(user, api_key, model_names)

if not key_view.is_fresh_shown():
    with st.expander("How to call this server", icon=":material/code:", expanded=True, key="how_to_call"):
        key_view.show_example(origin(), key_view.newest_model(user), "sk-…")
