"""The bundled sample datasets: real enough for the whole loop,
small enough to ship. data/samples/make_samples.py makes them."""

from pathlib import Path

from core.config import ROOT
from core.datasets.values import Sample

FOLDER = ROOT / "data" / "samples"
SAMPLES = (
    Sample(
        "support_faq",
        "Support FAQ",
        "Questions to the support of a bicycle maker, with answers. Fine-tune a model on it.",
        "support_faq.jsonl",
        72,
    ),
    Sample(
        "support_tickets",
        "Support tickets",
        "A table of 500 support tickets. Ask about it in SQL, or train on its questions and answers.",
        "support_tickets.csv",
        500,
    ),
)


def sample_path(sample: Sample) -> Path:
    return FOLDER / sample.filename
