"""What a training reports: its events by level, and its log, followed or searched."""

import html
import re

import streamlit as st

from core import fine_tuning
from core.fine_tuning import EventList, LogLine
from core.people.users import User
from core.ui import show

LEVELS = {"info": "", "warn": ":orange[:material/warning:] ", "error": ":red[:material/error:] "}
SHOWN = {"All": None, "Warnings": "warn", "Errors": "error"}
TAIL, FOUND = 200, 200  # lines


def show_events(user: User, job: fine_tuning.Job) -> None:
    chosen = st.segmented_control(
        "Which events",
        list(SHOWN),
        default="All",
        required=True,
        key="job_event_level",
        label_visibility="collapsed",
    )
    query = EventList(limit=100, sort="-created_at", level=SHOWN[chosen or "All"])
    page = fine_tuning.events(user, job.id, query)
    if not page.items:
        st.caption("Nothing has happened yet." if chosen == "All" else f"No {(chosen or '').lower()}.")
        return
    with st.container(height=320, border=True, key="job_events"):
        lines = (
            f":gray[{show.when(e.created_at)}] {LEVELS.get(e.level, '')}{show.plain(e.message)}"
            for e in page.items
        )
        st.markdown("  \n".join(lines))
    if page.total > len(page.items):
        st.caption(f"The newest {len(page.items)} of {page.total:,}.")


def show_log(user: User, job: fine_tuning.Job) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="job_log_controls"):
        text = st.text_input(
            "Search the log",
            key="job_log_search",
            type="search",
            placeholder="Search the whole log",
            icon=":material/search:",
            label_visibility="collapsed",
            max_chars=200,
            width=360,  # on a phone a row of its own
        )
        follows = st.toggle(
            "Follow", value=True, key="job_log_follow", help="Stay at the newest line as the log grows."
        )
        st.link_button(
            "Download",
            f"/download/job/{job.id}/log",
            icon=":material/download:",
            help="The whole log as a file.",
        )
    wanted = (text or "").strip()
    if wanted:
        _show_found(user, job, wanted)
    else:
        _show_tail(user, job, follows=follows)


def _show_tail(user: User, job: fine_tuning.Job, *, follows: bool) -> None:
    text = fine_tuning.log_tail(user, job.id, tail=TAIL)
    if not text:
        st.caption("The worker has not written anything yet.")
        return
    with st.container(height=340, border=True, autoscroll=follows, key="job_log"):
        st.code(text, language=None, wrap_lines=True)


def _show_found(user: User, job: fine_tuning.Job, wanted: str) -> None:
    result = fine_tuning.search_log(user, job.id, wanted, limit=FOUND)
    if not result.total:
        st.caption(f"No line of {result.num_lines:,} holds that. Letter case does not matter.")
        return
    shown = f", the last {len(result.lines)} of them below" if result.total > len(result.lines) else ""
    st.caption(f"{show.count(result.total, 'line')} of {result.num_lines:,}{shown}")
    with st.container(height=340, border=True, key="job_log"):
        st.html(build_found(result.lines, wanted))


def build_found(lines: list[LogLine], wanted: str) -> str:
    """The lines with their numbers, each match marked."""
    width = len(str(lines[-1].number))
    rows = "\n".join(
        f'<span style="opacity:.6">{line.number:>{width}}</span>  {mark(line.text, wanted)}' for line in lines
    )
    return f'<pre style="white-space:pre-wrap;overflow-wrap:anywhere;margin:0;font-size:.85rem">{rows}</pre>'


def mark(text: str, wanted: str) -> str:
    """Escaped, with the matches between ``<mark>``."""
    parts = re.split(f"({re.escape(wanted)})", text, flags=re.IGNORECASE)
    return "".join(
        f'<mark style="background:#fde68a;color:#111827">{html.escape(part)}</mark>'
        if i % 2
        else html.escape(part)
        for i, part in enumerate(parts)
    )
