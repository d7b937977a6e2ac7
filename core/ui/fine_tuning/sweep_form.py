"""The part of the fine-tuning form that makes a sweep of it: which settings vary, and what is tried.

Fields and their words come from ``training.Hyperparameters``; what may be tried is decided in
``fine_tuning.sweep_space``.
"""

import re
from collections.abc import Mapping
from typing import Any

import streamlit as st

from core import training
from core.errors import LuthierError, ValidationError
from core.fields import parse, properties_of
from core.fine_tuning import choices, sweep_space, sweeps
from core.fine_tuning.sweep_space import MAX_JOBS, SEED, Search
from core.people.users import User
from core.ui import show

KINDS = {"grid": "Every combination", "random": "Random search"}
SCALES = {"log": "Log", "linear": "Linear"}
AUTO = "auto"
# What is filled in when a setting is chosen: values for a grid, ends and scale for a random search
SUGGESTED: dict[str, tuple[str, float, float, str]] = {
    "learning_rate": ("0.0005, 0.001, 0.002", 1e-4, 5e-3, "log"),
    "learning_rate_multiplier": ("0.5, 1, 2", 0.2, 5.0, "log"),
    "batch_size": ("4, 8, 16", 2, 16, "linear"),
    "n_epochs": ("2, 4, 8", 1, 10, "linear"),
    "lora_rank": ("4, 8, 16", 4, 64, "log"),
    "lora_alpha": ("8, 16, 32", 8, 128, "log"),
    "lora_dropout": ("0, 0.05, 0.1", 0.0, 0.2, "linear"),
    "warmup_share": ("0, 0.05, 0.1", 0.0, 0.2, "linear"),
    "weight_decay": ("0, 0.01, 0.1", 1e-3, 0.1, "log"),
    "adam_beta1": ("0.8, 0.9, 0.95", 0.5, 0.95, "linear"),
    "adam_beta2": ("0.95, 0.99, 0.999", 0.9, 0.999, "linear"),
    "adam_epsilon": ("1e-8, 1e-6", 1e-9, 1e-6, "log"),
    "beta": ("0.05, 0.1, 0.3", 0.03, 0.5, "log"),
    SEED: ("1, 2, 3", 1, 1000, "linear"),
}


