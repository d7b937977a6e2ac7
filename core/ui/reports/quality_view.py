"""The quality card of a version: how many findings of which severity,
and each with its help, its examples and a way to its rows."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core import datasets
from core.datasets import Quality, Version
from core.people.users import User
from core.ui import show
from core.ui.datasets.rows import rows_address
from core.ui.datasets.rows.rows_strip import share

SEVERITIES = {
    "bad": ("red", "error", "serious"),
    "warn": ("orange", "warning", "to look at"),
    "info": ("blue", "info", "to know"),
}
FIRST = 8


def show_card(user: User, version: Version, quality: Quality) -> None:
    """What was found; while it is looked for, the progress stands elsewhere (``columns_view``)."""
    with st.container(border=True, key="quality_card", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown("**Quality**", width="content")
            _show_verdict(quality)
        if quality.status == "failed":
            st.caption(show.plain(quality.error or "It could not be computed."))
            again = {"user": user, "version_id": version.id, "kind": "quality"}
            st.button(
                "Try again", key="quality_again", icon=":material/refresh:", on_click=start, kwargs=again
            )
        _show_findings(version, quality.findings)
        if quality.status == "ready" and quality.num_rows_scanned < quality.num_rows:
            st.caption(
                f"Texts were looked at in {quality.num_rows_scanned:,} rows spread over all "
                f"{quality.num_rows:,}; copies were looked for in all."
            )


def start(user: User, version_id: str, kind: str) -> None:
    show.attempt(
        lambda: datasets.start_report(user, version_id, "quality" if kind == "quality" else "profile")
    )


def open_finding(version: Version, key: str) -> None:
    """Go to the Rows tab, to the rows of a finding and nothing else."""
    go_to_rows(version, finding=key)


def go_to_rows(version: Version, **view: str | int | None) -> None:
    """As a callback: the Rows tab with this view, whatever was shown there before."""
    nothing = dict.fromkeys(("where", "sort", "q", "cols", "finding", "page", "row"))
    st.query_params["version"] = str(version.version)
    rows_address.change(**{**nothing, **view})
    st.session_state["view"] = "Rows"


def _show_verdict(quality: Quality) -> None:
    if quality.status == "failed":
        show.badge("failed")
    elif quality.status != "ready":
        st.caption("being looked at …", width="content")
    elif not quality.findings:
        st.badge("Nothing found", icon=":material/check_circle:", color="green")
    else:
        counted = [
            (severity, sum(f["severity"] == severity for f in quality.findings)) for severity in SEVERITIES
        ]
        badges = [
            _badge(severity, f"{count} {SEVERITIES[severity][2]}") for severity, count in counted if count
        ]
        st.markdown(" ".join(badges), width="content")


def _badge(severity: str, text: str) -> str:
    colour, icon, _ = SEVERITIES[severity]
    return f":{colour}-badge[:material/{icon}: {text}]"


def _show_findings(version: Version, findings: Sequence[dict[str, Any]]) -> None:
    for finding in findings[:FIRST]:
        _show_finding(version, finding)
    if len(findings) > FIRST and st.toggle(
        f"Show {show.count(len(findings) - FIRST, 'more finding')}", key="quality_more"
    ):
        for finding in findings[FIRST:]:
            _show_finding(version, finding)


def _show_finding(version: Version, finding: dict[str, Any]) -> None:
    colour, icon, _ = SEVERITIES[finding["severity"]]
    where = f" in {show.plain(finding['column'])}" if finding["column"] else ""
    part = finding["share"]
    of_all = share(round(part * 1_000_000), 1_000_000) if part < 1 else "all"
    rows = f"{show.count(finding['num_rows'], 'row')}, {of_all}"
    label = f":{colour}[:material/{icon}:] **{finding['title']}**{where} · {rows}"
    with st.expander(label, key=f"finding_{finding['key']}"):
        st.markdown(show.plain(finding["help"]))
        if finding["examples"]:
            st.markdown("\n".join(f"- {show.code(example)}" for example in finding["examples"]))
        more = (
            f" (the first {len(finding['lines']):,})" if len(finding["lines"]) < finding["num_rows"] else ""
        )
        st.button(
            f"Open the rows{more}",
            key=f"open_{finding['key']}",
            icon=":material/table_rows:",
            on_click=open_finding,
            args=(version, finding["key"]),
        )
