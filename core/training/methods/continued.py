"""Continued pre-training: the model goes on learning from plain text, every token of it."""

from core.training.method import Method
from core.training.objective import MEASURED_OF_TOKENS, CrossEntropy

CONTINUED = Method(
    name="continued",
    title="Continued pre-training",
    help="The model goes on reading: it learns the language and the facts of your texts, all of every row.",
    formats=("text", "chat", "completion"),
    objective=lambda _settings: CrossEntropy(),
    likely_for=("text",),
    fixed={"loss_on": "all"},
    measured=MEASURED_OF_TOKENS,
    asks_in_chat=False,
)
