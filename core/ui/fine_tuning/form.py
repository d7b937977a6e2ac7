"""The form that starts a fine-tuning, but for data and settings:
base, validation, name, samples, place in the queue, notes, and the request itself.

The form only collects; ``fine_tuning.plan`` and ``fine_tuning.create`` decide what is allowed. Data and
method are in ``form_data``, settings in ``form_settings``, plan and start in ``form_plan``, files in
``form_recipe``.
"""

from dataclasses import replace
from typing import Any

import streamlit as st

from core import datasets, fine_tuning, models
from core.errors import NotFound
from core.fine_tuning import PRIORITIES, NewJob, recipes
from core.people.users import User
from core.runners import RUNNERS
from core.ui import show
from core.ui.fine_tuning import form_settings as settings
from core.ui.fine_tuning.form_data import Data
from core.ui.models import model_view

FILLED = "ft_filled_from"
FILE = "fine_tuning_file"  # the request that a file brought
SHARE, OTHER, NONE = "A share of the rows", "Another dataset", "None"
PROMPTS = "ft_prompts"
OF_LIST = ("ft_new", "ft_first", "ft_tabs")  # the keys of the list that begin as the form's do
VALIDATED = "ft_validation_for"  # the version for which the choice was made
ROWS_TO_SPARE = 100
VALIDATION_HELP = (
    "Rows held back to measure how the model does on what it has not seen. "
    "Without them only the training loss is known."
)


def given_request(user: User, job_id: str | None) -> NewJob | None:
    """A loaded file, or the job whose settings are tried again. Fills the fields once."""
    loaded: NewJob | None = st.session_state.get(FILE)
    request = loaded or _earlier(user, job_id)
    mark = "file" if loaded else job_id
    is_filled = st.session_state.get(FILLED) == mark and PROMPTS in st.session_state  # gone with its page
    if request is not None and not is_filled:
        st.session_state[FILLED] = mark
        _fill(request)
    return request


def forget() -> None:
    """The list is shown, so the form was left: the next one begins empty.

    Its widgets keep their values as long as the page stays the same one, and list and form are one page.
    """
    for key in [str(key) for key in st.session_state if str(key).startswith("ft_") and key not in OF_LIST]:
        del st.session_state[key]
    for key in (FILE, FILLED):
        st.session_state.pop(key, None)


def _earlier(user: User, job_id: str | None) -> NewJob | None:
    """The job if it is still there; what it was made of may be gone, then the form asks for it."""
    if not job_id:
        return None
    try:
        job = fine_tuning.get(user, job_id)
    except NotFound:
        return None
    return recipes.of_job(
        replace(job, base_model_id=job.base_model_id or "", dataset_id=job.dataset_id or "")
    )


def _fill(request: NewJob) -> None:
    state = st.session_state
    settings.fill(request.hyperparameters.model_dump())
    if state.get(FILE):
        state["ft_name"] = request.name or ""
    state[PROMPTS] = "\n".join(" ".join(prompt.split()) for prompt in request.sample_prompts)
    state["ft_priority"], state["ft_devices"] = request.priority, request.num_processes
    state["ft_notes"], state["ft_tags"] = request.notes, request.tags
    if state.get(FILE):
        state["ft_seed"] = request.seed
    if request.validation_dataset_id:
        state["ft_validation"] = OTHER
    else:
        state["ft_validation"] = SHARE if request.validation_fraction else NONE
        state["ft_validation_share"] = (
            max(1, round(request.validation_fraction * 100)) if request.validation_fraction else 10
        )
    state[VALIDATED] = None  # the choice is made: see pick_validation


def pick_base(user: User, wanted: str | None) -> models.Model | None:
    """Any model that can be tuned: bases, and own models to go on from."""
    every = models.list_models(user, models.ModelList(limit=100, sort="created_at")).items
    usable = {m.id: m for m in every if can_be_tuned(m)}
    if not usable:
        st.warning(
            "No base model can be tuned here. An admin can add one.", icon=":material/deployed_code_alert:"
        )
        return None
    ids = list(usable)
    chosen = st.selectbox(
        "Base model",
        ids,
        index=ids.index(wanted) if wanted in usable else 0,
        format_func=lambda id_: f"{usable[id_].name} · {model_view.describe_size(usable[id_])}",
        key="ft_base",
        help="What the model knows before it sees your rows.",
    )
    if usable[chosen].kind == "adapter":
        st.caption(
            "An adapter: LoRA goes on with it as it is, full fine-tuning merges it into its base first."
        )
    return usable[chosen]


