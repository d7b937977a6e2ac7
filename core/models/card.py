"""The card of a fine-tuned model: ``README.md`` in its folder,
so that whoever gets the files knows what they are.

Written once, when a version is published. It names what the version was made of and how, and nothing of this
server.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TUNINGS = {"full": "all weights", "lora": "LoRA", "qlora": "QLoRA, 4-bit base"}
OF_STARTER = """## Limits

This model descends from Luthier's starter, a demonstration model of a few million parameters that was trained
on text a program wrote. It is good at what the rows above taught it, and poor at everything else: do not rely
on what it says about the world.
"""
LIMITS = """## Limits

It was measured on the rows named above and on nothing else. What its base gets wrong, it may get wrong as
well.
"""


@dataclass(frozen=True)
class Card:
    """What is known about a version when it is published. ``settings`` as the registry keeps them."""

    name: str
    kind: str
    base: str
    of_starter: bool
    metrics: Mapping[str, Any]
    settings: Mapping[str, Any]
    chat_template_sha256: str | None


def write_card(folder: Path, card: Card) -> None:
    """A new file, never a change of one: what stood there may be the same file as a checkpoint's."""
    draft = folder / ".README.md.tmp"
    draft.write_text(render(card), encoding="utf-8")
    os.replace(draft, folder / "README.md")


def render(card: Card) -> str:
    """The card as Markdown, with the metadata block that Hugging Face reads."""
    head = [
        "---",
        "library_name: " + ("peft" if card.kind == "adapter" else "transformers"),
        "tags: [luthier]",
        "---",
        "",
    ]
    parts = [
        "\n".join(head),
        f"# {_plain(card.name)}\n",
        f"{_what(card)}\n",
        _table("Metrics", _metrics(card.metrics)),
        _table("Data", _data(card.settings)),
        _table("Settings", _settings(card.settings)),
        _table("Environment", _environment(card)),
        OF_STARTER if card.of_starter else LIMITS,
    ]
    return "\n".join(part for part in parts if part)


def _what(card: Card) -> str:
    form = "A LoRA adapter over" if card.kind == "adapter" else "A whole model, tuned from"
    step = card.settings.get("checkpoint_step")
    which = f" These are the weights of step {step}." if step else ""
    template = "Ask it with the chat template in this folder: it was trained with that one."
    return f"{form} {_plain(card.base)}, made with Luthier.{which} {template}"


def _metrics(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in metrics.items():
        if isinstance(value, bool | int | float):
            yield name.replace("_", " "), round(value, 4) if isinstance(value, float) else f"{value:,}"


def _data(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in ("dataset", "validation"):
        facts = settings.get(name) or {}
        if facts.get("name"):
            yield name, f"{facts['name']}, version {facts.get('number')}, {facts.get('rows', 0):,} rows"
            yield f"{name} content hash", facts.get("content_hash")
        elif facts:
            yield name, ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in facts.items())


def _settings(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "method", settings.get("method")
    yield "seed", settings.get("seed")
    for name, value in (settings.get("resolved") or {}).items():
        if value is not None:
            yield name.replace("_", " "), TUNINGS.get(str(value), value) if name == "tuning" else value


def _environment(card: Card) -> Iterator[tuple[str, Any]]:
    yield from (card.settings.get("environment") or {}).items()
    yield from _hardware(card.settings.get("hardware") or {})
    cost = card.settings.get("cost") or {}
    if cost.get("device_hours") is not None:
        yield "device hours", cost["device_hours"]
    if cost.get("total"):
        yield "cost", f"{cost['total']:g} at {cost['per_hour']:g} per device hour"
    yield "chat template (SHA-256)", card.chat_template_sha256 or "none"


def _hardware(hardware: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in hardware.items():
        if name == "gpus":
            yield "GPUs", ", ".join(gpu["name"] for gpu in value) or "none"
        elif name == "memory_bytes":
            yield "memory", f"{value / 1e9:.0f} GB"
        else:
            yield name.replace("_", " "), value


def _table(title: str, rows: Iterator[tuple[str, Any]]) -> str:
    lines = [f"| {_plain(name)} | {_plain(value)} |" for name, value in rows if value is not None]
    return "\n".join([f"## {title}", "", "| | |", "|---|---|", *lines, ""]) if lines else ""


def _plain(value: Any) -> str:
    """One line that breaks no table."""
    return " ".join(str(value).split()).replace("|", "\\|")
