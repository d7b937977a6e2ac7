"""Settings that go well together, by name.

A preset says what it decides; everything else stays as it is or automatic.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Preset:
    """``changes``: hyperparameters and their values. ``validates``: it needs rows kept for validation."""

    name: str
    title: str
    help: str
    icon: str
    changes: dict[str, Any] = field(default_factory=dict)
    validates: bool = False


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("balanced", "Balanced", "Everything automatic: a good model in reasonable time.", "balance"),
        Preset(
            "quick",
            "Quick look",
            "At most 60 steps, to see within minutes whether data and settings make sense.",
            "bolt",
            {"n_epochs": 1, "max_steps": 60},
        ),
        Preset(
            "thorough",
            "Thorough",
            "Measures often, ends when the validation loss no longer falls, and keeps the best checkpoint.",
            "psychology",
            {"early_stopping": 5, "keep": "best"},
            validates=True,
        ),
        Preset(
            "low_memory",
            "Low memory",
            (
                "A LoRA adapter, one row at a time and activations computed twice: slower, "
                "and fits where little is free."
            ),
            "memory",
            {"tuning": "lora", "batch_size": 1, "gradient_accumulation": 8, "gradient_checkpointing": True},
        ),
    )
}