def can_be_tuned(model: models.Model) -> bool:
    """Weights of its own, whole or an adapter: a custom model is tuned through the model below it."""
    return bool(model.latest_version and model.capabilities.get("finetune") and model.type != "custom")


def pick_validation(user: User, data: Data, given: NewJob | None) -> dict[str, Any]:
    """Rows the model never learns from, by which one sees whether it generalises.

    A small table needs every row for learning.
    """
    state = st.session_state
    if VALIDATED not in state or state[VALIDATED] not in (None, data.version.id):
        state["ft_validation"] = SHARE if data.version.num_rows >= ROWS_TO_SPARE else NONE
    state[VALIDATED] = data.version.id
    how = st.segmented_control(
        "Validation",
        (SHARE, OTHER, NONE),
        required=True,
        key="ft_validation",
        help=VALIDATION_HELP,
        persist_state="page",
    )
    if how == SHARE:
        state.setdefault("ft_validation_share", 10)
        share = st.slider("Held back", 1, 50, format="%d%%", key="ft_validation_share", persist_state="page")
        return {"validation_fraction": share / 100}
    if how == OTHER:
        return {
            "validation_dataset_id": _pick_other(user, data, given.validation_dataset_id if given else None)
        }
    is_small = data.version.num_rows < ROWS_TO_SPARE
    rows = show.count(data.version.num_rows, "row")
    why = (
        f"Of only {rows} each is needed for learning, so none is held back"
        if is_small
        else "None is held back"
    )
    st.caption(f"{why}: the loss tells how well they are memorised, not how the model does on others.")
    return {"validation_fraction": 0.0}


def _pick_other(user: User, data: Data, wanted: str | None) -> str | None:
    others = datasets.list_datasets(user, datasets.DatasetList(status="ready", limit=100)).items
    names = {d.id: d.name for d in others if d.id != data.dataset.id}
    return st.selectbox(
        "Validation dataset",
        list(names),
        index=list(names).index(wanted) if wanted in names else None,
        format_func=names.__getitem__,
        key="ft_validation_dataset",
        placeholder="Choose a dataset with the same columns",
    )


def pick_more() -> dict[str, Any]:
    """Sample prompts, place in the queue, devices, notes and tags:
    folded away, since none of it has to be said."""
    with st.expander("Samples, queue, notes", icon=":material/more_horiz:", key="ft_more"):
        prompts = st.text_area(
            "Sample prompts",
            key=PROMPTS,
            persist_state="page",
            height=90,
            placeholder="One per line, at most eight",
            help=NewJob.model_fields["sample_prompts"].description,
        )
        with st.grid(2, min_column_width=200):
            run = _pick_run()
        tags = st.multiselect(
            "Tags",
            [],
            key="ft_tags",
            persist_state="page",
            accept_new_options=True,
            max_selections=20,
            placeholder="Type a word",
        )
        notes = st.text_area(
            "Notes",
            key="ft_notes",
            persist_state="page",
            height=90,
            max_chars=10_000,
            placeholder="What you try, and why",
        )
    sample_prompts = [line.strip() for line in (prompts or "").splitlines() if line.strip()]
    return {"sample_prompts": sample_prompts, "tags": tags, "notes": notes or "", **run}


def _pick_run() -> dict[str, Any]:
    """Where in the queue, with which random numbers, on how many devices and by which runner."""
    fields = NewJob.model_fields
    st.session_state.setdefault("ft_priority", 0)
    priority = st.segmented_control(
        "Priority",
        sorted(PRIORITIES),
        required=True,
        format_func=lambda priority: PRIORITIES[priority].capitalize(),
        key="ft_priority",
        persist_state="page",
        help=fields["priority"].description,
    )
    seed = st.number_input(
        "Seed",
        min_value=0,
        max_value=2**31 - 1,
        step=1,
        value=None,
        key="ft_seed",
        persist_state="page",
        placeholder="random",
        help=fields["seed"].description,
    )
    devices = st.number_input(
        "Devices",
        min_value=1,
        max_value=64,
        step=1,
        key="ft_devices",
        persist_state="page",
        help=fields["num_processes"].description,
    )
    return {
        "priority": priority,
        "seed": seed,
        "num_processes": int(devices),
        "runner": _pick_runner(),
    }


def _pick_runner() -> str:
    """Asked only where there is a choice: a runner that is not set up here is none."""
    names = [name for name, runner in RUNNERS.items() if name == "subprocess" or runner.problem() is None]
    if len(names) == 1:
        return names[0]
    return st.selectbox("Where it runs", names, format_func=lambda name: RUNNERS[name].title, key="ft_runner")
