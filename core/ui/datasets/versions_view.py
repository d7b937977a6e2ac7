"""The versions of a dataset as a timeline: who made each, how,
from what, what can be done with it; and the ways to a new one."""

import streamlit as st

from core import datasets
from core.datasets import Dataset, Version
from core.fields import parse
from core.listing import ListQuery
from core.people.users import User
from core.ui import lists, places, show
from core.ui.datasets import dataset_view, diff_view, version_actions
from core.ui.uploads import source_tabs

ORIGINS = {
    "upload": ("Upload", "upload_file", "blue"),
    "query": ("SQL", "terminal", "violet"),
    "edit": ("Edit", "edit", "orange"),
    "append": ("Append", "playlist_add", "green"),
    "split": ("Split", "call_split", "violet"),
    "python": ("Python", "code", "blue"),
}
SHORT_HASH = 10
UPLOADED = ("upload", "append")  # origins with a file of their own


def show_versions(user: User, dataset: Dataset, shown: Version) -> None:
    version_actions.show_bar(user, dataset, shown)
    with st.expander("Upload a new version", icon=":material/upload:", key="new_version"):
        source_tabs.show_ways(user, dataset)
    page = lists.page_of(
        lambda limit, offset: datasets.list_versions(
            user, dataset.id, parse(ListQuery, limit=limit, offset=offset)
        ),
        key="versions_page",
    )
    readable = diff_view.readable_versions(user, dataset.id)
    for version in page.items:
        _show_version(
            user,
            dataset,
            version,
            before=diff_view.previous(readable, version),
            is_shown=version.id == shown.id,
        )
    lists.pages(page, key="versions_page")


def _show_version(
    user: User, dataset: Dataset, version: Version, *, before: Version | None, is_shown: bool
) -> None:
    with st.container(border=True, key=f"version_{version.version}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**Version {version.version}**", width="content")
            st.markdown(_badges(version, is_shown=is_shown), width="content")
        st.caption(_facts(version, before))
        if version.note:
            st.text(version.note)
        _show_removal(version)
        version_actions.show_parents(user, version)
        if version.status == "ready" and not version.removed_at:
            version_actions.show_actions(user, dataset, version, before=before, is_shown=is_shown)
        elif version.status == "failed":
            _show_errors(version)
        _show_making(version)


def _badges(version: Version, *, is_shown: bool) -> str:
    name, icon, colour = ORIGINS.get(version.origin, (version.origin.capitalize(), "circle", "gray"))
    badges = [f":{colour}-badge[:material/{icon}: {name}]"]
    if version.removed_at:
        badges.append(":gray-badge[:material/delete: Files removed]")
    elif version.status != "ready":
        badges.append(show.badge_text(version.status))
    elif version.format != "table":
        badges.append(dataset_view.format_badge(version.format))
    if is_shown:
        badges.append(":primary-badge[:material/visibility: Shown]")
    return " ".join(badges)


def _facts(version: Version, before: Version | None) -> str:
    author = (version.author or {}).get("name")
    parts = [
        show.plain(author) if author else "",
        show.ago(version.created_at),
        show.when(version.created_at),
    ]
    if version.status == "ready":
        parts += [
            _rows(version, before),
            show.count(version.num_columns, "column"),
            f"{show.bytes_(version.size_bytes)} stored",
            f"{show.bytes_(version.original_bytes)} uploaded" if version.origin in UPLOADED else "",
        ]
        parts += [f"content {show.code((version.content_hash or '')[:SHORT_HASH])}"]
        parts.append(_edited(version))
    elif version.filename:
        parts.append(show.plain(version.filename))
    return " · ".join(part for part in parts if part)


def _edited(version: Version) -> str:
    """What an edit did, by its counts."""
    counts = version.options.get("edit") or {}
    edits = (("cells", "cell", "changed"), ("added", "row", "added"), ("deleted", "row", "deleted"))
    return ", ".join(
        f"{show.count(counts[name], noun)} {verb}" for name, noun, verb in edits if counts.get(name)
    )


def _rows(version: Version, before: Version | None) -> str:
    more = version.num_rows - before.num_rows if before else 0
    return show.count(version.num_rows, "row") + (f" ({more:+,})" if more else "")


def _show_removal(version: Version) -> None:
    if version.removed_at:
        why = show.plain(version.removed_why or "")
        st.caption(
            f":material/delete: Its files were removed {show.ago(version.removed_at)} {why}. "
            f"What it was made of stays here."
        )


def _show_errors(version: Version) -> None:
    for error in version.errors[:5]:
        line = f"line {error['line']}: " if error.get("line") else ""
        st.caption(f":red[{line}{show.plain(str(error['message']))}]")


def _show_making(version: Version) -> None:
    """How it was made, folded away: the query, or how the file was read and what was left out."""
    if version.sql:
        with st.expander("Made by this query", icon=":material/terminal:"):
            st.code(version.sql, language="sql", wrap_lines=True)
            places.link("sql", "Open in SQL", icon="terminal", sql=version.sql)
    if version.origin not in ("upload", "append"):
        return
    read = [
        f"- {_words(name)}: {show.plain(_plain(value))}"
        for name, value in version.detected.items()
        if name != "notes"
    ]
    chosen = [
        f"- {_words(name)}: {show.plain(_plain(value))}"
        for name, value in version.options.items()
        if value not in (None, False, "", "auto", [], {})
    ]
    if not (read or chosen or version.skipped_rows):
        return
    with st.expander(f"How {show.plain(version.filename)} was read", icon=":material/fact_check:"):
        st.markdown(
            "\n".join(
                [*(["**Chosen**", *chosen, ""] if chosen else []), *(["**Found**", *read] if read else [])]
            )
        )
        for note in version.detected.get("notes") or []:
            st.caption(show.plain(str(note)))
        if version.skipped_rows:
            st.caption(f":orange[{show.count(version.skipped_rows, 'row')} skipped]")
            _show_errors(version)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_plain(part)}" for name, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
