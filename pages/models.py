"""The models one may use: bundled bases, and what one's own fine-tuning has made."""

from typing import Any

import streamlit as st

from core import models
from core.people.users import User
from core.ui import lists, places, show, sign_in
from core.ui.models import model_view

KINDS = {"All": "All types", "base": "Base", "finetuned": "Fine-tuned", "custom": "Custom"}
PAGE = "models_page"


def show_filters() -> tuple[str | None, Any]:
    """The text searched for and the type."""
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(width=320):
            words = lists.search("models_search", placeholder="Search by name")
        with st.container(width=160):
            kind = lists.choose("models_type", "Type", KINDS)
    return words, None if kind == "All" else kind


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


def show_empty(*, filtered: bool) -> None:
    if filtered:
        show.empty("No model matches", "Try another word, or show all types.", "search_off")
        return
    show.empty(
        "No model yet",
        (
            "A model is what answers: a base, which comes with Luthier or from an admin, "
            "or what a fine-tuning makes of it."
        ),
        "deployed_code",
    )


user = sign_in.require_user()
with show.header(
    "Models", "Each has versions you can go back to, and a name your programs can call.", icon="deployed_code"
):
    places.button("New fine-tuning", "fine_tuning", key="models_new", icon="add", primary=True, new=1)
with show.guarded():
    words, kind = show_filters()
    found = lists.page_of(
        lambda limit, offset: models.list_models(
            user, models.ModelList(q=words, type=kind, limit=limit, offset=offset)
        ),
        key=PAGE,
    )
    for model in found.items:
        show_model(user, model)
    if not found.items:
        show_empty(filtered=bool(words or kind))
    elif not (words or kind or any(model.owner_id for model in found.items)):
        st.caption("Models of your own appear here once a fine-tuning has succeeded.")
    lists.pages(found, key=PAGE)
