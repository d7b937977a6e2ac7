"""How a model looks on the pages: its kind, size, origin,
the code that calls it, and the forms that change it."""

import json
import shlex
from contextlib import suppress
from typing import Any

import streamlit as st

from core import datasets, fine_tuning, models
from core.errors import NotFound
from core.fields import properties_of
from core.people.users import User
from core.ui import places, show
from core.ui.models import version_facts
from core.ui.number_field import pick_number
from core.ui.people import scope_words

TYPES = {
    "base": ("Base", "foundation", "gray"),
    "custom": ("Custom", "tune", "violet"),
    "finetuned": ("Fine-tuned", "model_training", "blue"),
    "external": ("External", "cloud", "orange"),
}
STARTER_NOTE = (
    "Luthier's starter is a tiny demonstration model: it knows little and is often wrong. "
    "Fine-tune it on your rows to make it useful."
)
TUNED_STARTER_NOTE = (
    "Tuned from Luthier's starter, a tiny demonstration model: good at what your rows taught it, "
    "poor at everything else."
)


def show_type(model: models.Model) -> None:
    label, icon, colour = TYPES.get(model.type, (model.type, "deployed_code", "gray"))
    st.badge(label, icon=f":material/{icon}:", color=colour)  # type: ignore[arg-type]


def starter_note(model: models.Model) -> str | None:
    """What a reader has to know wherever the starter, or something built on it, answers."""
    if not model.starter:
        return None
    return STARTER_NOTE if model.type == "base" else TUNED_STARTER_NOTE


def describe(user: User, model: models.Model) -> str:
    """``3 versions · on luthier-starter · 1.3M parameters, 2.6 MB · 2 h ago · @production → v2``"""
    words = [
        show.count(model.latest_version, "version") if model.latest_version and model.type != "custom" else ""
    ]
    if model.base_model_id:
        words.append(f"on {show.plain(name_of(user, model.base_model_id))}")
    words += [describe_size(model), show.ago(model.created_at)]
    words += [f"`@{alias}` → v{version}" for alias, version in model.aliases.items()]
    return " · ".join(word for word in words if word)


def name_of(user: User, model_id: str) -> str:
    try:
        return models.get(user, model_id).name
    except NotFound:
        return "a deleted model"


def show_versions(user: User, model: models.Model) -> None:
    """Every set of weights, newest first, with what it was made of and how well it did."""
    versions = models.list_versions(user, model.id, models.VersionList(limit=100)).items
    if not versions:
        st.caption(
            "Its weights are on another server." if model.type == "external" else "There are no weights yet."
        )
    for version in versions:
        with st.container(border=True, gap="xsmall", key=f"version_row_{version.version}"):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**Version {version.version}**", width="content")
                if version.id == model.latest_version_id:
                    st.badge("Newest", color="green")
                for alias in (a for a, number in model.aliases.items() if number == version.version):
                    st.badge(f"@{alias}", color="violet", icon=":material/sell:")
                show_origin(user, version)
            st.caption(describe_version(version))
            if version.settings or version.chat_template_sha256:
                with st.expander("How it was made", type="compact"):
                    version_facts.show_facts(version)


def describe_version(version: models.ModelVersion) -> str:
    """``training loss 0.12 · validation loss 0.34 · 2.6 MB · 3 min ago``"""
    losses = [(title, version.metrics.get(name)) for name, title in METRICS.items()]
    words = [f"{title} {value:.3f}" for title, value in losses if isinstance(value, (int, float))]
    kind = "adapter" if version.kind == "adapter" else "full weights"
    return " · ".join([*words, f"{kind}, {show.bytes_(version.size_bytes)}", show.ago(version.created_at)])


METRICS = {"train_loss": "training loss", "valid_loss": "validation loss"}


def show_origin(user: User, version: models.ModelVersion) -> None:
    """Links to the job and the dataset version; what is gone is left out."""
    if version.finetune_job_id:
        with suppress(NotFound):
            job = fine_tuning.get(user, version.finetune_job_id)
            places.link("job", show.plain(job.name), icon="monitoring", id=job.id)
    if version.dataset_version_id:
        with suppress(NotFound):
            data = datasets.get_version(user, version.dataset_version_id)
            name = datasets.get(user, data.dataset_id).name
            places.link(
                "dataset",
                show.plain(f"{name} v{data.version}"),
                icon="database",
                id=data.dataset_id,
                version=data.version,
            )


def describe_size(model: models.Model) -> str:
    """``1.3M parameters, 2.6 MB``"""
    if model.type == "external":
        return "answers on another server"
    if not model.num_parameters:
        return "no weights yet"
    kind = " (adapter)" if model.kind == "adapter" else ""
    return f"{short(model.num_parameters)} parameters, {show.bytes_(model.size_bytes)}{kind}"


def short(n: int) -> str:
    """``1.3M``, ``7B``, ``820K``"""
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if n >= size:
            return f"{n / size:.3g}{unit}"
    return str(n)


def build_snippets(name: str, base_url: str) -> dict[str, tuple[str, str]]:
    """Title -> (language, code) of what calls this model from a program."""
    quoted = json.dumps(name, ensure_ascii=False)
    python = f"""from os import environ
from openai import OpenAI

client = OpenAI(base_url="{base_url}/v1", api_key=environ["LUTHIER_API_KEY"])
answer = client.chat.completions.create(
    model={quoted},
    messages=[{{"role": "user", "content": "Hello!"}}],
    stream=True,
)
for part in answer:
    print(part.choices[0].delta.content or "", end="", flush=True)
"""
    body = json.dumps(
        {"model": name, "messages": [{"role": "user", "content": "Hello!"}]}, ensure_ascii=False
    )
    curl = f"""curl {base_url}/v1/chat/completions \\
  -H "Authorization: Bearer $LUTHIER_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d {shlex.quote(body)}
"""
    return {"Python": ("python", python), "curl": ("bash", curl)}


def show_call(model: models.Model, base_url: str) -> None:
    """The code that calls the model, with the name to put into it."""
    names = [model.openai_id, *(f"{model.openai_id}@{alias}" for alias in model.aliases)]
    name = (
        st.selectbox("Name to call", names, key="model_call_name", help=CALL_HELP)
        if len(names) > 1
        else names[0]
    )
    st.caption(
        "The API key comes from the environment variable `LUTHIER_API_KEY`; "
        f"it may be narrowed to *{scope_words.TITLES['chat']}*."
    )
    places.link("api_keys", "Make a key", icon="key")
    snippets = build_snippets(name, base_url)
    for tab, (language, code) in zip(st.tabs(list(snippets)), snippets.values(), strict=True):
        tab.code(code, language=language)


CALL_HELP = (
    "The plain name follows the newest version. An alias follows what you point it at: "
    "move it and no program has to change."
)


def pick_parameters(values: dict[str, Any], *, key: str) -> dict[str, Any]:
    """The sampling parameters as fields made from ``models.Parameters``;
    what stays empty falls to the default below."""
    fields = properties_of(models.Parameters)
    with st.grid(2, min_column_width=130):
        chosen = {
            name: pick_number(
                fields[name], key=f"{key}_{name}", value=values.get(name), placeholder="default"
            )
            for name in PARAMETERS
        }
    untouched = {name: value for name, value in values.items() if name not in chosen}
    return untouched | {name: value for name, value in chosen.items() if value is not None}


PARAMETERS = ("temperature", "top_p", "max_tokens", "seed")
