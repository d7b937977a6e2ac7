"""The settings of a training as fields:
made from ``training.Hyperparameters``, so a new setting shows up here by itself.

Only what means something for the method and what is tuned is drawn. A field that is left alone stays
automatic and says what that becomes. Presets, a file and the changes offered when memory does not suffice
all fill the fields through :func:`fill`.

A value that is set so reaches the browser in one run only. When that run is interrupted, the browser draws
the field empty, and what it sends next is taken for the user's choice. So these fields, as every widget whose
value is set through the session state, have ``persist_state="page"``: each run tells the value to a browser
that does not have it.
"""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import streamlit as st

from core import training
from core.fields import properties_of
from core.fine_tuning import choices
from core.training import Settings
from core.training.presets import PRESETS, Preset
from core.ui import show
from core.ui.number_field import number_kind, pick_number

AUTO = "auto"
PRESET = "ft_preset"
MOST_SEGMENTS = 3  # more words do not fit beside each other
WORDS = {
    "auto": "Automatic",
    "full": "Full",
    "lora": "LoRA",
    "qlora": "QLoRA",
    "answers": "Answers",
    "all": "All",
    "cosine": "Cosine",
    "linear": "Linear",
    "constant": "Constant",
    "float32": "float32",
    "bfloat16": "bfloat16",
    "best": "Best",
    "last": "Last",
    "on": "On",
    "off": "Off",
}
OF_ADAPTERS = ("lora_",)  # the names of what means something only for them
Fields = dict[str, Mapping[str, Any]]


def key_of(name: str) -> str:
    return f"ft_{name}"


def fill(chosen: Mapping[str, Any], *, others_automatic: bool = True) -> None:
    """Put values into the fields; as a callback, or before they are drawn."""
    for name, field in _every_field().items():
        if name in chosen or others_automatic:
            st.session_state[key_of(name)] = _as_state(field, chosen.get(name, AUTO))


def chosen_now(method: str) -> dict[str, Any]:
    """What the fields say that apply, without the automatic ones; known before they are drawn."""
    fields = _every_field()
    values = {
        name: _from_state(fields[name], st.session_state.get(key_of(name)))
        for name in _applying(fields, method)
    }
    return {name: value for name, value in values.items() if value != AUTO}


def pick_settings(method: str, automatic: Settings) -> dict[str, Any]:
    """The hyperparameters the user decided about; the others stay ``auto``. Rare ones are folded away."""
    every = _every_field()
    left_out = OF_ADAPTERS if automatic.tuning == "full" else ()
    shown = {name: every[name] for name in _applying(every, method) if not name.startswith(left_out)}
    for name in every.keys() - shown.keys():  # what is not shown decides nothing
        st.session_state.pop(key_of(name), None)
    _pick_preset(method)
    values = _draw_fields(
        {name: field for name, field in shown.items() if not field.get("advanced")}, automatic
    )
    folded = {name: field for name, field in shown.items() if field.get("advanced")}
    set_here = sum(st.session_state.get(key_of(name)) not in (None, AUTO, "") for name in folded)
    label = "All settings" + (f" · {set_here} set" if set_here else "")
    with st.expander(label, icon=":material/tune:", key="ft_advanced"):
        st.caption(
            "Left alone, Luthier chooses from the size of your data and the model; each field says what."
        )
        for section, group in groupby(folded.items(), key=lambda item: item[1].get("section")):
            st.markdown(f"**{section}**")
            values |= _draw_fields(dict(group), automatic)
    return {name: value for name, value in values.items() if value != AUTO}


def _pick_preset(method: str) -> None:
    now = chosen_now(method)
    st.session_state[PRESET] = next((one.name for one in PRESETS.values() if one.changes == now), None)
    name = st.segmented_control(
        "Preset",
        list(PRESETS),
        format_func=lambda name: f":material/{PRESETS[name].icon}: {PRESETS[name].title}",
        key=PRESET,
        on_change=_apply_preset,
        help="\n\n".join(f"**{preset.title}**: {preset.help}" for preset in PRESETS.values()),
    )
    st.caption(PRESETS[name].help if name else "Your own settings.")


def _apply_preset() -> None:
    preset: Preset | None = PRESETS.get(st.session_state[PRESET] or "")
    if preset is None:
        return
    fill(preset.changes)
    if preset.validates:
        st.session_state["ft_validation"] = "A share of the rows"


def _every_field() -> Fields:
    return dict(properties_of(training.Hyperparameters))


