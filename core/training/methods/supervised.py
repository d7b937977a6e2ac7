"""Supervised fine-tuning: the model learns to give the answers of the data."""

from core.training.method import Method
from core.training.objective import MEASURED_OF_TOKENS, CrossEntropy

SUPERVISED = Method(
    name="supervised",
    title="Supervised fine-tuning",
    help="The model learns to give the answers in your data.",
    formats=("chat", "completion", "text"),
    objective=lambda _settings: CrossEntropy(),
    measured=MEASURED_OF_TOKENS,
    gives_answers=True,
)
