"""One sweep, followed live: /sweep?id=swp_…"""

from functools import partial

import streamlit as st

from core.fine_tuning import sweeps
from core.people.users import User
from core.ui import missing, places, show, sign_in
from core.ui.fine_tuning import sweep_view

DELETED = "_deleted_sweep"


def show_header(user: User, sweep: sweeps.Sweep) -> None:
    with show.header(sweep.name, icon="scatter_plot"):
        with st.container(horizontal=True, width="content", key="sweep_actions"):
            if sweep.active and st.button("Cancel", key="sweep_cancel", icon=":material/stop:"):
                sweep_view.ask_to_cancel(user, sweep)
            if not sweep.active and st.button("Delete", key="sweep_delete", icon=":material/delete:"):
                text = (
                    f"**{show.plain(sweep.name)}** and its {show.count(sweep.num_jobs, 'job')} will be "
                    f"gone. Their models stay."
                )
                show.confirm("sweep_delete", "Delete this sweep?", text, partial(delete, user, sweep))
    places.link("fine_tuning", "All jobs and sweeps", icon="arrow_back")
    st.caption(f"{sweep_view.describe(sweep)} · started {show.when(sweep.created_at)}")


def delete(user: User, sweep: sweeps.Sweep) -> None:
    sweeps.delete(user, sweep.id)
    st.session_state[DELETED] = sweep.id
    show.flash(f"{sweep.name} is deleted.", icon="delete")


user = sign_in.require_user()
sweep_id = places.query("id") or ""
if st.session_state.get(DELETED) == sweep_id:
    places.go("fine_tuning")
with show.guarded():
    sweep = missing.found_or_list(
        partial(sweeps.get, user),
        "sweep",
        page="fine_tuning",
        all_of_them="All jobs and sweeps",
        icon="scatter_plot",
    )
    show_header(user, sweep)
    sweep_view.show_live(user, sweep)
