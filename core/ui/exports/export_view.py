"""A model's exports: what a version can become, what was made of it, and how to use that elsewhere.

Everything is read from the database; ``show_exports`` redraws itself while something is being made.
"""

from functools import partial
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core import exports, models
from core.people.users import User
from core.ui import dialogs, digits, guide_view, show
from core.ui.exports import export_dialogs
from core.ui.exports.export_snippets import build_snippets
from core.ui.models import model_view

OPEN = ("waiting", "running")
EVERY_SECONDS = 1.0


class KindLook(NamedTuple):
    """How a kind is shown: its name, symbol, and what it is for."""

    name: str
    icon: str
    use: str


LOOKS = {
    "merged": KindLook(
        "Merged weights", "deployed_code", "One whole model for transformers and vLLM, as safetensors."
    ),
    "gguf-f16": KindLook(
        "GGUF, F16", "laptop_mac", "One file for llama.cpp, Ollama and LM Studio, as exact as the weights."
    ),
    "gguf-q8_0": KindLook(
        "GGUF, Q8_0", "compress", "Half the size, nearly the same answers: laptops and small servers."
    ),
    "adapter": KindLook(
        "Adapter", "layers", "Only what was learned, for servers that already have the base."
    ),
    "hub": KindLook(
        "Hugging Face hub",
        "cloud_upload",
        "Merged weights pushed to a repository of yours, private by default.",
    ),
}
STATES = {"waiting": "queued", "running": "running", "ready": "ready", "failed": "failed"}


def show_tab(user: User, model: models.Model) -> None:
    """Choose, then follow."""
    version = _pick_version(user, model)
    if version is None:
        st.caption("There are no weights yet.")
        return
    every = exports.list_exports(user, model.id, exports.ExportList(limit=100)).items
    by_kind = {(e.kind, e.target): e for e in every if e.version == version and e.status != "failed"}
    offers = {offer.kind: offer for offer in exports.list_offers(user, model.id, version=version)}
    st.caption(
        "Every export is loaded again and asked ten questions of its training data; "
        "it is offered only if it answers like the model here. Its chat template travels with it."
    )
    guide_view.link("Guide: which form for what", "exports")
    with st.grid(3, min_column_width=260, gap="small", key="export_cards"):
        for kind in LOOKS:
            _show_card(user, model, offers[kind], version=version, made=by_kind)  # type: ignore[index]
    st.space("xsmall")
    is_open = any(export.status in OPEN for export in every)
    shown = {export.id: export.status for export in every}
    st.fragment(show_exports, run_every=EVERY_SECONDS if is_open else None)(user, model, shown)


def _pick_version(user: User, model: models.Model) -> int | None:
    numbers = [
        version.version
        for version in models.list_versions(user, model.id, models.VersionList(limit=100)).items
    ]
    if len(numbers) < 2:
        return numbers[0] if numbers else None
    return st.selectbox(
        "Version", numbers, format_func=lambda number: f"Version {number}", key="export_version", width=220
    )


def _show_card(
    user: User,
    model: models.Model,
    offer: exports.Offer,
    *,
    version: int,
    made: dict[tuple[str, str], exports.Export],
) -> None:
    look, existing = LOOKS[offer.kind], made.get((offer.kind, ""))
    with st.container(border=True, height="stretch", gap="xsmall", key=f"export_card_{offer.kind}"):
        st.markdown(f":material/{look.icon}: **{look.name}**")
        st.caption(show.plain(offer.problem) if offer.problem else look.use)
        st.space("stretch")
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(
                f"**{show.bytes_(offer.size_bytes)}** :gray[{offer.precision}]" if not offer.problem else "",
                width="content",
            )
            if existing:
                show.badge(STATES[existing.status])
            if not existing or offer.kind == "merged":  # in another precision it is another export
                _show_button(user, model, offer, version=version, title=look.name)


def _show_button(user: User, model: models.Model, offer: exports.Offer, *, version: int, title: str) -> None:
    key, is_off = f"export_{offer.kind}", bool(offer.problem)
    if offer.kind not in export_dialogs.WITH_CHOICES:
        act = partial(export_dialogs.start, user, model, offer.kind, version=version)
        st.button("Export", key=key, disabled=is_off, on_click=show.attempt, args=(act,))
    elif st.button("Push …" if offer.kind == "hub" else "Export …", key=key, disabled=is_off):
        export_dialogs.ask(user, model, offer, version=version, title=title)


