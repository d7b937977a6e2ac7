"""API keys as the page draws them: the dialogs that make and change one,
the key shown once, a row per key, and code that uses it."""

import json
from collections.abc import Sequence
from typing import Any

import streamlit as st

from core import models
from core.clock import now
from core.fields import parse
from core.models import ModelList
from core.people import api_keys
from core.people.api_keys import ApiKey, KeyChange, NewKey
from core.people.users import User
from core.ui import dialogs, forms, show
from core.ui.people import scope_words

FRESH = "_fresh_api_key"
EXPIRY = {0: "Never", 7: "7 days", 30: "30 days", 90: "90 days", 365: "1 year"}
AS_IT_IS = -1  # of the expiry of a key that is changed
READING = ("chat", "query")  # ticked at first: with these a program asks and reads, and changes nothing
OLD = (
    "It was made when keys reached `/v1` only. Tick this, or change what it may be used for, "
    "to let it reach `/api`, too."
)
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
FIRST_CALL = {"finetune": "finetune", "query": "datasets", "files": "datasets"}


@dialogs.dialog("New API key", icon=":material/key:")
def ask_for_new(user: User, model_names: list[str]) -> None:
    with st.form("new_key_form", border=False):
        st.text_input(
            "Name", key="key_name", max_chars=100, placeholder="What will use it, e.g. nightly report"
        )
        st.selectbox("Expires", list(EXPIRY), format_func=lambda days: EXPIRY[days], key="key_expiry")
        _ask_for_scopes("key", READING)
        with st.expander("Restrict it further"):
            _ask_for_limits("key", model_names, chosen=None, limit=None)
        forms.submit("new_key_form", "Create key", lambda: _create(user))
    forms.settle("new_key_form")


def ask_to_change(user: User, api_key: ApiKey, model_names: list[str]) -> None:
    form, prefix = f"change_{api_key.id}", f"edit_{api_key.id}"

    @dialogs.dialog("Change API key", icon=":material/key:")
    def ask() -> None:
        with st.form(form, border=False):
            st.text_input("Name", api_key.name, key=f"{prefix}_name", max_chars=100)
            _ask_for_scopes(prefix, api_key.scopes)
            if not api_key.reaches_api:
                st.checkbox("Let it reach `/api`", key=f"{prefix}_api", help=OLD)
            words = {AS_IT_IS: _expiry(api_key), **EXPIRY}
            st.selectbox("Expires", list(words), format_func=words.__getitem__, key=f"{prefix}_expiry")
            known = [*model_names, *(name for name in api_key.models or [] if name not in model_names)]
            _ask_for_limits(prefix, known, chosen=api_key.models, limit=api_key.monthly_token_limit)
            forms.submit(form, "Save", lambda: _change(user, api_key, prefix))
        forms.settle(form)

    ask()


def _ask_for_scopes(prefix: str, ticked: Sequence[str]) -> None:
    st.markdown("Scopes: what it may be used for")
    for scope, title in scope_words.TITLES.items():
        label = f"**{title}.** {scope_words.ALLOWED[scope]}"
        st.checkbox(label, scope in ticked, key=f"{prefix}_scope_{scope}")


def _ask_for_limits(prefix: str, names: list[str], *, chosen: list[str] | None, limit: int | None) -> None:
    st.multiselect(
        "Only these models", names, default=chosen, key=f"{prefix}_models", placeholder="All models"
    )
    st.number_input(
        "Tokens per month", 1, value=limit, step=1000, key=f"{prefix}_limit", placeholder="No limit"
    )


def _chosen_scopes(prefix: str) -> list[str]:
    return [scope for scope in scope_words.TITLES if st.session_state[f"{prefix}_scope_{scope}"]]


def _create(user: User) -> None:
    chosen = st.session_state
    new = parse(
        NewKey,
        name=(chosen.key_name or "").strip(),
        expires_in_days=chosen.key_expiry or None,
        scopes=_chosen_scopes("key"),
        models=chosen.key_models or None,
        monthly_token_limit=chosen.key_limit,
    )
    key, secret = api_keys.create(user, new)
    chosen[FRESH] = (key, secret, newest_model(user))


