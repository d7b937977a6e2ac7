"""The guide on its page, and the links that other pages have into it."""

import streamlit as st

from core import guide
from core.guide import Chapter, Hit, Section
from core.ui import places, show

READABLE = 860  # pixels: a line of text that the eye follows


def link(label: str, chapter: str, section: str | None = None) -> None:
    """From a page to a section: for what does not fit a tooltip."""
    places.link("guide", label, icon="menu_book", chapter=chapter, section=section)


def show_chapter(chapter: Chapter, *, section: str | None) -> None:
    """A chapter, or one section of it when ``section`` is its anchor; then its other sections as links."""
    chosen = [one for one in chapter.sections if one.anchor == section]
    with st.container(width=READABLE, key="guide_text"):
        if not chosen:
            st.markdown(chapter.intro)
            show_contents(chapter)
        for one in chosen or chapter.sections:
            show_section(one)
        if chosen:
            places.link("guide", f"All of {chapter.title}", icon="arrow_back", chapter=chapter.name)


def show_contents(chapter: Chapter) -> None:
    st.markdown(" · ".join(f"[{one.title}](#{one.anchor})" for one in chapter.sections))


def show_section(section: Section) -> None:
    st.subheader(section.title, anchor=section.anchor)
    st.markdown(section.text)


def show_hits(text: str, hits: list[Hit]) -> None:
    if not hits:
        show.empty("Nothing found", "No section has all these words. Try fewer, or another one.", icon="search_off")
        return
    st.caption(show.count(len(hits), "section"))
    for hit in hits:
        with st.container(border=True, width=READABLE, gap="xsmall"):
            label = f"{hit.chapter.title}: {hit.section.title}"
            places.link("guide", label, icon=hit.chapter.icon, chapter=hit.chapter.name, section=hit.section.anchor)
            st.caption(show.plain(hit.excerpt))


def pick_chapter() -> Chapter:
    """The chapter in the address, changeable."""
    titles = {chapter.name: f":material/{chapter.icon}: {chapter.title}" for chapter in guide.CHAPTERS}
    at = guide.find(places.query("chapter")).name
    chosen = st.pills(
        "Chapter",
        list(titles),
        default=at,
        required=True,
        format_func=titles.__getitem__,
        key=f"guide_chapter_{at}",
        label_visibility="collapsed",
    )
    if chosen and chosen != at:
        places.go("guide", chapter=chosen)
    return guide.find(at)
