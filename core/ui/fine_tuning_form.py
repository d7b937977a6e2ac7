"""The form that starts a fine-tuning: data, columns, model, settings, validation, name.

Fields of the settings come from ``training.Hyperparameters``, roles of the columns from ``formats.FORMATS``: a new setting or
format shows up here by itself. The form only collects; ``fine_tuning.plan`` and ``fine_tuning.create`` decide what is allowed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core import datasets, fine_tuning, formats, models, training
from core.errors import NotFound
from core.formats import Chat, Example, Format, Preference, Text
from core.listing import ListQuery
from core.ui import conversation, model_view, places, show
from core.ui.column_mapping import Columns, pick_columns
from core.ui.number_field import number_kind, pick_number
from core.users import User

AUTO = "auto"
WORDS = {"auto": "Automatic", "full": "Full", "lora": "LoRA"}


@dataclass(frozen=True)
class Data:
    """The version to learn from and how its columns are read; ``columns`` None: it has a training format by itself."""

    dataset: datasets.Dataset
    version: datasets.Version
    columns: Columns | None


# What to learn from


def pick_data(
    user: User, wanted: str | None, number: str | None, *, columns: Columns | None, earlier: fine_tuning.Job | None
) -> Data | None:
    """Dataset, version and columns. None while there is nothing to choose, or a needed column is missing."""
    dataset = _pick_dataset(user, wanted or (earlier.dataset_id if earlier else None))
    if dataset is None:
        return None
    version = _pick_version(user, dataset, number, earlier.dataset_version_id if earlier else None)
    if version is None:
        return None
    known, given = _format_of(version), columns or (earlier.columns if earlier else None) or {}
    if known.trainable:
        st.caption(f":green[:material/check_circle:] Recognised as **{known.title.lower()}**: nothing needs to be mapped.")
        if not st.toggle("Read other columns instead", key="ft_remap", value=bool(given)):
            return Data(dataset, version, None)
    picked = pick_columns([column["name"] for column in version.columns], given)
    return Data(dataset, version, picked) if picked else None


def _pick_dataset(user: User, wanted: str | None) -> datasets.Dataset | None:
    found = {d.id: d for d in datasets.list_datasets(user, datasets.DatasetList(status="ready", limit=100)).items}
    if wanted and wanted not in found:
        with show.guarded():
            found[wanted] = datasets.get(user, wanted)
    if not found:
        show.empty("No dataset yet", "A model learns from rows. Upload a file, or add a sample, and come back.", "database")
        places.button("Go to datasets", "datasets", key="ft_to_datasets", icon="database", primary=True)
        return None
    ids = list(found)
    chosen = st.selectbox(
        "Dataset",
        ids,
        index=ids.index(wanted) if wanted in found else 0,
        format_func=lambda id_: found[id_].name,
        key="ft_dataset",
        on_change=_remember_dataset,
    )
    return found[chosen]


def _remember_dataset() -> None:
    st.query_params["dataset"] = st.session_state["ft_dataset"]
    for name in ("version", "columns"):
        st.query_params.pop(name, None)


def _pick_version(user: User, dataset: datasets.Dataset, number: str | None, id_: str | None) -> datasets.Version | None:
    every = datasets.list_versions(user, dataset.id, ListQuery(limit=100)).items
    ready = {v.version: v for v in sorted(every, key=lambda v: v.version, reverse=True) if v.status == "ready"}
    if not ready:
        st.warning("No version of this dataset is ready yet.", icon=":material/hourglass_top:")
        return None
    numbers = list(ready)
    wanted = next((v.version for v in ready.values() if str(v.version) == number or (v.id == id_ and not number)), numbers[0])
    chosen = st.selectbox(
        "Version",
        numbers,
        index=numbers.index(wanted),
        format_func=lambda n: _describe_version(ready[n], newest=n == numbers[0]),
        key=f"ft_version_{dataset.id}",
    )
    return ready[chosen]


def _describe_version(version: datasets.Version, *, newest: bool) -> str:
    note = f" · {version.note}" if version.note else ""
    return f"v{version.version}{' (newest)' if newest else ''} · {show.count(version.num_rows, 'row')}{note}"


def _format_of(version: datasets.Version) -> Format:
    return formats.FORMATS[formats.detect(version.columns)]


# What the rows become


def show_rows(user: User, data: Data) -> datasets.TrainingReport:
    """How many rows can be learned, what is wrong with the others, and some of them as the conversation they become."""
    report = _report(user, user.id, data.version.id, tuple((data.columns or {}).items()))
    _show_count(report, data.version.num_rows)
    rows = datasets.training_preview(user, data.version.id, data.columns, limit=5)
    if rows:
        _show_example(rows)
    return report


@st.cache_data(max_entries=100, show_spinner="Checking every row …")
def _report(_user: User, user_id: str, version_id: str, columns: tuple[tuple[str, str], ...]) -> datasets.TrainingReport:
    """Versions never change, so a report once made stays true."""
    return datasets.training_report(_user, version_id, dict(columns) or None)


def _show_count(report: datasets.TrainingReport, rows: int) -> None:
    bad = rows - report.num_examples
    if not bad:
        st.markdown(f":green-badge[:material/check_circle: {show.count(rows, 'usable row')}]")
        return
    st.markdown(f":red-badge[:material/warning: {report.num_examples:,} of {show.count(rows, 'row')} usable]")
    with st.expander(f"{show.count(bad, 'row')} cannot be learned", icon=":material/rule:", expanded=not report.num_examples):
        lines = (f"- line {e['line']:,}, {show.code(e['field'])}: {show.plain(e['message'])}" for e in report.errors[:20])
        st.markdown("\n".join(lines))
        st.caption("A job starts when every row can be learned. Filter these out with SQL and save the result as a new version.")


def _show_example(rows: Sequence[tuple[int, Any]]) -> None:
    with st.container(border=True, key="ft_preview"):
        page = st.pagination(len(rows), key="ft_preview_page")
        line, example = rows[min(page, len(rows)) - 1]
        st.caption(f"Row {line:,} as the model will read it")
        show_example(example)


def show_example(example: Example | Sequence[Any]) -> None:
    if isinstance(example, Chat):
        for message in example.messages:
            conversation.show_message(message["role"], message["content"])
    elif isinstance(example, Text):
        st.code(example.text, language=None, wrap_lines=True)
    elif isinstance(example, Preference):
        for message in [*example.messages, *example.preferred]:
            conversation.show_message(message["role"], message["content"])
    else:
        for detail in example:
            st.error(f"{show.plain(detail.field)}: {show.plain(detail.message)}", icon=":material/rule:")


# The model and its settings


def pick_base(user: User, wanted: str | None) -> models.Model | None:
    """Any model that can be tuned: bases, and own models to go on from."""
    every = models.list_models(user, models.ModelList(limit=100, sort="created_at")).items
    usable = {m.id: m for m in every if can_be_tuned(m)}
    if not usable:
        st.warning("No base model can be tuned here. An admin can add one.", icon=":material/deployed_code_alert:")
        return None
    ids = list(usable)
    chosen = st.selectbox(
        "Base model",
        ids,
        index=ids.index(wanted) if wanted in usable else 0,
        format_func=lambda id_: _describe_base(usable[id_]),
        key="ft_base",
        help="What the model knows before it sees your rows.",
    )
    return usable[chosen]


def can_be_tuned(model: models.Model) -> bool:
    """Whole weights of its own: an adapter or a custom model is tuned through the model below it."""
    return bool(model.latest_version and model.capabilities.get("finetune") and model.type != "custom" and model.kind == "full")


def _describe_base(model: models.Model) -> str:
    return f"{model.name} · {model_view.describe_size(model)}"


def pick_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters the user decided about; the others stay ``auto``. Rare ones are folded away."""
    fields = training.Hyperparameters.model_json_schema()["properties"]
    chosen = _draw_fields({name: field for name, field in fields.items() if not field.get("advanced")}, given)
    folded = {name: field for name, field in fields.items() if field.get("advanced")}
    if folded:
        with st.expander("Advanced settings", icon=":material/tune:", key="ft_advanced"):
            st.caption("Left empty, Luthier chooses from the size of your data and the model.")
            chosen |= _draw_fields(folded, given)
    return {name: value for name, value in chosen.items() if value is not None}


