"""What the admin page draws: registration, invitations, people, base models, the server's state."""

import platform
import shutil
from importlib.metadata import PackageNotFoundError, version

import pandas as pd
import streamlit as st

from core import models, sql_sandbox
from core.clock import now
from core.config import settings
from core.fields import parse
from core.models import ModelList, NewBase
from core.people import users
from core.people.users import Invitation, User
from core.storage import trash
from core.ui import dialogs, digits, forms, places, show

MODES = {
    "open": ("Open", "Anybody who reaches this server may register."),
    "invite": ("By invitation", "Only with a link from an admin; each link makes one account."),
    "closed": ("Closed", "Nobody may register, not even with a link."),
}
FRESH = "_fresh_invitation"
PACKAGES = ("streamlit", "fastapi", "duckdb", "pyarrow", "sqlalchemy", "torch", "transformers", "peft")


def show_registration(user: User) -> None:
    st.subheader("Registration", anchor=False)
    mode = users.registration_mode()
    st.segmented_control(
        "Who may register",
        list(MODES),
        default=mode,
        required=True,
        format_func=lambda name: MODES[name][0],
        key="registration",
        label_visibility="collapsed",
        on_change=lambda: _set_mode(user),
    )
    st.caption(MODES[mode][1])


def _set_mode(user: User) -> None:
    mode = st.session_state.registration
    users.set_registration_mode(user, mode)
    show.flash(f"Registration: {MODES[mode][0].lower()}.")


