"""The forms that change a model: custom models, aliases, name, prompt and parameters.

What is allowed, the registry decides.
"""

import streamlit as st

from core import models
from core.errors import LuthierError
from core.fields import parse
from core.models import ModelChange, NewAlias, NewModel
from core.people.users import User
from core.ui import dialogs, places, show
from core.ui.models import model_view


def ask_custom(user: User, base: models.Model) -> None:
    """A dialog for a name, a system prompt and parameters on top of ``base``."""

    @dialogs.dialog("New custom model", icon=":material/tune:", width="medium")
    def ask() -> None:
        st.caption(
            f"The weights of {show.plain(base.name)} under an own name, with your instructions and settings."
        )
        with st.form("custom_form", border=False):
            name = st.text_input("Name", key="custom_name", max_chars=100, placeholder="helpdesk")
            prompt = st.text_area(
                "System prompt", key="custom_prompt", max_chars=20_000, height=140, help=PROMPT_HELP
            )
            parameters = model_view.pick_parameters({}, key="custom")
            pressed = st.form_submit_button(
                "Create", key="custom_create", type="primary", icon=":material/add:"
            )
        if pressed:
            with show.guarded():
                new = parse(
                    NewModel,
                    name=name,
                    base_model_id=base.id,
                    system_prompt=prompt or None,
                    parameters=parameters,
                )
                places.go("model", id=models.create_custom(user, new).id)

    ask()


PROMPT_HELP = "Instructions that stand before every conversation with this model."


def show_aliases(user: User, model: models.Model) -> None:
    """Names such as ``production`` that point at a version; programs call ``name@alias``."""
    st.caption(
        f"Programs that call `{model.openai_id}@production` follow the alias, "
        f"so a new version goes live when you move it."
    )
    for alias, version in model.aliases.items():
        with st.container(horizontal=True, vertical_alignment="center", key=f"alias_row_{alias}"):
            st.markdown(f"`{model.openai_id}@{alias}` → **version {version}**", width="content")
            if st.button("Remove", key=f"alias_drop_{alias}", type="tertiary", icon=":material/close:"):
                ask_drop(user, model, alias)
    if not model.aliases:
        st.caption("No alias yet.")
    versions = [
        version.version
        for version in models.list_versions(user, model.id, models.VersionList(limit=100)).items
    ]
    with st.form("alias_form", border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input("Alias", key="alias_name", placeholder="production", max_chars=64, width=220)
            st.selectbox(
                "Points at", versions, format_func=lambda n: f"version {n}", key="alias_version", width=160
            )
            st.form_submit_button(
                "Set alias",
                key="alias_set",
                icon=":material/sell:",
                on_click=_set_alias,
                args=(user, model.id, tuple(model.aliases)),
            )


def _set_alias(user: User, model_id: str, known: tuple[str, ...]) -> None:
    alias, version = str(st.session_state["alias_name"]).strip(), st.session_state["alias_version"]
    try:
        models.set_alias(user, model_id, alias, parse(NewAlias, version=version))
    except LuthierError as err:
        show.flash_error(err)
    else:
        show.flash(f"{alias} {'now points' if alias in known else 'points'} at version {version}.")


def ask_drop(user: User, model: models.Model, alias: str) -> None:
    text = f"Programs that call `{model.openai_id}@{alias}` will get an error. The version itself stays."
    show.confirm(
        f"alias_drop_{alias}",
        "Remove this alias?",
        text,
        lambda: models.drop_alias(user, model.id, alias),
        yes="Remove",
    )


def show_settings(user: User, model: models.Model) -> None:
    """Name, description, system prompt and parameters of one's own model."""
    with st.form("model_form", border=False):
        st.text_input("Name", model.name, key="model_name", max_chars=100)
        st.text_area("Description", model.description, key="model_description", max_chars=2000, height=80)
        st.text_area(
            "System prompt",
            model.system_prompt or "",
            key="model_prompt",
            max_chars=20_000,
            height=140,
            help=PROMPT_HELP,
        )
        parameters = model_view.pick_parameters(model.parameters, key="model")
        pressed = st.form_submit_button("Save", key="model_save", type="primary", icon=":material/save:")
    if pressed:
        state = st.session_state
        change = parse(
            ModelChange,
            name=str(state["model_name"]).strip(),
            description=state["model_description"],
            system_prompt=state["model_prompt"] or None,
            parameters=parameters,
        )
        models.update(user, model.id, change)
        show.flash("Saved.")
        st.rerun()
