"""Kinds of alerts: the words that the column ``alerts.kind`` may hold, and what people read about each.

To add one: its word in ``Kind`` and its entry in ``ALERT_KINDS``, a migration that lets the column hold it,
and ``core.alerts.note`` where it happens. The pages, the webhook's form, the API's schema and the guide
follow; ``tests/core/alerts/test_alert_kinds.py`` runs the contract tests on it. The registry stands among the
tables because the column's constraint is made of it.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["finished", "failed", "paused", "nan", "diverged", "stalled"]


@dataclass(frozen=True)
class AlertKind:
    """``title``: two or three words for a list. ``help``: when it is told, as a sentence.

    ``icon``: a name of Material Symbols. ``colour``: a colour of Streamlit's Markdown.
    """

    title: str
    help: str
    icon: str
    colour: str


ALERT_KINDS: dict[Kind, AlertKind] = {
    "finished": AlertKind("Finished", "The model is ready.", "check_circle", "green"),
    "failed": AlertKind("Failed", "The job ended with an error; the message says which.", "error", "red"),
    "paused": AlertKind(
        "Paused by itself",
        "The server set the job aside, for instance because its disk is nearly full.",
        "pause_circle",
        "orange",
    ),
    "nan": AlertKind("Loss is no number", "A loss was not a number.", "report", "red"),
    "diverged": AlertKind(
        "Loss runs away",
        "The loss is far above where it was: the learning rate is probably too high.",
        "trending_up",
        "orange",
    ),
    "stalled": AlertKind(
        "Stalled",
        "No step was heard of for long. The worker was ended and the job resumed from its checkpoint.",
        "hourglass_disabled",
        "orange",
    ),
}