def show_invitations(user: User, origin: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Invitations", anchor=False, width="content")
        if st.button("New invitation", key="new_invitation", icon=":material/person_add:"):
            _ask_for_invitation(user)
    if fresh := st.session_state.get(FRESH):
        with st.container(border=True, key="fresh_invitation"):
            st.markdown(
                ":material/link: Send this link. **It is shown only this once** and makes one account."
            )
            st.code(f"{origin}/?invitation={fresh}", language=None, wrap_lines=True)
            st.button("Done", key="invitation_stored", on_click=lambda: st.session_state.pop(FRESH, None))
    invitations = users.invitations(user)
    if not invitations:
        st.caption("No invitations yet. Make one and send its link.")
    for invitation in invitations[:50]:
        _show_invitation(user, invitation)


@dialogs.dialog("New invitation", icon=":material/person_add:")
def _ask_for_invitation(user: User) -> None:
    with st.form("invitation_form", border=False):
        st.text_input(
            "For whom",
            key="invitation_note",
            max_chars=200,
            placeholder="A note for yourself, e.g. Grace, data team",
        )
        st.number_input("Valid for days", 1, 365, 7, key="invitation_days")
        forms.submit("invitation_form", "Create link", lambda: _invite(user))
    forms.settle("invitation_form")


def _invite(user: User) -> None:
    invitation = users.invite(
        user, note=st.session_state.invitation_note or "", days=int(st.session_state.invitation_days)
    )
    st.session_state[FRESH] = invitation.token


def _show_invitation(user: User, invitation: Invitation) -> None:
    status = _status(invitation)
    with st.container(
        border=True, horizontal=True, vertical_alignment="center", key=f"invitation_{invitation.id}"
    ):
        with st.container(width="stretch", gap=None):
            st.markdown(f"**{show.plain(invitation.note or 'Invitation')}** {show.badge_text(status)}")
            st.caption(f"made {show.ago(invitation.created_at)} · expires {show.when(invitation.expires_at)}")
        if status == "active":
            st.button(
                "Revoke",
                key=f"revoke_{invitation.id}",
                on_click=show.attempt,
                args=(lambda: users.revoke_invitation(user, invitation.id),),
            )


def _status(invitation: Invitation) -> str:
    if invitation.used_at:
        return "used"
    if invitation.revoked_at:
        return "revoked"
    return "expired" if invitation.expires_at <= now() else "active"


def show_people(user: User) -> None:
    st.subheader("Accounts", anchor=False)
    accounts = users.list_all(user)
    table = pd.DataFrame(
        {
            "Name": [u.name or "–" for u in accounts],
            "E-mail": [u.email for u in accounts],
            "Role": [u.role for u in accounts],
            "Since": [u.created_at for u in accounts],
        }
    )
    config = {
        "Since": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", timezone=st.context.timezone)
    }
    st.dataframe(table, placeholder=digits.NULL, hide_index=True, column_config=config, key="people")


def show_base_models(user: User) -> None:
    st.caption(
        "Base models are shared by everyone: they can be chatted with and fine-tuned. "
        "A folder or a GGUF file on this server, or a hub id."
    )
    with st.form("base_model", clear_on_submit=False):
        left, right = st.columns(2)
        name = left.text_input("Name", key="base_name", max_chars=100, placeholder="smollm2-135m")
        source = right.text_input(
            "Folder, GGUF file or hub id",
            key="base_source",
            placeholder="/models/SmolLM2-135M, /models/smollm2.gguf or org/name",
        )
        description = st.text_input("Description", key="base_description", max_chars=2000)
        if st.form_submit_button("Add base model", key="add_base", type="primary"):
            with (
                show.guarded(),
                st.spinner("Reading the model: its configuration, its tokenizer, its weights …"),
            ):
                base = models.add_base(
                    user, parse(NewBase, name=name.strip(), source=source.strip(), description=description)
                )
                st.success(f"{show.plain(base.name)} is ready for everybody.", icon=":material/check_circle:")
    for model in models.list_models(user, ModelList(limit=100, type="base")).items:
        with st.container(border=True, gap=None, key=f"base_{model.id}"):
            places.link("model", show.plain(model.name), icon="deployed_code", id=model.id)
            st.caption(show.plain(model.description) or "No description.")


def show_server() -> None:
    folder = settings().data_dir
    disk = shutil.disk_usage(folder)
    st.progress(
        disk.used / disk.total, text=f"Disk: {show.bytes_(disk.free)} free of {show.bytes_(disk.total)}"
    )
    if disk.free < settings().disk_reserve_mb * 1024 * 1024:
        st.warning("The disk is nearly full: nothing new is written until something is deleted.")
    facts = {
        "Data folder": f"`{folder}`",
        "Metadata": "SQLite in the data folder"
        if not settings().database_url
        else "the database in LUTHIER_DATABASE_URL",
        "SQL sandbox": show.plain(sql_sandbox.protection()),
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "Packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
    }
    for name, value in facts.items():
        left, right = st.columns([1, 4], gap="small")
        left.markdown(f"**{name}**")
        right.markdown(value)


def show_trash() -> None:
    """What lies in the trash folder, until when, and how it comes back."""
    st.subheader("Trash", anchor=False)
    days = show.count(settings().trash_days, "day")
    st.caption(
        "Files that no row of the database names, because a crash or an older backup lost it, "
        f"are moved to the folder `trash` at a start and deleted after {days} (`LUTHIER_TRASH_DAYS`). "
        f"The next start with a database that names them puts them back."
    )
    discarded = trash.list_all()
    if not discarded:
        st.markdown(":green-badge[:material/check_circle: Nothing in the trash]")
        return
    table = pd.DataFrame(
        {
            "What": [one.noun for one in discarded],
            "Name": [one.name for one in discarded],
            "Moved": [one.moved_at for one in discarded],
            "Deleted on": [one.leaves_at for one in discarded],
            "Size": [show.bytes_(one.size_bytes) for one in discarded],
        }
    )
    moment = st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", timezone=st.context.timezone)
    config = {"Moved": moment, "Deleted on": moment}
    st.dataframe(
        table,
        placeholder=digits.NULL,
        hide_index=True,
        key="trash",
        column_config=config,
        height=min(36 * (len(table) + 1) + 2, 320),
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
