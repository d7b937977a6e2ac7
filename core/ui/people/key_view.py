"""API keys as the page draws them: the dialog that makes one,
the key shown once, a row per key, and code that uses it."""

import json

import streamlit as st

from core import models
from core.clock import now
from core.fields import parse
from core.models import ModelList
from core.people import api_keys
from core.people.api_keys import ApiKey, NewKey
from core.people.users import User
from core.ui import dialogs, forms, show

FRESH = "_fresh_api_key"
EXPIRY = {None: "Never", 7: "7 days", 30: "30 days", 90: "90 days", 365: "1 year"}
SCOPES = {"chat": "Chat", "finetune": "Fine-tuning", "files": "Files", "query": "Queries"}
EXAMPLE = """from openai import OpenAI

client = OpenAI(base_url="{origin}/v1", api_key="{key}")
answer = client.chat.completions.create(
    model={model},
    messages=[{{"role": "user", "content": "Hello!"}}],
    stream=True,
)
for chunk in answer:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
"""


@dialogs.dialog("New API key", icon=":material/key:")
def ask_for_new(user: User, model_names: list[str]) -> None:
    with st.form("new_key_form", border=False):
        st.text_input(
            "Name", key="key_name", max_chars=100, placeholder="What will use it, e.g. nightly report"
        )
        st.selectbox("Expires", list(EXPIRY), format_func=lambda days: EXPIRY[days], key="key_expiry")
        with st.expander("Restrict it"):
            st.multiselect(
                "May be used for",
                list(SCOPES),
                format_func=SCOPES.__getitem__,
                key="key_scopes",
                placeholder="Everything",
            )
            st.multiselect("Only these models", model_names, key="key_models", placeholder="All models")
            st.number_input(
                "Tokens per month",
                min_value=1,
                value=None,
                step=1000,
                key="key_limit",
                placeholder="No limit",
            )
        forms.submit("new_key_form", "Create key", lambda: _create(user))
    forms.settle("new_key_form")


def _create(user: User) -> None:
    chosen = st.session_state
    new = parse(
        NewKey,
        name=(chosen.key_name or "").strip(),
        expires_in_days=chosen.key_expiry,
        scopes=chosen.key_scopes or None,
        models=chosen.key_models or None,
        monthly_token_limit=chosen.key_limit,
    )
    key, secret = api_keys.create(user, new)
    chosen[FRESH] = (key.name, secret, newest_model(user))


def is_fresh_shown() -> bool:
    return FRESH in st.session_state


def show_fresh(origin: str) -> None:
    """The key that was just made. It is nowhere else: leaving the page loses it."""
    fresh = st.session_state.get(FRESH)
    if not fresh:
        return
    name, secret, model = fresh
    with st.container(border=True, key="fresh_key"):
        st.markdown(
            f":material/check_circle: Key **{show.plain(name)}** is ready. Copy it now: "
            f"**it is shown only this once.**"
        )
        st.code(secret, language=None)
        show_example(origin, model, secret)
        st.button("I have stored it", key="key_stored", on_click=lambda: st.session_state.pop(FRESH, None))


def show_example(origin: str, model: str, key: str) -> None:
    st.caption("With the unmodified OpenAI SDK (`pip install openai`):")
    st.code(example(origin, model, key), language="python")


def example(origin: str, model: str, key: str) -> str:
    """Code that asks a model."""
    return EXAMPLE.format(origin=origin, key=key, model=json.dumps(model, ensure_ascii=False))


def newest_model(user: User) -> str:
    """A name to call in examples: the user's newest model, else the starter."""
    newest = models.list_models(user, ModelList(limit=1)).items
    return newest[0].name if newest else "model-name"


def show_key(user: User, api_key: ApiKey) -> None:
    status = _status(api_key)
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"key_{api_key.id}"):
        with st.container(width="stretch", gap=None):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.markdown(f"**{show.plain(api_key.name)}**", width="content")
                if status != "active":
                    show.badge(status)
            st.caption(_facts(api_key))
        if status != "revoked" and st.button("Revoke", key=f"revoke_{api_key.id}", icon=":material/block:"):
            _ask_to_revoke(user, api_key)


def _ask_to_revoke(user: User, api_key: ApiKey) -> None:
    def revoke() -> None:
        api_keys.revoke(user, api_key.id)
        show.flash(f"{api_key.name} is revoked.")

    text = (
        f"Programs that use **{show.plain(api_key.name)}** ({api_key.prefix}…) are refused from their next "
        f"request on."
    )
    show.confirm("revoke_key", "Revoke this key?", text, revoke, yes="Revoke")


def _status(api_key: ApiKey) -> str:
    if api_key.revoked_at:
        return "revoked"
    return "expired" if api_key.expires_at and api_key.expires_at <= now() else "active"


def _facts(api_key: ApiKey) -> str:
    facts = [
        show.plain(f"{api_key.prefix}…"),
        f"made {show.ago(api_key.created_at)}",
        f"last used {show.ago(api_key.last_used_at)}",
    ]
    if api_key.expires_at:
        facts.append(f"expires {show.when(api_key.expires_at)}")
    if api_key.monthly_token_limit:
        facts.append(f"{api_key.monthly_token_limit:,} tokens a month")
    if api_key.scopes and set(api_key.scopes) != set(SCOPES):
        facts.append("only " + ", ".join(SCOPES.get(scope, scope).lower() for scope in api_key.scopes))
    if api_key.models:
        facts.append("models " + ", ".join(show.plain(name) for name in api_key.models))
    return " · ".join(facts)
