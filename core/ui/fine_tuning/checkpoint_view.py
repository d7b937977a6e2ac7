"""The checkpoints of a job: a table, and what can be done with the one that is chosen.

The table lives in the fragment that follows the job and is drawn again every second, so dialogs are opened by
the page itself: ``show_dialog`` draws the one that a press asked for. The rules are the services'; here they
are only put into words.
"""

from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st

from core import datasets, fine_tuning, models
from core.errors import LuthierError
from core.fields import parse
from core.fine_tuning import Checkpoint, CheckpointList, NewEvaluation, Promotion
from core.people.users import User
from core.ui import dialogs, digits, places, show
from core.ui.fine_tuning import evaluation_view

ASKED = "checkpoint_asked"  # (action, step) whose dialog the page is to open
CHOSEN = "checkpoint_chosen"  # the step whose actions are shown
DRAWN = "checkpoint_drawn"  # the steps of the table's rows
ICONS = {
    "Keep": "keep",
    "Stop keeping": "keep_off",
    "Promote": "deployed_code",
    "Evaluate": "fact_check",
    "Train further": "model_training",
    "Export": "ios_share",
    "Delete": "delete",
}
ASK_FIRST = ("Promote", "Evaluate", "Delete")
TAGS = ("best", "latest", "kept", "promoted")
TAG_COLOURS = ["violet", "blue", "orange", "green"]
NONE_YET = (
    "A checkpoint is what a job goes on from after a pause or a restart. "
    "The first one appears while it trains."
)


def show_checkpoints(user: User, job: fine_tuning.Job) -> None:
    checkpoints = fine_tuning.list_checkpoints(user, job.id, CheckpointList(limit=100, sort="-step")).items
    if not checkpoints:
        st.caption(NONE_YET)
        return
    step = st.session_state.get(CHOSEN)
    chosen = next((checkpoint for checkpoint in checkpoints if checkpoint.step == step), checkpoints[0])
    show_table(checkpoints)
    show_actions(user, job, chosen)
    if evaluation := chosen.metrics.get("evaluation"):
        evaluation_view.show(user, job.id, chosen.step, evaluation)
    st.caption(f":material/auto_delete: {fine_tuning.describe_checkpoint_rule()}")


def show_table(checkpoints: Sequence[Checkpoint]) -> None:
    """Press a row to choose it."""
    st.session_state[DRAWN] = [checkpoint.step for checkpoint in checkpoints]
    columns = {
        "step": st.column_config.NumberColumn("Step", format="%d", width=50),
        "tags": st.column_config.MultiselectColumn("Tags", options=list(TAGS), color=TAG_COLOURS, width=118),
        "valid": st.column_config.NumberColumn("Valid.", format="%.3f", width=60, help="Validation loss"),
        "train": st.column_config.NumberColumn("Train", format="%.3f", width=60, help="Training loss"),
        "size": st.column_config.TextColumn("Size", width=65),
    }
    st.dataframe(
        build_table(checkpoints),
        placeholder=digits.NULL,
        column_config=columns,
        hide_index=True,
        height=min(214, 39 + 35 * len(checkpoints)),
        key="job_checkpoint_table",
        on_select=_remember_choice,
        selection_mode="single-row",
        alt="Checkpoints of this job, newest first",
    )


def build_table(checkpoints: Sequence[Checkpoint]) -> pd.DataFrame:
    """``checkpoints`` come newest first; ``best`` is the lowest validation loss."""
    measured = [c.metrics["valid_loss"] for c in checkpoints if c.metrics.get("valid_loss") is not None]
    best, rows = min(measured, default=None), []
    for index, checkpoint in enumerate(checkpoints):
        loss = checkpoint.metrics.get("valid_loss")
        holds = (
            loss is not None and loss == best,
            index == 0,
            checkpoint.pinned,
            checkpoint.model_version_id is not None,
        )
        tags = [tag for tag, holds_true in zip(TAGS, holds, strict=True) if holds_true]
        rows.append(
            (
                checkpoint.step,
                tags,
                loss,
                checkpoint.metrics.get("train_loss"),
                show.bytes_(checkpoint.size_bytes),
            )
        )
    return pd.DataFrame(rows, columns=["step", "tags", "valid", "train", "size"])


