"""Several runs side by side: /compare?ids=ftj_…,ftj_…"""

from contextlib import suppress

import streamlit as st

from core import fine_tuning
from core.errors import NotFound
from core.fine_tuning import JobList
from core.fine_tuning.monitor.comparing import MOST
from core.people.users import User
from core.ui import places, show, sign_in
from core.ui.fine_tuning import compare_view

RECENT = 100


def pick_runs(user: User) -> list[str]:
    """The runs of the address, and others to add; what is chosen becomes the address.

    Those of the address that are gone, or never were, are told and left out.
    """
    job_ids = [job_id for job_id in (places.query("ids") or "").split(",") if job_id][:MOST]
    named = {job.id: job for job in fine_tuning.list_jobs(user, JobList(limit=RECENT)).items}
    for job_id in job_ids:
        if job_id not in named:
            with suppress(NotFound):
                named[job_id] = fine_tuning.get(user, job_id)
    if gone := sum(job_id not in named for job_id in job_ids):
        st.caption(f":material/search_off: {show.count(gone, 'run')} of this address cannot be found.")
    job_ids = [job_id for job_id in job_ids if job_id in named]
    names = compare_view.labels(list(named.values()))
    if "compare_runs" not in st.session_state:
        st.session_state["compare_runs"] = job_ids
    chosen = st.multiselect(
        "Runs",
        list(named),
        format_func=lambda job_id: names[job_id],
        max_selections=MOST,
        key="compare_runs",
        persist_state="page",
        placeholder="Choose up to ten runs",
    )
    wanted = ",".join(chosen)
    # only a change: writing the address takes out of it what was chosen in the browser since this run began
    if wanted != (places.query("ids") or ""):
        st.query_params["ids"] = wanted
    return chosen


user = sign_in.require_user()
show.header(
    "Compare runs", "Their curves in one picture, and what made the difference.", icon="compare_arrows"
)
places.link("fine_tuning", "All jobs", icon="arrow_back")
with show.guarded():
    runs = pick_runs(user)
    if len(runs) < 2:
        show.empty(
            "Choose at least two runs", "Pick them above, or tick them in the list of jobs.", "compare_arrows"
        )
    if runs:
        compare_view.show_comparison(user, runs)