def show_exports(user: User, model: models.Model, shown: dict[str, str]) -> None:
    """What was made, newest first."""
    with show.guarded():
        every = exports.list_exports(user, model.id, exports.ExportList(limit=100)).items
        if shown != {export.id: export.status for export in every}:
            dialogs.renew()  # the cards above say so, too
        if not every:
            show.empty(
                "Nothing exported yet",
                "Choose a form above. It is made here, checked, and then yours to download.",
                "output",
            )
            return
        st.subheader("Exports", anchor=False)
        base = model_view.name_of(user, model.base_model_id) if model.base_model_id else model.name
        for export in every:
            _show_export(user, model, export, base_name=base)


def _show_export(user: User, model: models.Model, export: exports.Export, *, base_name: str) -> None:
    with st.container(border=True, gap="xsmall", key=f"export_row_{export.id}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{LOOKS[export.kind].name}** · version {export.version}", width="content")
            show.badge(STATES[export.status])
        st.caption(describe(export))
        if export.status in OPEN:
            stage = export.facts.get("stage") or show.turn(export.ahead).capitalize()
            st.progress(export.progress, text=show.plain(str(stage)))
        if export.error:
            st.error(show.plain(export.error), icon=":material/error:")
        if export.checks:
            _show_checks(export)
        if export.status == "ready":
            _show_use(export, model_name=model.name, base_name=base_name)
        _show_actions(user, export)


def describe(export: exports.Export) -> str:
    """``2.7 MB · F16 · 10 of 10 answers the same · 3 min ago``"""
    words = [show.code(export.target)] if export.kind == "hub" else []
    words += [show.bytes_(export.size_bytes), show.plain(str(export.facts.get("precision") or ""))]
    if export.checks:
        by = export.facts.get("checked_by")
        words.append(
            f"{export.num_same} of {len(export.checks)} answers the same"
            + (f", loaded by {show.plain(str(by))}" if by else "")
        )
    words.append(show.ago(export.finished_at or export.created_at))
    return " · ".join(word for word in words if word)


def _show_checks(export: exports.Export) -> None:
    differ = len(export.checks) - export.num_same
    label = (
        f"Answers compared: {show.count(differ, 'difference')}"
        if differ
        else "Answers compared: all the same"
    )
    with st.expander(label, icon=":material/fact_check:", type="compact", key=f"export_checks_{export.id}"):
        rows = [
            ("✓ same" if c["same"] else "✗ different", c["prompt"], c["reference"], c["export"])
            for c in export.checks
        ]
        st.dataframe(
            pd.DataFrame(rows, columns=["", "Prompt", "Registry", "Export"]),
            placeholder=digits.NULL,
            hide_index=True,
            height="content",
            key=f"export_checks_table_{export.id}",
            alt="Prompts with the registry's and the export's answers",
        )


def _show_use(export: exports.Export, *, model_name: str, base_name: str) -> None:
    with st.expander("How to load it", icon=":material/code:", type="compact", key=f"export_use_{export.id}"):
        snippets = build_snippets(export, model_name=model_name, base_name=base_name)
        for tab, snippet in zip(st.tabs([one.title for one in snippets]), snippets, strict=True):
            with tab:
                if snippet.note:
                    st.caption(show.plain(snippet.note))
                st.code(snippet.code, language=snippet.language)
        if digest := export.facts.get("sha256"):
            st.caption(f"SHA-256 of the file: {show.code(str(digest))}")


def _show_actions(user: User, export: exports.Export) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key=f"export_actions_{export.id}"):
        if export.status == "ready" and export.kind != "hub":
            address = f"/download/export/{export.id}"
            st.link_button(
                "Download",
                address,
                icon=":material/download:",
                type="primary",
                key=f"export_download_{export.id}",
            )
        if url := export.facts.get("url"):
            st.link_button("Open on the hub", str(url), icon=":material/open_in_new:")
        if st.button(
            "Cancel" if export.status in OPEN else "Delete",
            icon=":material/close:" if export.status in OPEN else ":material/delete:",
            key=f"export_delete_{export.id}",
            type="tertiary",
        ):
            export_dialogs.ask_to_delete(user, export, name=LOOKS[export.kind].name)