def _applying(fields: Fields, method: str) -> list[str]:
    return [name for name, field in fields.items() if not field.get("methods") or method in field["methods"]]


def _draw_fields(fields: Fields, automatic: Settings) -> dict[str, Any]:
    with st.grid(2, min_column_width=220):
        return {
            name: draw_field(name, field, getattr(automatic, name, None)) for name, field in fields.items()
        }


def draw_field(name: str, field: Mapping[str, Any], automatic: Any) -> Any:
    """One setting as the widget its schema asks for;
    ``automatic`` is what it becomes when it is left alone."""
    label, about, key = field.get("title") or name, field.get("description"), key_of(name)
    placeholder = f"auto: {written(automatic)}" if automatic is not None else AUTO
    if number_kind(field):
        number = pick_number(field, key=key, value=None, placeholder=placeholder, persist_state="page")
        return AUTO if number is None else number
    words = _words(field)
    if not words:
        text = st.text_input(label, key=key, placeholder=placeholder, help=about, persist_state="page")
        return text.strip() or AUTO
    st.session_state.setdefault(key, AUTO)
    missing = choices.unavailable().get(name, {})
    about = " ".join(filter(None, (about, *missing.values())))
    # what a recipe brought stays, and the plan says why it cannot be
    offered = [word for word in words if word not in missing or word == st.session_state[key]]
    if len(words) > MOST_SEGMENTS:
        word = st.selectbox(
            label,
            offered,
            format_func=lambda word: _describe_word(word, automatic),
            help=about,
            key=key,
            persist_state="page",
        )
        return _from_state(field, word)
    picked = st.segmented_control(
        label,
        offered,
        required=True,
        format_func=lambda word: _describe_word(word, automatic),
        help=about,
        key=key,
        persist_state="page",
    )
    return _from_state(field, picked)


def _describe_word(word: str, automatic: Any) -> str:
    return f"Auto ({written(automatic)})" if word == AUTO and automatic is not None else WORDS.get(word, word)


def written(value: Any) -> str:
    """``0.002``, ``1,024``, ``LoRA``, ``on``."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.3g}"
    return (
        f"{value:,}"
        if isinstance(value, int)
        else str(value)
        if WORDS.get(value) in (None, "Full")
        else WORDS[value].lower()
    )


def _words(field: Mapping[str, Any]) -> list[str]:
    """The literals a field may be, ``auto`` first; a truth value is on or off. [] for a text."""
    kinds = field.get("anyOf") or [field]
    if any(kind.get("type") == "boolean" for kind in kinds):
        return [AUTO, "on", "off"]
    if any(kind.get("type") == "string" and "enum" not in kind and "const" not in kind for kind in kinds):
        return []
    literals = (
        word for kind in kinds for word in kind.get("enum", [kind["const"]] if "const" in kind else [])
    )
    return sorted(literals, key=AUTO.__ne__)


def _as_state(field: Mapping[str, Any], value: Any) -> Any:
    """What the widget of a field holds for a value."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if number_kind(field):
        kind = number_kind(field) or {}
        return None if value == AUTO else int(value) if kind.get("type") == "integer" else float(value)
    return "" if value == AUTO and not _words(field) else value


def _from_state(field: Mapping[str, Any], state: Any) -> Any:
    if state in (None, "", AUTO):
        return AUTO
    return state == "on" if state in ("on", "off") else state


PHRASES = {
    "batch_size": "batch size {}",
    "learning_rate": "learning rate {}",
    "tuning": "{} fine-tuning",
    "lora_rank": "rank {}",
    "lora_alpha": "alpha {}",
    "max_length": "rows up to {} tokens",
}
ALWAYS_TOLD = ("n_epochs", *PHRASES)


def is_telling(name: str, value: Any, chosen: Mapping[str, Any]) -> bool:
    """What decides the run, and whatever else a person chose;
    a multiplier is already in the learning rate."""
    return (
        value is not None and (name in ALWAYS_TOLD or name in chosen) and name != "learning_rate_multiplier"
    )


def describe_setting(name: str, value: Any) -> str:
    """``31 epochs``, ``learning rate 0.002``; a setting without a phrase goes by its title."""
    if name == "n_epochs":
        return show.count(value, "epoch")
    text = WORDS.get(value, value) if isinstance(value, str) else written(value)
    title = training.Hyperparameters.model_fields[name].title or name
    return PHRASES.get(name, title.lower() + " {}").format(text)