def pick_sweep(base_hyperparameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """What to vary, as the fields of a :class:`Search`; None when one job is wanted.

    Says how many jobs that makes.
    """
    with st.container(border=True, key="ft_sweep_box"):
        if not st.toggle("Try several settings (sweep)", key="ft_sweep", help=SWEEP_HELP):
            return None
        kind = st.segmented_control(
            "How",
            list(KINDS),
            default="grid",
            required=True,
            format_func=KINDS.__getitem__,
            key="ft_sweep_kind",
            label_visibility="collapsed",
        )
        fields = _fields()
        names = st.multiselect(
            "Settings to vary",
            list(fields),
            default=["learning_rate"],
            format_func=lambda name: fields[name],
            key="ft_sweep_settings",
            max_selections=5,
        )
        search: dict[str, Any] = {
            "kind": kind,
            "space": {name: _pick_choices(name, fields[name], kind) for name in names},
        }
        if kind == "random":
            search |= _pick_search()
        _tell(search, base_hyperparameters)
        return search


SWEEP_HELP = (
    "Starts a job for each combination, on the same data with the same seed, "
    "and compares them in a table and a plot."
)


def count(sweep: dict[str, Any] | None) -> int:
    """How many jobs pressing start makes; 0 when the sweep cannot be started as it is."""
    if sweep is None:
        return 1
    try:
        return len(sweep_space.draw(parse(Search, **sweep)))
    except LuthierError:
        return 0


def start(user: User, request: Mapping[str, Any], sweep: Mapping[str, Any]) -> sweeps.Sweep:
    """Pressing twice makes one sweep: the key of the request is the sweep's."""
    job = {name: value for name, value in request.items() if name != "idempotency_key"}
    return sweeps.create(
        user, parse(sweeps.NewSweep, job=job, idempotency_key=request.get("idempotency_key"), **sweep)
    )


def title_of(name: str) -> str:
    field = training.Hyperparameters.model_fields.get(name)
    return (field.title if field else None) or name.replace("_", " ").capitalize()


def _fields() -> dict[str, str]:
    """Every setting and the seed, those people vary most first."""
    every = [*training.Hyperparameters.model_fields, SEED]
    common = [name for name in SUGGESTED if name in every]
    return {name: title_of(name) for name in [*common, *(name for name in every if name not in common)]}


def _pick_choices(name: str, title: str, kind: str | None) -> Any:
    words = _words(name)
    if words:
        return st.multiselect(title, words, default=words[:2], format_func=_write, key=f"ft_sweep_{name}")
    if kind == "random" and sweep_space.is_number(name):
        return _pick_range(name, title)
    text = st.text_input(
        f"{title}: values",
        value=SUGGESTED.get(name, ("",))[0],
        placeholder="separated by commas",
        key=f"ft_sweep_{name}",
    )
    return [_read(part, name) for part in re.split(r"[,;\s]+", text or "") if part]


def _pick_range(name: str, title: str) -> dict[str, Any]:
    _, low, high, scale = SUGGESTED.get(name, ("", 0.0, 1.0, "linear"))
    low_column, high_column, scale_column = st.columns(3, vertical_alignment="bottom")
    with low_column:
        low = st.number_input(
            f"{title} from", value=float(low), format="%g", step=None, key=f"ft_sweep_{name}_low"
        )
    with high_column:
        high = st.number_input("to", value=float(high), format="%g", step=None, key=f"ft_sweep_{name}_high")
    with scale_column:
        scale = st.selectbox(
            "Scale",
            list(SCALES),
            index=list(SCALES).index(scale),
            format_func=SCALES.__getitem__,
            key=f"ft_sweep_{name}_scale",
            label_visibility="collapsed",
        )
    return {"low": low, "high": high, "scale": scale}


def _pick_search() -> dict[str, Any]:
    jobs, seed = st.columns(2)
    with jobs:
        number = st.number_input("Jobs", min_value=1, max_value=MAX_JOBS, value=10, key="ft_sweep_count")
    with seed:
        chosen = st.number_input(
            "Seed of the search",
            min_value=0,
            value=0,
            key="ft_sweep_seed",
            help="The same seed tries the same.",
        )
    return {"count": number, "seed": chosen}


def _tell(search: dict[str, Any], base: Mapping[str, Any]) -> None:
    try:
        drawn = sweep_space.draw(parse(Search, **search))
    except ValidationError as err:
        for detail in err.details:
            st.error(
                f"{_describe_field(detail.field)}: {show.plain(detail.message)}", icon=":material/error:"
            )
        return
    overridden = [title_of(name).lower() for name in search["space"] if base.get(name, AUTO) != AUTO]
    note = f" The sweep's values replace {' and '.join(overridden)} above." if overridden else ""
    st.caption(
        f":material/scatter_plot: **{show.count(len(drawn), 'job')}**, first: "
        f"{show.plain(sweep_space.shown(drawn[0]))}.{note}"
    )


def _describe_field(field: str) -> str:
    """``space.learning_rate[1]`` as ``Learning rate, value 2``; a range has no values."""
    match = re.fullmatch(r"space\.(\w+)(?:\[(\d+)\])?.*", field)
    if match is None:
        return "Sweep"
    return title_of(match[1]) + (f", value {int(match[2]) + 1}" if match[2] else "")


def _words(name: str) -> list[Any]:
    """The words or truth values a setting may be, without ``auto``; none for numbers and free text."""
    field = properties_of(training.Hyperparameters).get(name, {})
    kinds = field.get("anyOf", [field])
    if any(kind.get("type") == "boolean" for kind in kinds):
        return [True, False]
    words = [word for kind in kinds for word in kind.get("enum", [kind["const"]] if "const" in kind else [])]
    missing = choices.unavailable().get(name, {})
    return [word for word in words if word != AUTO and word not in missing]


def _write(word: Any) -> str:
    return {True: "On", False: "Off"}[word] if isinstance(word, bool) else str(word)


def _read(part: str, name: str) -> Any:
    """A number where it is one; else the text, about which the service says what is wrong."""
    if part == AUTO or not sweep_space.is_number(name):
        return part
    try:
        return int(part) if sweep_space.is_whole(name) else float(part)
    except ValueError:
        return part
