"""The models one may use: bundled bases, and what one's own fine-tuning has made."""

import streamlit as st

from core import models
from core.ui import model_view, places, session, show
from core.users import User

PER_PAGE = 20
KINDS = ("All", *model_view.TYPES)


def show_filters() -> models.ModelList:
    with st.container(horizontal=True, vertical_alignment="center"):
        words = st.text_input(
            "Search",
            type="search",
            live="300ms",
            key="models_search",
            placeholder="Search by name",
            label_visibility="collapsed",
            icon=":material/search:",
            width=320,
        )
        kind = st.segmented_control(
            "Type",
            [kind for kind in KINDS if kind != "external"],
            default="All",
            required=True,
            format_func=lambda name: name if name == "All" else model_view.TYPES[name][0],
            key="models_type",
            label_visibility="collapsed",
        )
    page = st.session_state.get("models_page", 1)
    wanted = None if kind == "All" else kind
    return models.ModelList(q=(words or "").strip()[:100] or None, type=wanted, limit=PER_PAGE, offset=(page - 1) * PER_PAGE)


def show_model(user: User, model: models.Model) -> None:
    with st.container(border=True, gap="xsmall", key=f"model_row_{model.id}"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            with st.container(horizontal=True, vertical_alignment="center", width="content"):
                places.link("model", show.plain(model.name), icon="deployed_code", id=model.id)
                model_view.show_type(model)
            with st.container(horizontal=True, vertical_alignment="center", width="content"):
                places.link("chat", "Chat", icon="chat", model=model.id)
                if model.capabilities.get("finetune"):
                    places.link("fine_tuning", "Fine-tune", icon="model_training", base=model.id, new=1)
        st.caption(model_view.describe(user, model))
        if model.description:
            st.caption(show.plain(model.description[:300]))


def show_empty(query: models.ModelList) -> None:
    if query.q or query.type:
        show.empty("No model matches", "Try another word, or show all types.", "search_off")
        return
    show.empty(
        "No model yet",
        "A model is what answers: a base, which comes with Luthier or from an admin, or what a fine-tuning makes of it.",
        "deployed_code",
    )


user = session.require_user()
title, action = st.columns([3, 1], vertical_alignment="center")
with title:
    show.header("Models", "Each has versions you can go back to, and a name your programs can call.", icon="deployed_code")
with action.container(horizontal=True, horizontal_alignment="right"):
    places.button("New fine-tuning", "fine_tuning", key="models_new", icon="add", primary=True, new=1)
with show.guarded():
    query = show_filters()
    found = models.list_models(user, query)
    if not found.items:
        show_empty(query)
    for model in found.items:
        show_model(user, model)
    if found.total > PER_PAGE:
        st.pagination(-(-found.total // PER_PAGE), key="models_page")
    if not any(model.type == "finetuned" for model in found.items) and not query.q and not query.type and found.items:
        st.caption("Models of your own appear here once a fine-tuning has succeeded.")
