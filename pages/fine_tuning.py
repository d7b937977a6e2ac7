"""Fine-tuning jobs, and the form that starts one.

/fine_tuning lists, ?new=1 or ?dataset=ds_…&version=2 opens the form
(with &columns={"prompt": …} the mapping is filled in), ?job=ftj_… opens it with that job's settings.
"""

from typing import Any

import streamlit as st

from core import fine_tuning, models, training
from core.errors import LuthierError
from core.fields import parse
from core.fine_tuning import NewJob, sources
from core.fine_tuning.sources import Base
from core.people.users import User
from core.security import new_token
from core.ui import guide_view, places, show, sign_in
from core.ui.datasets import column_mapping
from core.ui.fine_tuning import form, form_data, form_plan, form_recipe, sweep_form, sweep_view, tokens_view
from core.ui.fine_tuning import form_settings as settings
from core.ui.fine_tuning.form_data import Data
from core.ui.fine_tuning.jobs import job_list, job_queue


def show_list(user: User) -> None:
    form.forget()
    with show.header(
        "Fine-tuning",
        "Teach a model your rows. Each job ends as a version in the registry.",
        icon="model_training",
    ):
        places.button("New fine-tuning", "fine_tuning", key="ft_new", icon="add", primary=True, new=1)
    jobs, sweeps = st.tabs(("Jobs", "Sweeps"), key="ft_tabs", on_change="rerun")
    if jobs.open:
        with jobs:
            job_queue.show_queue(user)
            job_list.show_jobs(user)
    if sweeps.open:
        with sweeps:
            sweep_view.show_sweeps(user)


def show_form(user: User) -> None:
    with show.header("New fine-tuning", "Rows in, a model you can call out.", icon="model_training"):
        form_recipe.show_loading()
    with st.container(horizontal=True, gap="small"):
        places.link("fine_tuning", "All jobs", icon="arrow_back")
        guide_view.link("Guide: methods, settings, when it does not learn", "fine-tuning")
    given = form.given_request(user, places.query("job"))
    left, right = st.columns([11, 10], gap="large")
    with left:
        with st.container(border=True, key="ft_data"):
            st.subheader("1 · Data and method", anchor=False)
            columns = column_mapping.from_address(places.query("columns"))
            data = form_data.pick_data(
                user, places.query("dataset"), places.query("version"), columns=columns, given=given
            )
            if data is None:
                return
            method = form_data.pick_method(data, given)
        with st.container(border=True, key="ft_model"):
            st.subheader("2 · Model and settings", anchor=False)
            base = form.pick_base(user, given.base_model_id if given else places.query("base"))
            if base is None:
                return
            weights = sources.find_base(user, base.id)
            hyperparameters = settings.pick_settings(method, find_automatic(data, weights, method))
        sweep = sweep_form.pick_sweep(hyperparameters)
        with st.container(border=True, key="ft_check"):
            st.subheader("3 · Validation and name", anchor=False)
            validation = form.pick_validation(user, data, given)
            name = st.text_input(
                "Name of the model",
                key="ft_name",
                persist_state="page",
                max_chars=100,
                placeholder="Chosen for you",
                help=NAME_HELP,
            )
            more = form.pick_more()
    request = build_request(data, base, method, hyperparameters, {**validation, **more}, name)
    request["copied_from"] = (
        places.query("job") if given is not None and not st.session_state.get(form.FILE) else None
    )
    with right:
        st.subheader("What the model sees", anchor=False)
        new = check_request(request)
        job_sources = form_data.look_up(user, new, weights) if new is not None else None
        rows_are_fine = tokens_view.show_data(user, data, new, job_sources) if new is not None else False
    if new is not None:
        with st.container(border=True, key="ft_plan"):
            estimate = form_plan.show_plan(user, new, job_sources)
        with st.bottom:  # in view however long the form is
            form_plan.show_start(user, new, sweep, estimate, possible=rows_are_fine)


NAME_HELP = "You call the model by it. A name you have used before makes that model's next version."


def find_automatic(data: Data, base: Base, method: str) -> training.Settings:
    """What the fields that are left alone become, given those that are not."""
    chosen = parse(training.Hyperparameters, **settings.chosen_now(method))
    return fine_tuning.automatic(base, chosen, method=method, num_rows=data.version.num_rows)


def build_request(
    data: Data,
    base: models.Model,
    method: str,
    hyperparameters: dict[str, Any],
    others: dict[str, Any],
    name: str | None,
) -> dict[str, Any]:
    return {
        "base_model_id": base.id,
        "dataset_id": data.dataset.id,
        "dataset_version_id": data.version.id,
        "columns": data.columns,
        "method": method,
        "hyperparameters": hyperparameters,
        "name": (name or "").strip() or None,
        "idempotency_key": st.session_state.setdefault(form_plan.TRY_KEY, new_token()),
        **others,
    }


def check_request(request: dict[str, Any]) -> NewJob | None:
    try:
        return parse(NewJob, **request)
    except LuthierError as err:
        show.error(err)
        return None


user = sign_in.require_user()
with show.guarded():
    if any(places.query(name) for name in ("new", "dataset", "job")):
        show_form(user)
    else:
        show_list(user)
