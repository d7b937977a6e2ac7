"""The forms that change a model: custom models, aliases, name, prompt and parameters.

What is allowed, the registry decides.
"""

import pandas as pd
import streamlit as st

from core import models
from core.errors import LuthierError
from core.fields import parse
from core.models import ModelChange, MoveList, NewAlias, NewModel
from core.people.users import User
from core.ui import dialogs, digits, places, show
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
        f"so a new version goes live when you move it. "
        "Each move is written down with its reason."
    )
    for alias, version in model.aliases.items():
        with st.container(horizontal=True, vertical_alignment="center", key=f"alias_row_{alias}"):
            st.markdown(f"`{model.openai_id}@{alias}` → **version {version}**", width="content")
            if st.button("Remove", key=f"alias_drop_{alias}", type="tertiary", icon=":material/close:"):
                ask_drop(user, model, alias)
    if not model.aliases:
        st.caption("No alias yet.")
    _show_alias_form(user, model)
    _show_moves(user, model)


def _show_alias_form(user: User, model: models.Model) -> None:
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
            st.text_input("Reason", key="alias_reason", max_chars=500, placeholder=REASON, width="stretch")
            st.form_submit_button(
                "Set alias",
                key="alias_set",
                icon=":material/sell:",
                on_click=_set_alias,
                args=(user, model.id, tuple(model.aliases)),
            )


REASON = "Why it moves; not needed for a new alias"


def _show_moves(user: User, model: models.Model) -> None:
    """Who moved which alias when, from where to where, and why."""
    moves = models.list_all_moves(user, model.id, MoveList(limit=MOST_MOVES))
    if not moves.items:
        return
    st.subheader("Moves", anchor=False)
    table = pd.DataFrame(
        {
            "When": [move.at for move in moves.items],
            "Alias": [move.alias for move in moves.items],
            "From": [f"version {n}" if (n := move.from_version) else "–" for move in moves.items],
            "To": [f"version {n}" if (n := move.to_version) else "removed" for move in moves.items],
            "Reason": [move.reason or "–" for move in moves.items],
            "Who": [move.by_name for move in moves.items],
        }
    )
    when = st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", timezone=st.context.timezone)
    st.dataframe(
        table, placeholder=digits.NULL, hide_index=True, key="alias_moves", column_config={"When": when}
    )
    if moves.total > len(moves.items):
        st.caption(f"The newest {len(moves.items)} of {moves.total:,} moves; the API lists them all.")


MOST_MOVES = 100


def _set_alias(user: User, model_id: str, known: tuple[str, ...]) -> None:
    alias, version = str(st.session_state["alias_name"]).strip(), st.session_state["alias_version"]
    reason = str(st.session_state["alias_reason"]).strip() or None
    try:
        models.set_alias(user, model_id, alias, parse(NewAlias, version=version, reason=reason))
    except LuthierError as err:
        show.flash_error(err)
    else:
        st.session_state["alias_reason"] = ""  # the next move has another one
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
