"""The dialogs of a model's exports: start one, push one to a hub, delete one."""

import streamlit as st

from core import exports, models
from core.fields import parse
from core.people.users import User
from core.ui import dialogs, forms, show

WITH_CHOICES = ("merged", "hub")
PRECISIONS: dict[exports.Precision, str] = {
    "stored": "As stored: loses nothing",
    "float32": "float32",
    "bfloat16": "bfloat16",
    "float16": "float16",
}
TOKEN_HELP = (
    "Made in your account's settings on the hub, with permission to write. "
    "It is used for this push and not stored."
)


def ask(user: User, model: models.Model, offer: exports.Offer, *, version: int, title: str) -> None:
    """Choose the precision, for a push also where to; then start."""

    @dialogs.dialog(
        title, icon=":material/cloud_upload:" if offer.kind == "hub" else ":material/deployed_code:"
    )
    def dialog() -> None:
        if offer.kind == "hub":
            _show_push_fields(model)
        precision = st.selectbox(
            "Precision of the weights",
            list(PRECISIONS),
            format_func=PRECISIONS.__getitem__,
            key="export_precision",
        )
        shown = next(
            o
            for o in exports.list_offers(user, model.id, version=version, precision=precision)
            if o.kind == offer.kind
        )
        st.caption(
            f"{show.bytes_(shown.size_bytes)} in {shown.precision}; "
            f"{show.bytes_(shown.peak_bytes)} of disk while it is made."
        )
        forms.submit(
            "export",
            "Push" if offer.kind == "hub" else "Export",
            lambda: _start_chosen(user, model, offer, version),
            form=False,
        )
        forms.settle("export")

    dialog()


def start(user: User, model: models.Model, kind: str, **values: object) -> None:
    """Raises what the service raises."""
    export = exports.request_export(user, model.id, parse(exports.NewExport, kind=kind, **values))
    if not export.is_new:
        show.flash("This export is there already.")


def _show_push_fields(model: models.Model) -> None:
    st.caption("The merged weights are made and checked here first. Only then they leave this server.")
    st.text_input(
        "Repository", key="export_repository", placeholder=f"your-organisation/{model.name}", max_chars=193
    )
    st.text_input(
        "Token", key="export_token", type="password", help=TOKEN_HELP, max_chars=500, autocomplete="off"
    )
    if not st.toggle(
        "Private", value=True, key="export_private", help="Only you and your organisation see it."
    ):
        st.warning("Everybody on the internet will be able to download this model.", icon=":material/public:")


def _start_chosen(user: User, model: models.Model, offer: exports.Offer, version: int) -> None:
    chosen = st.session_state
    pushed = {
        "repository": chosen.export_repository.strip() or None,
        "token": chosen.export_token.strip() or None,
        "private": chosen.export_private,
    } if offer.kind == "hub" else {}  # fmt: skip
    start(user, model, offer.kind, version=version, precision=chosen.export_precision, **pushed)
    chosen.pop("export_token", None)


def ask_to_delete(user: User, export: exports.Export, *, name: str) -> None:
    is_open = export.status in ("waiting", "running")
    there = f" What was pushed to {show.plain(export.target)} stays there." if export.kind == "hub" else ""
    show.confirm(
        f"export_delete_{export.id}",
        "Stop making this export?" if is_open else "Delete this export?",
        (
            f"**{name}** of version {export.version}, {show.bytes_(export.size_bytes)}. "
            f"The version itself stays; it can be made again."
        )
        + there,
        lambda: exports.delete_export(user, export.id),
        yes="Stop it" if is_open else "Delete",
        keep="Keep it",
    )
