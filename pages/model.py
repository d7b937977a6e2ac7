"""One model: versions with their metrics and origin, exports,
aliases, settings, and the code that calls it: /model?id=mdl_…"""

from functools import partial

import streamlit as st

from core import models
from core.people.users import User
from core.ui import missing, places, session, show, sign_in
from core.ui.exports import export_view
from core.ui.models import model_forms, model_view

TABS = ("Versions", "Call it", "Export", "Aliases", "Settings")
VIEWS = {"call": "Call it", "export": "Export"}


def show_header(user: User, model: models.Model) -> None:
    with show.header(model.name, icon="deployed_code"):
        with st.container(horizontal=True, vertical_alignment="center", width="content", key="model_actions"):
            model_view.show_type(model)
            places.button("Chat", "chat", key="model_chat", icon="chat", primary=True, model=model.id)
            if model.capabilities.get("finetune"):
                places.button(
                    "Fine-tune", "fine_tuning", key="model_tune", icon="model_training", base=model.id, new=1
                )
    st.caption(model_view.describe(user, model))
    if model.description:
        st.markdown(show.plain(model.description))
    note = model_view.starter_note(model)
    if note and model.type != "base":  # the starter's own description says it already
        st.caption(f":material/info: {note}")


def show_body(user: User, model: models.Model) -> None:
    wanted = VIEWS.get(places.query("view") or "")
    offered = TABS if model.type != "base" else TABS[:3]
    for tab, name in zip(st.tabs(list(offered), default=wanted, key="model_tabs"), offered, strict=True):
        with tab:
            draw(name, user, model)
    st.space("small")
    with st.container(horizontal=True):
        if model.type != "custom" and st.button(
            "Make a custom model from it", key="model_custom", icon=":material/tune:"
        ):
            model_forms.ask_custom(user, model)
        if model.type != "base" and st.button("Delete", key="model_delete", icon=":material/delete:"):
            ask_delete(user, model)


def draw(tab: str, user: User, model: models.Model) -> None:
    with show.guarded():
        if tab == "Versions":
            model_view.show_versions(user, model)
        elif tab == "Call it":
            model_view.show_call(model, session.origin())
        elif tab == "Export":
            export_view.show_tab(user, model)
        elif tab == "Aliases":
            model_forms.show_aliases(user, model)
        else:
            model_forms.show_settings(user, model)


def ask_delete(user: User, model: models.Model) -> None:
    versions = (
        show.count(model.latest_version or 0, "version")
        if model.type == "finetuned"
        else "its prompt and parameters"
    )
    show.confirm(
        "model_delete",
        "Delete this model?",
        (
            f"**{show.plain(model.name)}** goes with {versions}. Programs that call it will get an error. "
            f"This cannot be undone."
        ),
        lambda: delete(user, model),
    )


def delete(user: User, model: models.Model) -> None:
    models.delete(user, model.id)
    show.flash(f"{model.name} was deleted.", icon="delete")
    st.session_state["model_gone"] = True


user = sign_in.require_user()
if st.session_state.pop("model_gone", False):
    places.go("models")
with show.guarded():
    model = missing.found_or_list(
        partial(models.get, user), "model", page="models", all_of_them="All models", icon="deployed_code"
    )
    show_header(user, model)
    show_body(user, model)
