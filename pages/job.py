"""One fine-tuning job, followed live: /job?id=ftj_…"""

from collections.abc import Callable
from functools import partial

import streamlit as st

from core import fine_tuning
from core.people.users import User
from core.security import new_token
from core.ui import missing, places, show, sign_in
from core.ui.fine_tuning import checkpoint_view, form_recipe, report_view
from core.ui.fine_tuning.jobs import job_monitor, job_notes_view, job_queue

DELETED = "_deleted_job"
AGAIN_HELP = "The same data, base, seed and settings, as a new job."
CANNOT_BE_UNDONE = "The training stops and no model is made. To go on later, pause it instead."


def show_header(user: User, job: fine_tuning.Job) -> None:
    with show.header(job.name, icon="monitoring"):
        with st.container(horizontal=True, vertical_alignment="center", width="content", key="job_actions"):
            show.badge(job.status)
            show_buttons(user, job)
    show_facts(user, job)


def show_buttons(user: User, job: fine_tuning.Job) -> None:
    """Only what the job's state allows; the service decides."""
    if job.status in ("queued", "running"):
        act_button("Pause", "pause", partial(fine_tuning.pause, user, job.id))
    if job.status == "paused":
        act_button("Resume", "play_arrow", partial(fine_tuning.resume, user, job.id))
    if job.status in fine_tuning.ACTIVE and st.button("Cancel", key="job_cancel", icon=":material/stop:"):
        cancel = partial(fine_tuning.cancel, user, job.id)
        show.confirm(
            "job_cancel",
            "Cancel this job?",
            CANNOT_BE_UNDONE,
            cancel,
            yes="Cancel the job",
            keep="Keep it running",
        )

    if job.status not in fine_tuning.ACTIVE:
        show_end_buttons(user, job)


def show_end_buttons(user: User, job: fine_tuning.Job) -> None:
    key = st.session_state.setdefault(f"rerun_{job.id}", new_token())  # pressing twice makes one job
    if st.button("Run again", key="job_rerun", icon=":material/replay:", help=AGAIN_HELP):
        with show.guarded():
            again = fine_tuning.rerun(user, job.id, idempotency_key=key)
            st.session_state.pop(f"rerun_{job.id}", None)
            places.go("job", id=again.id)
    places.button("Duplicate", "fine_tuning", key="job_duplicate", icon="content_copy", job=job.id)
    if st.button("Delete", key="job_delete", icon=":material/delete:"):
        kept = " The model that it made stays." if job.model_id else ""
        text = (
            f"**{show.plain(job.name)}** will be gone for good, with its curves, checkpoints and log.{kept}"
        )
        show.confirm("job_delete", "Delete this job?", text, partial(delete, user, job))


def delete(user: User, job: fine_tuning.Job) -> None:
    fine_tuning.delete(user, job.id)
    st.session_state[DELETED] = job.id
    show.flash(f"{job.name} is deleted.", icon="delete")


def act_button(label: str, icon: str, act: Callable[[], object]) -> None:
    st.button(
        label, key=f"job_{label.lower()}", icon=f":material/{icon}:", on_click=show.attempt, args=(act,)
    )


def show_facts(user: User, job: fine_tuning.Job) -> None:
    """Where it comes from, in one line of links, and below it what can be done with the run."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="job_facts"):
        for to in job_monitor.build_lineage(user, job):
            places.link(to.page, to.label, icon=to.icon, **to.query)
        if job.group_id:
            places.link("sweep", "Its sweep", icon="scatter_plot", id=job.group_id)
        st.caption(job_monitor.describe_times(job), width="content")
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="job_tools"):
        places.link("compare", "Compare with …", icon="compare_arrows", ids=job.id)
        report_view.show_reports(user, job)
        form_recipe.show_download(job)
        job_notes_view.show_form(user, job)
    job_notes_view.show_notes(job)


user = sign_in.require_user()
if st.session_state.get(DELETED, "") == places.query("id"):
    places.go("fine_tuning")
with show.guarded():
    job = missing.found_or_list(
        partial(fine_tuning.get, user), "job", page="fine_tuning", all_of_them="All jobs", icon="monitoring"
    )
    show_header(user, job)
    job_monitor.show_next(job)
    job_queue.show_place(user, job)
    job_monitor.show_live(user, job)
    checkpoint_view.show_dialog(user, job)