def _change(user: User, api_key: ApiKey, prefix: str) -> None:
    """Only what is another than before is sent: setting the scopes of an old key lets it reach more."""
    chosen = st.session_state
    wanted: dict[str, Any] = {
        "name": (chosen[f"{prefix}_name"] or "").strip(),
        "models": chosen[f"{prefix}_models"] or None,
        "monthly_token_limit": chosen[f"{prefix}_limit"],
    }
    changed = {field: value for field, value in wanted.items() if value != getattr(api_key, field)}
    scopes = _chosen_scopes(prefix)
    if set(scopes) != set(api_key.scopes) or chosen.get(f"{prefix}_api"):
        changed["scopes"] = scopes
    if (days := chosen[f"{prefix}_expiry"]) != AS_IT_IS:
        changed["expires_in_days"] = days or None
    api_keys.update(user, api_key.id, parse(KeyChange, **changed))
    show.flash(f"{wanted['name']} is changed.")


def is_fresh_shown() -> bool:
    return FRESH in st.session_state


def show_fresh(origin: str) -> None:
    """The key that was just made. It is nowhere else: leaving the page loses it."""
    fresh = st.session_state.get(FRESH)
    if not fresh:
        return
    key, secret, model = fresh
    with st.container(border=True, key="fresh_key"):
        st.markdown(
            f":material/check_circle: Key **{show.plain(key.name)}** is ready. Copy it now: "
            f"**it is shown only this once.**"
        )
        st.code(secret, language=None)
        if "chat" in key.scopes:
            show_example(origin, model, secret)
        else:
            st.caption("With any HTTP client:")
            st.code(first_call(origin, secret, key.scopes[0]), language="bash")
        st.button("I have stored it", key="key_stored", on_click=lambda: st.session_state.pop(FRESH, None))


def show_example(origin: str, model: str, key: str) -> None:
    st.caption("With the unmodified OpenAI SDK (`pip install openai`):")
    st.code(example(origin, model, key), language="python")
    st.caption(
        f"The same key reaches datasets, queries and trainings under `/api`, as far as its scopes go: "
        f"[all routes]({origin}/api/docs)."
    )


def example(origin: str, model: str, key: str) -> str:
    """Code that asks a model."""
    return EXAMPLE.format(origin=origin, key=key, model=json.dumps(model, ensure_ascii=False))


def first_call(origin: str, key: str, scope: str) -> str:
    """For a key that may ask no model: lists what it may reach."""
    return f'curl {origin}/api/{FIRST_CALL[scope]} -H "Authorization: Bearer {key}"'


def newest_model(user: User) -> str:
    """A name to call in examples: the user's newest model, else the starter."""
    newest = models.list_models(user, ModelList(limit=1)).items
    return newest[0].name if newest else "model-name"


def show_key(user: User, api_key: ApiKey, model_names: list[str]) -> None:
    status = _status(api_key)
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"key_{api_key.id}"):
        with st.container(width="stretch", gap=None):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.markdown(f"**{show.plain(api_key.name)}**", width="content")
                if status != "active":
                    show.badge(status)
            st.caption(_facts(api_key))
            if not api_key.reaches_api:
                st.caption(
                    ":material/info: It reaches `/v1` and nothing else, because it was made before keys "
                    "reached `/api`. Change its scopes to let it reach more."
                )
        if status == "revoked":
            return
        if st.button("Change", key=f"change_key_{api_key.id}", icon=":material/edit:"):
            ask_to_change(user, api_key, model_names)
        if st.button("Revoke", key=f"revoke_{api_key.id}", icon=":material/block:"):
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


def _expiry(api_key: ApiKey) -> str:
    """What it is now."""
    if api_key.expires_at is None:
        return "Never, as now"
    return f"{show.when(api_key.expires_at)}, as now"


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
    facts.append(f"for {scope_words.titles(api_key.scopes)}")
    if api_key.models:
        facts.append("models " + ", ".join(show.plain(name) for name in api_key.models))
    return " · ".join(facts)
