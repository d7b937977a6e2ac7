"""What can be done with the ticked jobs of the list: compare, pause, resume, tag, cancel, delete.

Each job is asked by itself, so what cannot be done to one is told and holds up no other. The buttons live in
a part of the page that renews itself, so questions are asked by the page: ``show_question``.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import streamlit as st

from core import fine_tuning
from core.errors import LuthierError, NotFound
from core.fields import parse
from core.fine_tuning import Annotation, Job
from core.fine_tuning.monitor.comparing import MOST
from core.people.users import User
from core.ui import dialogs, lists, places, show

TICKED = "jobs_ticked"  # their ids
ASKED = "_jobs_asked"  # the action whose question the page is to ask


class Action(NamedTuple):
    """``states``: of the jobs it can be done to; ``done`` follows their number; ``text`` is asked first."""

    label: str
    icon: str
    act: Callable[[User, str], object]
    states: Sequence[str]
    done: str
    text: str = ""


ENDED = ("succeeded", "failed", "cancelled")
ACTIONS = {
    "pause": Action("Pause", "pause", fine_tuning.pause, ("queued", "running"), "paused"),
    "resume": Action("Resume", "play_arrow", fine_tuning.resume, ("paused",), "resumed"),
    "cancel": Action(
        "Cancel",
        "stop",
        fine_tuning.cancel,
        fine_tuning.ACTIVE,
        "cancelled",
        "Their training stops and no model is made. To go on later, pause them instead.",
    ),
    "delete": Action(
        "Delete",
        "delete",
        fine_tuning.delete,
        ENDED,
        "deleted",
        "They will be gone for good, with their curves, checkpoints and logs. The models they made stay.",
    ),
}


def show_actions(user: User) -> None:
    """One line above the table; nothing while no row is ticked."""
    jobs = _ticked(user)
    if not jobs:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="jobs_actions"):
        st.markdown(f"**{show.count(len(jobs), 'job')} chosen**", width="content")
        ids = ",".join(job.id for job in jobs[:MOST])
        places.button(
            "Compare" if len(jobs) <= MOST else f"Compare the first {MOST}",
            "compare",
            key="jobs_compare",
            icon="compare_arrows",
            primary=True,
            disabled=len(jobs) < 2,
            ids=ids,
        )
        for name, action in ACTIONS.items():
            of_these = [job for job in jobs if job.status in action.states]
            if of_these and st.button(action.label, key=f"jobs_{name}", icon=f":material/{action.icon}:"):
                _begin(user, name, of_these)
        with st.popover("Tag", icon=":material/sell:", key="jobs_tag_open"):
            _show_tags(user, jobs)
        st.button("Choose none", key="jobs_none", type="tertiary", on_click=forget)


def show_question(user: User) -> None:
    """On a run of the whole page: the question that a press asked for."""
    name = st.session_state.pop(ASKED, None)
    if name is None:
        return
    action = ACTIONS[name]
    jobs = [job for job in _ticked(user) if job.status in action.states]
    if jobs:
        what = show.count(len(jobs), "job")
        names = ", ".join(show.plain(job.name) for job in jobs[:5]) + (" …" if len(jobs) > 5 else "")
        show.confirm(
            f"jobs_{name}",
            f"{action.label} {what}?",
            f"**{names}**  \n{action.text}",
            partial(act_on, user, name, [job.id for job in jobs]),
            yes=f"{action.label} {what}",
            keep="Leave them",
        )


def act_on(user: User, name: str, job_ids: Sequence[str]) -> None:
    """What was done and what could not be is told by the run that follows."""
    action = ACTIONS[name]
    _each(job_ids, lambda job_id: action.act(user, job_id), done=action.done, icon=action.icon)
    if name == "delete":
        st.session_state[TICKED] = [one for one in lists.ticked(TICKED) if one not in job_ids]


def forget() -> None:
    st.session_state[TICKED] = []


def _begin(user: User, name: str, jobs: Sequence[Job]) -> None:
    if ACTIONS[name].text:
        st.session_state[ASKED] = name
    else:
        act_on(user, name, [job.id for job in jobs])
    dialogs.renew()


def _show_tags(user: User, jobs: Sequence[Job]) -> None:
    with st.form("jobs_tag_form", border=False, clear_on_submit=True):
        text = st.text_input("Tag", key="jobs_new_tag", max_chars=40, placeholder="baseline")
        with st.container(horizontal=True):
            adds = st.form_submit_button("Add to all", key="jobs_tag_add", type="primary")
            removes = st.form_submit_button("Remove from all", key="jobs_tag_remove")
    tag = " ".join(text.split())
    if not tag or not (adds or removes):
        return
    tags = {job.id: [one for one in job.tags if one != tag] + ([tag] if adds else []) for job in jobs}
    _each(
        list(tags),
        lambda job_id: fine_tuning.annotate(user, job_id, parse(Annotation, tags=tags[job_id])),
        done="tagged" if adds else "without the tag",
        icon="sell",
    )
    dialogs.renew()


def _each(job_ids: Sequence[str], act: Callable[[str], object], *, done: str, icon: str) -> None:
    number = 0
    for job_id in job_ids:
        try:
            act(job_id)
            number += 1
        except LuthierError as err:
            show.flash_error(err)
    if number:
        show.flash(f"{show.count(number, 'job')} {done}.", icon=icon)


def _ticked(user: User) -> list[Job]:
    """Those that are still there."""
    jobs: list[Job] = []
    for job_id in lists.ticked(TICKED):
        with suppress(NotFound):
            jobs.append(fine_tuning.get(user, job_id))
    return jobs
