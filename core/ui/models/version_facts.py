"""What a version of a model was made of and with: metrics, data,
settings as run, environment, hardware, time, cost, template.

The worker records them; versions of earlier releases know less, and what is not known is left out.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from core import models
from core.ui import digits, show

Facts = Mapping[str, Any]
LOSSES = {
    "train_loss": "Training loss",
    "valid_loss": "Validation loss",
    "best_valid_loss": "Best validation loss",
}
TUNINGS = {"full": "All weights", "lora": "LoRA", "qlora": "QLoRA, 4-bit base"}
APART = (
    "environment",
    "versions",
    "hardware",
    "cost",
    "dataset",
    "validation",
    "resolved",
    "hyperparameters",
    "chat_template_sha256",
    "chat_template",
    "notes",
)


def show_facts(version: models.ModelVersion) -> None:
    """In short above, all settings and versions of libraries below."""
    with st.grid(4, min_column_width=150, gap="small", key=f"version_facts_{version.version}"):
        for name, value in facts_of(version):
            with st.container(gap=None):
                st.caption(name)
                st.markdown(value)
    for title, rows in (("Settings as run", settings_of(version)), ("Environment", environment_of(version))):
        if rows:
            st.markdown(f"**{title}**")
            st.dataframe(
                pd.DataFrame(rows, columns=["Setting" if title.startswith("S") else "Part", "Value"]),
                placeholder=digits.NULL,
                hide_index=True,
                height="content",
                key=f"version_{show.slug(title)}_{version.version}",
                alt=f"{title} of version {version.version}",
            )
    if version.chat_template_sha256:
        st.caption(
            f"Chat template, SHA-256: {show.code(version.chat_template_sha256)}. "
            f"Checked where it is served and exported."
        )
    for note in notes_of(version):
        st.caption(f":material/info: {show.plain(note)}")


def notes_of(version: models.ModelVersion) -> list[str]:
    """What was found when the weights came: about the base, and about its chat template."""
    findings = [finding["message"] for finding in version.settings.get("chat_template") or []]
    return list(dict.fromkeys([*(version.settings.get("notes") or []), *findings]))


def facts_of(version: models.ModelVersion) -> list[tuple[str, str]]:
    """Name and markdown of the facts people look for first."""
    settings, metrics = version.settings, version.metrics
    hardware, cost = settings.get("hardware") or {}, settings.get("cost") or {}
    resolved = settings.get("resolved") or {}
    facts: list[tuple[str, str | None]] = [
        (title, _loss(metrics.get(name))) for name, title in LOSSES.items()
    ]
    facts += [
        ("Method", _text(settings.get("method"))),
        ("Tuned", TUNINGS.get(str(resolved.get("tuning")))),
        ("Step", _count(settings.get("checkpoint_step"))),
        ("Data", _data(settings.get("dataset"))),
        ("Stops by itself", _stops(metrics.get("stops_by_itself"))),
        ("Tokens trained", _count(metrics.get("trained_tokens"))),
        ("Training time", show.duration(metrics["seconds"]) if _is_number(metrics.get("seconds")) else None),
        ("Hardware", _hardware(hardware)),
        ("Cost", _cost(cost)),
    ]
    return [(name, value) for name, value in facts if value]


def settings_of(version: models.ModelVersion) -> list[tuple[str, str]]:
    """As they were run: ``auto`` is resolved."""
    plain = {name: value for name, value in version.settings.items() if name not in APART}
    run = version.settings.get("resolved") or version.settings.get("hyperparameters") or {}
    return [(name, text) for name, value in _flat({**plain, **run}) if (text := _value(value))]


def environment_of(version: models.ModelVersion) -> list[tuple[str, str]]:
    """Libraries with their versions, the machine, the data's hash."""
    settings = version.settings
    parts = [settings.get("environment") or settings.get("versions") or {}, settings.get("hardware") or {}]
    rows = [
        (name.replace("_", " "), _bytes_or_value(name, value))
        for part in parts
        for name, value in _flat(part)
    ]
    for name in ("dataset", "validation"):
        rows += [
            (f"{name}: {key.replace('_', ' ')}", _value(value))
            for key, value in _flat(settings.get(name) or {})
        ]
    return [(name, text) for name, text in rows if text]


def _loss(value: Any) -> str | None:
    return f"{value:.4f}" if _is_number(value) else None


def _stops(asked: Facts | None) -> str | None:
    """Of training prompts that were asked once more after the training."""
    return f"{asked['stopped']} of {asked['of']}" if asked else None


def _count(value: Any) -> str | None:
    return show.number(int(value)) if _is_number(value) else None


def _text(value: Any) -> str | None:
    return show.plain(str(value)) if value else None


def _data(data: Facts | None) -> str | None:
    if not data or not data.get("name"):
        return None
    return (
        f"{show.plain(str(data['name']))} v{data.get('number')}, "
        f"{show.count(int(data.get('rows') or 0), 'row')}"
    )


def _hardware(hardware: Facts) -> str | None:
    gpus = hardware.get("gpus") or hardware.get("gpu")
    if gpus:
        return show.plain(", ".join(map(str, gpus)) if isinstance(gpus, list) else str(gpus))
    words = [
        f"{hardware['cores']} cores" if hardware.get("cores") else "",
        str(hardware.get("machine") or ""),
    ]
    return show.plain(" · ".join(word for word in words if word)) or None


def _cost(cost: Any) -> str | None:
    """What the admin's price makes of it; without a price the hours alone."""
    if not isinstance(cost, Mapping):
        return show.number(cost) if _is_number(cost) else None
    if cost.get("total"):
        return f"{cost['total']:,.2f}"
    return f"{cost['device_hours']:.3g} device hours" if cost.get("device_hours") else None


def _flat(values: Facts, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _bytes_or_value(name: str, value: Any) -> str:
    return show.bytes_(value) if name.endswith("bytes") and _is_number(value) else _value(value)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
