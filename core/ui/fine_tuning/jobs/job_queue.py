"""The waiting jobs as a queue: place, expected start, and what changes the order.

Live, as places move while people watch.
"""

from collections.abc import Callable
from functools import partial

import streamlit as st

from core import fine_tuning
from core.errors import LuthierError
from core.fields import parse
from core.fine_tuning import PRIORITIES, Job, Move, Priority, Queue, QueuedJob
from core.people.users import User
from core.ui import dialogs, places, show

EVERY = 2.0  # seconds
SHOWN = 25
AT_ONCE_SECONDS = 15


def show_queue(user: User) -> None:
    """Nothing while nothing of the user's waits."""
    if fine_tuning.queue(user).items:
        st.fragment(_draw, run_every=EVERY)(user)


def show_place(user: User, job: Job) -> None:
    """On the page of a waiting job: where it stands and when it will start."""
    if job.status == "queued":
        st.fragment(_draw_place, run_every=EVERY)(user, job.id)


def describe_start(queued: QueuedJob) -> str:
    """``starts in about 4 min``"""
    seconds = queued.starts_in_seconds
    if seconds is None:
        return "start not known yet"
    return (
        "starts next" if seconds < AT_ONCE_SECONDS else f"starts in about {show.duration(seconds, parts=1)}"
    )


def describe_queue(queue: Queue) -> str:
    """``1 of 1 place taken · 1 of 2 devices in use · 3 jobs of others wait``"""
    words = [f"{queue.running} of {show.count(queue.places, 'place')} taken"]
    if queue.places > 1:
        words.append(f"{queue.devices_in_use} of {show.count(queue.devices, 'device')} in use")
    if queue.others_waiting:
        words.append(
            f"{show.count(queue.others_waiting, 'job')} of others "
            f"{'waits' if queue.others_waiting == 1 else 'wait'}"
        )
    return " · ".join(words)


def _draw(user: User) -> None:
    with show.guarded():
        queue = fine_tuning.queue(user)
        if not queue.items:
            dialogs.renew()
        with st.container(border=True, gap="small", key="queue"):
            with st.container(
                horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
            ):
                st.subheader("Queue", anchor=False, width="content")
                st.caption(describe_queue(queue), width="content")
            for index, queued in enumerate(queue.items[:SHOWN]):
                _show_row(user, queued, is_first=index == 0, is_last=index == len(queue.items) - 1)
            if len(queue.items) > SHOWN:
                st.caption(f"and {show.count(len(queue.items) - SHOWN, 'job')} of yours behind them")


def _show_row(user: User, queued: QueuedJob, *, is_first: bool, is_last: bool) -> None:
    key = f"queue_{queued.id}"
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key=key
    ):
        with st.container(horizontal=True, vertical_alignment="center", width="content", gap="small"):
            st.markdown(f":gray-badge[{queued.place}]", width="content", help=_describe_place(queued))
            places.link("job", show.plain(queued.name), icon="schedule", id=queued.id)
            st.caption(describe_start(queued), width="content")
        with st.container(horizontal=True, vertical_alignment="center", width="content", gap="xsmall"):
            _pick_priority(user, queued)
            _move_button(user, queued, "up", "arrow_upward", disabled=is_first)
            _move_button(user, queued, "down", "arrow_downward", disabled=is_last)


def _pick_priority(user: User, queued: QueuedJob) -> None:
    """A menu that holds no value of its own: rows change places
    while they are drawn, and a kept value would follow another row."""
    key = f"queue_priority_{queued.id}"

    def change() -> None:
        fine_tuning.set_priority(user, queued.id, st.session_state[key])

    st.menu_button(
        PRIORITIES[queued.priority].capitalize(),
        list(PRIORITIES),
        format_func=lambda priority: PRIORITIES[priority].capitalize(),
        key=key,
        help=f"Priority. {Priority.model_fields['priority'].description}",
        on_click=_attempt,
        args=(change,),
    )


def _move_button(user: User, queued: QueuedJob, to: str, icon: str, *, disabled: bool) -> None:
    move = partial(fine_tuning.move, user, queued.id, parse(Move, to=to))
    st.button(
        to.capitalize(),
        key=f"queue_{to}_{queued.id}",
        icon=f":material/{icon}:",
        help=f"Move {show.plain(queued.name)} {to}",
        disabled=disabled,
        on_click=_attempt,
        args=(move,),
    )


def _attempt(act: Callable[[], object]) -> None:
    """A message that stays while the queue is drawn again underneath it."""
    try:
        act()
    except LuthierError as err:
        st.toast(show.plain(err.message), icon=":material/error:")


def _describe_place(queued: QueuedJob) -> str:
    others = f", {show.count(queued.others_ahead, 'job')} of others before it" if queued.others_ahead else ""
    return f"Place {queued.place} in the queue{others}"


def _draw_place(user: User, job_id: str) -> None:
    with show.guarded():
        queued = next((item for item in fine_tuning.queue(user).items if item.id == job_id), None)
        if queued is None:
            return
        with st.container(
            border=True,
            horizontal=True,
            horizontal_alignment="distribute",
            vertical_alignment="center",
            key="job_place",
        ):
            st.markdown(f":material/schedule: **{_describe_place(queued)}** · {describe_start(queued)}")
            places.link("fine_tuning", "Change the order", icon="swap_vert")
