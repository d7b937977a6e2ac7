"""The table of models: sorted, filtered, with the columns one wants; what can be done with the ticked ones.

Losses, data and method are those of a model's newest version. Order, filters and columns are in the address.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from core import models
from core.errors import NotFound
from core.fields import parse
from core.fine_tuning.monitor.comparing import MOST
from core.listing import Listed
from core.models import Model, ModelList, ModelVersion, Origins, VersionList
from core.people.users import User
from core.training import METHODS
from core.ui import digits, lists, places, show
from core.ui.elements import link_table
from core.ui.models import model_view

PAGE, SORT, TICKED = "models_page", "models_sort", "models_ticked"
NEWEST = "-created_at"
PER_PAGE = 25
TONES = {"finetuned": "map", "custom": "busy", "external": "bad"}
COLUMNS = [
    {"name": "name", "label": "Name", "sort": "name", "kind": "name"},
    {"name": "status", "label": "Type", "sort": "type", "kind": "state"},
    {"name": "base", "label": "Base", "sort": "base", "kind": "short"},
    {"name": "version", "label": "Version", "sort": "-version", "kind": "number unitless version"},
    {"name": "aliases", "label": "Aliases", "sort": "", "kind": "tags"},
    {"name": "data", "label": "Data", "sort": "dataset", "kind": "short"},
    {"name": "method", "label": "Method", "sort": "method", "kind": "short"},
    {"name": "learning_rate", "label": "Rate", "sort": "-learning_rate", "kind": "number"},
    {"name": "train_loss", "label": "Loss", "sort": "train_loss", "kind": "number"},
    {"name": "valid_loss", "label": "Valid. loss", "sort": "valid_loss", "kind": "number"},
    {"name": "time", "label": "Trained for", "sort": "-duration", "kind": "number unitless"},
    {"name": "parameters", "label": "Parameters", "sort": "-num_parameters", "kind": "number"},
    {"name": "size", "label": "Size", "sort": "-size_bytes", "kind": "number unitless"},
    {"name": "created", "label": "Created", "sort": NEWEST, "kind": "short"},
]
ALWAYS = ("name", "status")
DEFAULT = ("base", "version", "aliases", "data", "train_loss", "valid_loss", "size", "created")


def show_models(user: User) -> None:
    origins = models.origins(user)
    with st.container(horizontal=True, vertical_alignment="center", key="models_controls"):
        filters = _pick_filters(origins)
        columns = lists.pick_columns("models_columns", COLUMNS, always=ALWAYS, default=DEFAULT)
    lists.begin_anew(PAGE, filters)
    page = _fetch(user, filters)
    if not page.total:
        _show_empty(filtered=any(filters.values()))
        return
    _show_actions(user)
    shown = [model.id for model in page.items]
    newest = models.versions_by_id(user, [m.latest_version_id for m in page.items if m.latest_version_id])
    link_table.show_table(
        "models_table",
        [build_row(model, newest.get(model.latest_version_id or ""), origins) for model in page.items],
        columns=columns,
        sort=lists.sort_of(SORT, COLUMNS, NEWEST),
        on_sort=lambda chosen: lists.sort_by(SORT, COLUMNS, chosen, page=PAGE),
        label="Models",
        missing=digits.NULL,
        chosen=lists.ticked(TICKED),
        on_choose=lambda told: lists.tick(TICKED, told, shown=shown),
    )
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption(show.count(page.total, "model"), width="content")
        lists.pages(page, key=PAGE)
    if not any(filters.values()) and not any(model.owner_id for model in page.items):
        st.caption("Models of your own appear here once a fine-tuning has succeeded.")


def build_row(model: Model, version: ModelVersion | None, origins: Origins) -> dict[str, Any]:
    """One line of the table, every cell as it is read; None for what is not known.

    A custom model has no version of its own, so the making of the one below it is not told as its own.
    """
    made = version if version and model.type != "custom" else None
    settings = made.settings if made else {}
    metrics = made.metrics if made else {}
    data = settings.get("dataset") or {}
    method = METHODS.get(settings.get("method") or "")
    return {
        "id": model.id,
        "href": f"model?{urlencode({'id': model.id})}",
        "name": model.name,
        "about": model.description.splitlines()[0][:200] if model.description else "",
        "mark": "",
        "tone": TONES.get(model.type, ""),
        "state": model_view.TYPES.get(model.type, (model.type, "", ""))[0],
        "why": "answers on another server" if model.type == "external" else "",
        "progress": None,
        "base": origins.bases.get(model.base_model_id or ""),
        "version": str(model.latest_version) if model.latest_version and model.type != "custom" else None,
        "aliases": [f"@{alias} → v{number}" for alias, number in model.aliases.items()],
        "data": origins.versions.get((made.dataset_version_id if made else None) or "")
        or (f"{data['name']} v{data['number']}" if data.get("name") else None),
        "method": method.name if method else None,
        "method_help": method.title if method else "",
        "learning_rate": lists.cell((settings.get("resolved") or {}).get("learning_rate"), "{:g}"),
        "train_loss": lists.cell(metrics.get("train_loss"), "{:.3f}"),
        "valid_loss": lists.cell(metrics.get("valid_loss"), "{:.3f}"),
        "time": show.duration(metrics["seconds"]) if metrics.get("seconds") else None,
        "parameters": model_view.short(model.num_parameters) if model.num_parameters else None,
        "size": show.bytes_(model.size_bytes) if model.size_bytes else None,
        "created": show.ago(model.created_at),
        "created_help": show.when(model.created_at),
    }


def job_ids_of(user: User, chosen: Sequence[Model]) -> list[str]:
    """The jobs that may be compared: of one model those of its versions, newest first; of several the newest
    of each."""
    if len(chosen) == 1:
        versions: Sequence[ModelVersion] = models.list_versions(
            user, chosen[0].id, VersionList(limit=100)
        ).items
        found = [version.finetune_job_id for version in versions]
    else:
        found = [model.finetune_job_id for model in chosen]
    return list(dict.fromkeys(job_id for job_id in found if job_id))


def _show_actions(user: User) -> None:
    """One line above the table; nothing while no row is ticked."""
    chosen = _ticked(user)
    if not chosen:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="models_actions"):
        st.markdown(f"**{show.count(len(chosen), 'model')} chosen**", width="content")
        job_ids = job_ids_of(user, chosen)
        places.button(
            _compare_label(len(chosen), len(job_ids)),
            "compare",
            key="models_compare",
            icon="compare_arrows",
            primary=True,
            disabled=len(job_ids) < 2,
            ids=",".join(job_ids[:MOST]),
        )
        if len(chosen) == 1:
            places.button("Chat", "chat", key="models_chat", icon="chat", model=chosen[0].id)
            if chosen[0].capabilities.get("finetune"):
                places.button(
                    "Fine-tune", "fine_tuning", key="models_tune", icon="model_training",
                    base=chosen[0].id, new=1,
                )  # fmt: skip
        st.button("Choose none", key="models_none", type="tertiary", on_click=_forget)


def _compare_label(num_models: int, num_jobs: int) -> str:
    whose = "their" if num_models > 1 else "its"
    if num_jobs <= MOST:
        return f"Compare {whose} runs"
    return (
        f"Compare the first {MOST} of {whose} runs" if num_models > 1 else f"Compare its newest {MOST} runs"
    )


def _forget() -> None:
    st.session_state[TICKED] = []


def _ticked(user: User) -> list[Model]:
    """Those that are still there."""
    chosen: list[Model] = []
    for model_id in lists.ticked(TICKED):
        with suppress(NotFound):
            chosen.append(models.get(user, model_id))
    return chosen


def _pick_filters(origins: Origins) -> dict[str, Any]:
    text = lists.search("models_search", placeholder="Search by name")
    types = {name: label for name, (label, _, _) in model_view.TYPES.items()}
    chosen = {
        "type": lists.choose("models_type", "Type", {"": "All types", **types}),
        "base_model_id": lists.choose_of("models_base", "Base", "All bases", origins.bases),
        "dataset_id": lists.choose_of("models_dataset", "Dataset", "All datasets", origins.datasets),
    }
    return {"q": text, **{name: value or None for name, value in chosen.items()}}


def _fetch(user: User, filters: dict[str, Any]) -> Listed[Model]:
    sort = lists.sort_of(SORT, COLUMNS, NEWEST)
    return lists.page_of(
        lambda limit, offset: models.list_models(
            user, parse(ModelList, limit=limit, offset=offset, sort=sort, **filters)
        ),
        key=PAGE,
        per_page=PER_PAGE,
    )


def _show_empty(*, filtered: bool) -> None:
    if filtered:
        show.empty(
            "No model matches", "Try another word, or show all types, bases and datasets.", "search_off"
        )
        return
    show.empty(
        "No model yet",
        (
            "A model is what answers: a base, which comes with Luthier or from an admin, "
            "or what a fine-tuning makes of it."
        ),
        "deployed_code",
    )
