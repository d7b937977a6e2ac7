"""The guide on its page, and the links that other pages have into it."""

import streamlit as st

from core import guide
from core.guide import Chapter, Hit, Section
from core.ui import places, show

SEARCH = "guide_search"
READABLE = 860  # pixels: a line of text that the eye follows


def link(label: str, chapter: str, section: str | None = None) -> None:
    """From a page to a section: for what does not fit a tooltip."""
    places.link("guide", label, icon="menu_book", chapter=chapter, section=section)


def show_chapter(chapter: Chapter, *, section: str | None) -> None:
    """A chapter, or one section of it when ``section`` is its anchor; then with a way back to all of it."""
    chosen = [one for one in chapter.sections if one.anchor == section]
    with st.container(width=READABLE, key="guide_text"):
        if chosen:
            label, back = f"All of “{chapter.title}”", ":material/arrow_back:"
            st.button(
                label, key="guide_all", icon=back, type="tertiary", on_click=_open, args=(chapter.name,)
            )
        else:
            st.markdown(chapter.intro)
            show_contents(chapter)
        for one in chosen or chapter.sections:
            show_section(one)


def show_contents(chapter: Chapter) -> None:
    st.markdown(" · ".join(f"[{one.title}](#{one.anchor})" for one in chapter.sections))


def show_section(section: Section) -> None:
    st.subheader(section.title, anchor=section.anchor)
    st.markdown(section.text)


def show_hits(text: str, hits: list[Hit]) -> None:
    if not hits:
        show.empty(
            "Nothing found", "No section has all these words. Try fewer, or another one.", icon="search_off"
        )
        return
    st.caption(show.count(len(hits), "section"))
    for hit in hits:
        with st.container(border=True, width=READABLE, gap="xsmall"):
            label, key = f"{hit.chapter.title}: {hit.section.title}", f"guide_hit_{hit.section.anchor}"
            where = (hit.chapter.name, hit.section.anchor)
            st.button(
                label,
                key=key,
                icon=f":material/{hit.chapter.icon}:",
                type="tertiary",
                on_click=_open,
                args=where,
            )
            st.caption(show.plain(hit.excerpt))


def pick_chapter() -> Chapter:
    """The chapter in the address, changeable."""
    titles = {chapter.name: f":material/{chapter.icon}: {chapter.title}" for chapter in guide.CHAPTERS}
    at = guide.find(places.query("chapter")).name
    key = f"guide_chapter_{at}"
    st.pills(
        "Chapter",
        list(titles),
        default=at,
        required=True,
        format_func=titles.__getitem__,
        key=key,
        label_visibility="collapsed",
        on_change=lambda: _open(st.session_state[key]),
    )
    return guide.find(at)


def _open(chapter: str, section: str | None = None) -> None:
    """As a callback: another part of the guide, out of the search.

    A link to the page that is open would keep the words searched for and the address.
    """
    st.session_state[SEARCH] = ""
    st.query_params.from_dict({"chapter": chapter} | ({"section": section} if section else {}))