def show_actions(user: User, job: fine_tuning.Job, checkpoint: Checkpoint) -> None:
    """Chat is one press; the rest is in a menu."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="checkpoint_actions"):
        st.markdown(f"**Step {checkpoint.step:,}**", width="content")
        if st.button(
            "Chat",
            key="checkpoint_chat",
            icon=":material/chat:",
            help="Talk to this checkpoint, also while it trains.",
        ):
            places.go("chat", model=models.reference(job.id, checkpoint.step))
        keep = "Stop keeping" if checkpoint.pinned else "Keep"
        offered = [keep, *(name for name in ICONS if name not in ("Keep", "Stop keeping"))]
        picked = st.menu_button(
            "More",
            offered,
            key="checkpoint_more",
            format_func=lambda name: f":material/{ICONS[name]}: {name}",
        )
    if picked:
        act(user, job, checkpoint.step, picked)


def act(user: User, job: fine_tuning.Job, step: int, action: str) -> None:
    """Do it, or have the page ask first. Ends the run."""
    if action in ASK_FIRST:
        st.session_state[ASKED] = (action, step)
    elif action in ("Keep", "Stop keeping"):
        change = fine_tuning.pin_checkpoint if action == "Keep" else fine_tuning.unpin_checkpoint
        show.attempt(partial(change, user, job.id, step))
    else:
        go_on(user, job.id, step, action)
    st.rerun()


def go_on(user: User, job_id: str, step: int, action: str) -> None:
    """Training further and exporting start from a version of the registry: it is made if need be."""
    try:
        version = fine_tuning.promote_checkpoint(user, job_id, step)
    except LuthierError as err:
        show.flash_error(err)
        return
    if action == "Export":
        places.go("model", id=version.model_id, view="export")
    places.go("fine_tuning", base=version.model_id, new=1)


def show_dialog(user: User, job: fine_tuning.Job) -> None:
    """The dialog that was asked for in the run before."""
    action, step = st.session_state.pop(ASKED, (None, 0))
    if action == "Delete":
        text = (
            f"The checkpoint of **step {step:,}** will be gone: it can no longer be chatted with. "
            f"Models made of it stay."
        )
        delete = partial(fine_tuning.delete_checkpoint, user, job.id, step)
        show.confirm("checkpoint_delete", "Delete this checkpoint?", text, delete, keep="Keep it")
    elif action == "Promote":
        ask_promote(user, job, step)
    elif action == "Evaluate":
        ask_evaluate(user, job, step)


@dialogs.dialog("Promote to the registry", icon=":material/deployed_code:")
def ask_promote(user: User, job: fine_tuning.Job, step: int) -> None:
    st.caption(
        f"Step {step:,} becomes a version of a model, with its metrics, data and settings. "
        f"The files are shared, not copied."
    )
    st.text_input("Name of the model", value=f"{job.name}-step-{step}", max_chars=100, key="checkpoint_name")
    st.caption(
        f"With the name {show.code(job.name)} it becomes the newest version there: "
        f"programs that call it get this one."
    )
    promote = partial(promote_as_named, user, job.id, step)
    if st.button("Promote", key="checkpoint_promote", type="primary", on_click=show.attempt, args=(promote,)):
        st.rerun()


def promote_as_named(user: User, job_id: str, step: int) -> None:
    """A callback: only here is what was typed a moment ago known."""
    name = str(st.session_state["checkpoint_name"])
    version = fine_tuning.promote_checkpoint(user, job_id, step, parse(Promotion, name=name))
    model = models.get(user, version.model_id)
    show.flash(f"Step {step:,} is {model.name}, version {model.latest_version}.", icon="deployed_code")


@dialogs.dialog("Evaluate on rows", icon=":material/fact_check:")
def ask_evaluate(user: User, job: fine_tuning.Job, step: int) -> None:
    st.caption(
        "Measures the loss, and for answers how many tokens and how many whole answers come out right "
        "(up to 2,000 rows and 200 answers). It runs beside everything else."
    )
    offered = build_rows_to_measure(user, job)
    st.selectbox("Rows", list(offered), format_func=offered.__getitem__, key="checkpoint_rows")
    start = partial(start_evaluation, user, job.id, step)
    disabled = not offered
    if st.button(
        "Evaluate",
        key="checkpoint_evaluate",
        type="primary",
        disabled=disabled,
        on_click=show.attempt,
        args=(start,),
    ):
        st.rerun()


def start_evaluation(user: User, job_id: str, step: int) -> None:
    version_id = st.session_state["checkpoint_rows"]
    fine_tuning.evaluate_checkpoint(user, job_id, step, NewEvaluation(dataset_version_id=version_id or None))


def build_rows_to_measure(user: User, job: fine_tuning.Job) -> dict[str, str]:
    """Version id ("" for the rows kept for validation) -> what it is called."""
    offered = (
        {"": "The rows kept for validation"} if job.validation_version_id or job.validation_fraction else {}
    )
    for dataset in datasets.list_datasets(user, datasets.DatasetList(status="ready", limit=100)).items:
        if dataset.latest_version_id:
            offered[dataset.latest_version_id] = (
                f"{dataset.name} v{dataset.version}, {show.count(dataset.num_rows, 'row')}"
            )
    return offered


def _remember_choice() -> None:
    """The step, not the row: rows move when a checkpoint is added."""
    rows = st.session_state["job_checkpoint_table"]["selection"]["rows"]
    drawn = st.session_state.get(DRAWN, [])
    st.session_state[CHOSEN] = drawn[rows[0]] if rows and rows[0] < len(drawn) else None