def _draw_fields(fields: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    with st.grid(2, min_column_width=220):
        return {name: draw_field(name, field, given.get(name)) for name, field in fields.items()}


def draw_field(name: str, field: Mapping[str, Any], given: Any) -> Any:
    """One setting as the widget its schema asks for: words to choose from, a switch or a number; None means ``auto``."""
    label, about, key = field.get("title") or name, field.get("description"), f"ft_{name}"
    default = given if given is not None else field.get("default")
    if number_kind(field):
        return pick_number(field, key=key, value=default, placeholder=AUTO)
    words = _words(field)
    if not words:
        return st.toggle(label, value=bool(default), help=about, key=key)
    return st.segmented_control(
        label,
        words,
        default=default if default in words else words[0],
        required=True,
        format_func=lambda word: WORDS.get(word, word),
        help=about,
        key=key,
    )


def _words(field: Mapping[str, Any]) -> list[str]:
    """The literals a field may be, ``auto`` first."""
    kinds = field.get("anyOf") or [field]
    found = (word for kind in kinds for word in kind.get("enum", [kind["const"]] if "const" in kind else []))
    return sorted(found, key=AUTO.__ne__)


def pick_validation(user: User, data: Data) -> dict[str, Any]:
    """Rows the model never learns from, by which one sees whether it generalises. A small table needs every row for learning."""
    if st.session_state.get(VALIDATED) != data.version.id:
        st.session_state[VALIDATED] = data.version.id
        st.session_state["ft_validation"] = SHARE if data.version.num_rows >= ROWS_TO_SPARE else NONE
    how = st.segmented_control("Validation", (SHARE, OTHER, NONE), required=True, key="ft_validation", help=VALIDATION_HELP)
    if how == SHARE:
        share = st.slider("Held back", 1, 50, 10, format="%d%%", key="ft_validation_share")
        return {"validation_fraction": share / 100}
    if how == OTHER:
        others = datasets.list_datasets(user, datasets.DatasetList(status="ready", limit=100)).items
        names = {d.id: d.name for d in others if d.id != data.dataset.id}
        chosen = st.selectbox(
            "Validation dataset",
            list(names),
            index=None,
            format_func=names.__getitem__,
            key="ft_validation_dataset",
            placeholder="Choose a dataset with the same columns",
        )
        return {"validation_dataset_id": chosen}
    return {"validation_fraction": 0.0}


SHARE, OTHER, NONE = "A share of the rows", "Another dataset", "None"
VALIDATED = "ft_validation_for"  # the version for which the choice was made
ROWS_TO_SPARE = 100
VALIDATION_HELP = (
    "Rows held back to measure how the model does on what it has not seen. Without them only the training loss is known."
)


# The plan


def show_plan(plan: fine_tuning.Plan) -> None:
    """What pressing start will do, in one line, and what speaks against it."""
    facts = [show.count(plan.num_examples, "example")]
    if plan.num_validation:
        facts.append(f"{plan.num_validation:,} held back")
    facts.append(show.count(plan.total_steps, "step"))
    if plan.estimated_seconds:
        facts.append(f"about {show.duration(plan.estimated_seconds, parts=1)}")
    st.markdown(f":material/route: **Plan**: {' · '.join(facts)}")
    if plan.resolved:
        st.caption(" · ".join(describe_setting(name, value) for name, value in plan.resolved.items() if is_telling(name, value)))
    for warning in plan.warnings:
        st.warning(show.plain(warning), icon=":material/warning:")


PHRASES = {
    "n_epochs": "{} epochs",
    "batch_size": "batch size {}",
    "learning_rate": "learning rate {}",
    "tuning": "{} fine-tuning",
    "lora_rank": "rank {}",
    "lora_alpha": "alpha {}",
    "max_length": "rows up to {} tokens",
}


def is_telling(name: str, value: Any) -> bool:
    """Settings that people chose or might have; a multiplier is already in the learning rate."""
    return value is not None and name in training.Hyperparameters.model_fields and name != "learning_rate_multiplier"


def describe_setting(name: str, value: Any) -> str:
    """``31 epochs``, ``learning rate 0.002``; a setting without a phrase goes by its title."""
    written = (
        f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else WORDS.get(value, str(value))
    )
    title = training.Hyperparameters.model_fields[name].title or name
    return PHRASES.get(name, title.lower() + " {}").format(written)


def earlier_job(user: User, job_id: str | None) -> fine_tuning.Job | None:
    """The job whose settings are tried again, if it is still there."""
    if not job_id:
        return None
    try:
        return fine_tuning.get(user, job_id)
    except NotFound:
        return None
