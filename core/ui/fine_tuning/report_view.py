"""The export of a run: the popover on the job's page."""

from functools import partial

import streamlit as st

from core import fine_tuning
from core.people.users import User
from core.ui import show

WIDTH = 330  # pixels: it opens on a phone as well
FORMS = (
    (
        "ipynb",
        "Notebook",
        "menu_book",
        "Configuration, curves, samples, hardest rows, and how to repeat the run (.ipynb)",
    ),
    ("zip", "Plain files", "folder_zip", "YAML, CSV, JSON Lines and the log (.zip)"),
    ("tensorboard", "TensorBoard", "show_chart", "Its event files (.zip)"),
)


def show_reports(user: User, job: fine_tuning.Job) -> None:
    with st.popover("Export this run", icon=":material/ios_share:", key="job_reports").container(width=WIDTH):
        for form, label, icon, about in FORMS:
            if form == "tensorboard" and not fine_tuning.has_tensorboard(user, job.id):
                continue
            with st.container(gap=None, key=f"job_report_{form}"):
                address = f"/download/job/{job.id}/report?as={form}"
                st.link_button(label, address, icon=f":material/{icon}:", width="stretch")
                st.caption(about)
        show_mlflow(user, job)


def show_mlflow(user: User, job: fine_tuning.Job) -> None:
    missing, has_ended = fine_tuning.why_no_mlflow(), job.status not in fine_tuning.ACTIVE
    waits = "Params, metrics, tags and files as one run." if has_ended else "Possible once the run has ended."
    export = partial(export_to_mlflow, user, job.id)
    with st.container(gap=None):
        st.button(
            "MLflow",
            key="job_mlflow",
            icon=":material/science:",
            width="stretch",
            disabled=bool(missing) or not has_ended,
            on_click=show.attempt,
            args=(export,),
        )
        st.caption(show.plain(missing) if missing else waits)


def export_to_mlflow(user: User, job_id: str) -> None:
    export = fine_tuning.export_to_mlflow(user, job_id)
    show.flash(
        f"{'Written to' if export.is_new else 'It is already in'} MLflow as run {export.run_id}.",
        icon="science",
    )
