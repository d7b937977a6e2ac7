"""What every page draws the same way: headers, errors, empty states,
badges, confirmations, and how times and sizes are written.

``build_*`` and the formats compute text, the rest draws. Nothing here knows the domain beyond the names of
its states.
"""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.clock import now
from core.errors import LuthierError, RateLimited, ValidationError
from core.processes.rounds import reason_of
from core.ui import dialogs

log = logging.getLogger(__name__)

Colour = Literal["red", "orange", "blue", "green", "violet", "gray", "primary"]
FLASH = "_flash"
REORDERING = re.compile("[\u202a-\u202e\u2066-\u2069]")  # they would reverse the text after a name, too
# Where GFM begins to see an address: www|.example.com, ht|tp://example.com, a|@example.com. It looks for them
# in the finished text, so escaping does not help; an empty coloured part cuts the text in two, and nothing of
# it is seen or copied.
ADDRESSES = re.compile(r"www(?=\.)|ht(?=tps?\\:)|(?<=[\w.+-])(?=@[\w-])", re.IGNORECASE)
NOTHING = ":gray[]"
# What Streamlit puts a picture or another sign for, also in the finished text: :smile:, :material/home:, ->
REPLACED = re.compile(
    r":(?=[\w+-]+:)|:(?=material/)|(?<![-<>=~])(?:<->|->|<-|--|>=|<=|~=)(?![-<>=~])", re.ASCII
)
CUT = "\ufdd0"  # stands for NOTHING while a text is escaped; no character
MARKDOWN = re.compile(r"([\\`*_\[\]<>#|~:$&]|^\s*[-+])", re.MULTILINE)


class Badge(NamedTuple):
    """How one state looks: the word, its symbol and its colour."""

    label: str
    icon: str
    colour: Colour


BADGES = {
    "ready": Badge("Ready", "check_circle", "green"),
    "processing": Badge("Processing", "progress_activity", "blue"),
    "failed": Badge("Failed", "error", "red"),
    "validating": Badge("Validating", "rule", "blue"),
    "queued": Badge("Queued", "schedule", "gray"),
    "running": Badge("Running", "progress_activity", "blue"),
    "paused": Badge("Paused", "pause_circle", "orange"),
    "succeeded": Badge("Succeeded", "check_circle", "green"),
    "cancelled": Badge("Cancelled", "cancel", "gray"),
    "generating": Badge("Writing", "progress_activity", "blue"),
    "active": Badge("Active", "check_circle", "green"),
    "expired": Badge("Expired", "timer_off", "gray"),
    "revoked": Badge("Revoked", "block", "gray"),
    "used": Badge("Used", "how_to_reg", "gray"),
}


def header(title: str, subtitle: str | None = None, icon: str | None = None) -> DeltaGenerator:
    """The page's title; ``icon`` is a Material symbol's name.

    Names of users' things are shown as they are, never as markdown.

    Returns the place at its right for the page's main action: ``with show.header(…): st.button(…)``.
    """
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title(plain(title), icon=f":material/{icon}:" if icon else None, anchor=False, width="content")
        actions = st.container(horizontal=True, width="content")
    if subtitle:
        st.caption(subtitle)
    flush_flash()
    return actions


def empty(title: str, text: str, icon: str | None = None) -> None:
    """What stands where a list would be; draw the next step's button right after it."""
    with st.container(border=True, horizontal_alignment="center", key=f"empty_{slug(title)}"):
        st.space("xsmall")
        if icon:
            st.markdown(f"# :material/{icon}:", text_alignment="center", anchors=False)
        st.markdown(f"**{title}**", text_alignment="center")
        st.caption(text, text_alignment="center")
        st.space("xsmall")


def badge(status: str, *, help: str | None = None) -> None:
    look = look_of(status)
    st.badge(look.label, icon=f":material/{look.icon}:", color=look.colour, help=help)


def badge_text(status: str) -> str:
    """The same badge inside markdown."""
    look = look_of(status)
    return f":{look.colour}-badge[:material/{look.icon}: {look.label}]"


def look_of(status: str) -> Badge:
    return BADGES.get(status) or Badge(status.replace("_", " ").capitalize(), "circle", "gray")


def error(err: LuthierError) -> None:
    """One domain error as a message, its broken fields or lines below."""
    text = plain(err.message)
    if isinstance(err, RateLimited):
        text += f" Try again in {duration(err.retry_after)}."
    if isinstance(err, ValidationError):
        text += "".join(
            f"\n- {plain(d.field)}: {plain(d.message)}"
            for d in err.details[:20]
            if d.message not in err.message
        )
    st.error(text, icon=":material/error:")


@contextmanager
def guarded() -> Iterator[None]:
    """Draw a domain error where it happened instead of raising it. What follows the block still runs."""
    try:
        yield
    except LuthierError as err:
        error(err)


