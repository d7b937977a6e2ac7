"""Fine-tuning jobs, and the form that starts one.

/fine_tuning lists, ?new=1 or ?dataset=ds_…&version=2 opens the form
(with &columns={"prompt": …} the mapping is filled in), ?job=ftj_… opens it with that job's settings.
"""

from typing import Any

import streamlit as st

from core import fine_tuning, models
from core.errors import LuthierError
from core.fields import parse
from core.security import new_token
from core.ui import column_mapping, job_list, job_queue, places, session, show, sweep_form, sweep_view
from core.ui import fine_tuning_form as form
from core.ui.fine_tuning_form import Data
from core.users import User

TRY_KEY = "ft_idempotency_key"


def show_list(user: User) -> None:
    with show.header("Fine-tuning", "Teach a model your rows. Each job ends as a version in the registry.", icon="model_training"):
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
    show.header("New fine-tuning", "Rows in, a model you can call out.", icon="model_training")
    places.link("fine_tuning", "All jobs", icon="arrow_back")
    earlier = form.earlier_job(user, places.query("job"))
    left, right = st.columns([11, 9], gap="large")
    with left:
        with st.container(border=True, key="ft_data"):
            st.subheader("1 · Data", anchor=False)
            columns = column_mapping.from_address(places.query("columns"))
            data = form.pick_data(user, places.query("dataset"), places.query("version"), columns=columns, earlier=earlier)
        if data is None:
            return
        with st.container(border=True, key="ft_model"):
            st.subheader("2 · Model", anchor=False)
            base = form.pick_base(user, earlier.base_model_id if earlier else places.query("base"))
            hyperparameters = form.pick_settings(earlier.asked if earlier else {})
        sweep = sweep_form.pick_sweep(hyperparameters)
        with st.container(border=True, key="ft_check"):
            st.subheader("3 · Validation and name", anchor=False)
            validation = form.pick_validation(user, data)
            name = st.text_input("Name of the model", key="ft_name", max_chars=100, placeholder="Chosen for you", help=NAME_HELP)
    with right:
        st.subheader("What the model will read", anchor=False)
        report = form.show_rows(user, data)
    if base is not None:
        request = build_request(data, base, hyperparameters, validation, name) | {"copied_from": earlier.id if earlier else None}
        show_start(user, report.ok, request, sweep)


NAME_HELP = "You call the model by it. A name you have used before makes that model's next version."


def build_request(
    data: Data, base: models.Model, hyperparameters: dict[str, Any], validation: dict[str, Any], name: str | None
) -> dict[str, Any]:
    return {
        "base_model_id": base.id,
        "dataset_id": data.dataset.id,
        "dataset_version_id": data.version.id,
        "columns": data.columns,
        "hyperparameters": hyperparameters,
        "name": (name or "").strip() or None,
        "idempotency_key": st.session_state.setdefault(TRY_KEY, new_token()),
        **validation,
    }


def show_start(user: User, rows_are_fine: bool, request: dict[str, Any], sweep: dict[str, Any] | None) -> None:
    """The plan and the button. Both ask the service with the same values, so what is shown is what runs."""
    with st.container(border=True, key="ft_plan"):
        planned = False
        try:
            new = parse(fine_tuning.NewJob, **request)
            form.show_plan(fine_tuning.plan(user, new))
            planned = rows_are_fine
        except LuthierError as err:
            show.error(err)
        count = sweep_form.count(sweep)
        label = "Start fine-tuning" if sweep is None else f"Start {show.count(count, 'job')}"
        disabled = not planned or not count
        if st.button(label, key="ft_start", type="primary", icon=":material/play_arrow:", disabled=disabled):
            with show.guarded():
                if sweep is not None:
                    started = sweep_form.start(user, request, sweep)
                    st.session_state.pop(TRY_KEY, None)
                    places.go("sweep", id=started.id)
                job = fine_tuning.create(user, new)
                st.session_state.pop(TRY_KEY, None)
                places.go("job", id=job.id)


user = session.require_user()
with show.guarded():
    if any(places.query(name) for name in ("new", "dataset", "job")):
        show_form(user)
    else:
        show_list(user)