def problem(ex: Exception) -> bool:
    """Streamlit's hook for what no page expected: a sentence for the reader, the traceback for the log.

    True: it is drawn.
    """
    if known := ex if isinstance(ex, LuthierError) else reason_of(ex):
        error(known)
        return True
    log.error("a page failed", exc_info=ex)
    st.error(
        (
            "Something went wrong on this page; the server's log has the details. Reload the page, "
            "and tell an admin if it stays."
        ),
        icon=":material/error:",
    )
    return True


def flash(message: str, icon: str = "check_circle") -> None:
    """Say it on the next run, even on another page: for what a callback or a dialog has done."""
    kept = st.session_state.setdefault(FLASH, [])
    if (message, icon, None) not in kept:
        kept.append((message, icon, None))


def flash_error(err: LuthierError) -> None:
    st.session_state.setdefault(FLASH, []).append((err.message, "error", err))


def flush_flash() -> None:
    """Draw what was kept by ``flash``; ``header`` does it for every page."""
    for message, icon, err in st.session_state.pop(FLASH, []):
        if err is None:
            st.toast(plain(message), icon=f":material/{icon}:")
        else:
            error(err)


def confirm(
    key: str,
    title: str,
    text: str,
    on_yes: Callable[[], object],
    *,
    yes: str = "Delete",
    keep: str = "Cancel",
) -> None:
    """Ask before something is lost.

    Call it where the opening button was pressed; ``on_yes`` runs as a callback.

    Keys: ``{key}_yes`` and ``{key}_no``. An error of ``on_yes`` is shown on the page once the dialog has
    closed.
    """

    @dialogs.dialog(title, icon=":material/warning:")
    def ask() -> None:
        st.markdown(text)
        with st.container(horizontal=True, horizontal_alignment="right"):
            no = st.button(keep, key=f"{key}_no")
            done = st.button(yes, key=f"{key}_yes", type="primary", on_click=attempt, args=(on_yes,))
        if no or done:
            st.rerun()

    ask()


def attempt(act: Callable[[], object]) -> None:
    """As a button's ``on_click``: what ``act`` raises is shown
    by the page's header on the run that follows."""
    try:
        act()
    except LuthierError as err:
        flash_error(err)


def ago(moment: datetime | None) -> str:
    """``just now``, ``5 min ago``, ``yesterday``, else the date."""
    if moment is None:
        return "never"
    seconds = (now() - _utc(moment)).total_seconds()
    if seconds < 0:
        return f"in {duration(-seconds)}"
    if seconds < 45:
        return "just now"
    if seconds < 86_400:
        return f"{duration(seconds, parts=1)} ago"
    if seconds < 7 * 86_400:
        days = int(seconds // 86_400)
        return "yesterday" if days == 1 else f"{days} days ago"
    return f"{_utc(moment):%d %b %Y}".lstrip("0")


def when(moment: datetime | None) -> str:
    """The date and time on the reader's clock."""
    return f"{_utc(moment).astimezone(_zone()):%Y-%m-%d %H:%M}" if moment else "–"


def duration(seconds: float | None, *, parts: int = 2) -> str:
    """``4 s``, ``2 min 5 s``, ``3 h 10 min``."""
    if seconds is None:
        return "–"
    left = round(seconds)
    words: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or (unit == "s" and not words):
            words.append(f"{count} {unit}")
    return " ".join(words[:parts])


def bytes_(n: int | float | None) -> str:
    """``812 B``, ``1.4 MB``: decimal units, as operating systems show file sizes."""
    if n is None:
        return "–"
    size, unit = float(n), 0
    units = ("B", "kB", "MB", "GB", "TB")
    while size >= 999.5 and unit < len(units) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} B" if unit == 0 else f"{size:.3g} {units[unit]}"


def number(n: int | float | None) -> str:
    """``7,473``; ``–`` for nothing."""
    if n is None:
        return "–"
    return f"{n:,}" if isinstance(n, int) else f"{n:,.4g}"


def count(n: int, noun: str) -> str:
    """``1 row``, ``7,473 rows``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def turn(ahead: int | None) -> str:
    """What waits: ``waiting for its turn, 2 before it``."""
    return f"waiting for its turn, {ahead:,} before it" if ahead else "waiting for its turn"


def plain(text: str) -> str:
    """Text as it is, where Streamlit would read markdown or make a link of an address in it."""
    return ADDRESSES.sub(lambda match: match[0] + NOTHING, escaped(REORDERING.sub("", text), MARKDOWN))


def escaped(text: str, special: re.Pattern[str]) -> str:
    """``special``: the signs that mean something there, each at the end of a match."""
    cut = REPLACED.sub(lambda match: CUT.join(match[0]) + CUT * (match[0] == ":"), text.replace(CUT, ""))
    return special.sub(lambda match: match[0][:-1] + "\\" + match[0][-1], cut).replace(CUT, NOTHING)


def code(text: str) -> str:
    """Text as code within a line of markdown;
    the fence is longer than any run of backticks in it (CommonMark 6.1)."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{REORDERING.sub('', text)}{pad}{fence}"


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _zone() -> ZoneInfo:
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, TypeError):
        return ZoneInfo("UTC")
