"""Datasets as lists and headers draw them: facts,
what they are good for, and a conversion that is still running."""

import streamlit as st

from core import datasets
from core.datasets import Dataset
from core.people.users import User
from core.ui import places, show
from core.ui.datasets import training_words
from core.ui.datasets.training_words import Verdict

FORMATS = {
    "chat": ("Chat", "violet"),
    "preference": ("Preference", "violet"),
    "completion": ("Prompt → completion", "violet"),
    "text": ("Text", "violet"),
    "table": ("Table", "gray"),
}


def judge(dataset: Dataset) -> Verdict:
    """Whether it can be learned and why, or what became of its file instead."""
    if dataset.status == "processing":
        share = min(max(dataset.progress or 0.0, 0.0), 1.0)
        return Verdict("busy", f"Converting {share:.0%}", "It can be used once it is converted.")
    if dataset.status == "failed":
        return Verdict("failed", "Could not be read", _first_error(dataset))
    return training_words.judge(dataset.format, dataset.columns, dataset.training, dataset.num_rows)


def _first_error(dataset: Dataset) -> str:
    first = next(iter(dataset.errors), None)
    if first is None:
        return "The reason is not known."
    return f"Line {first['line']:,}: {first['message']}" if first.get("line") else str(first["message"])


def format_badge(format: str) -> str:
    """Whether it can train as it is, said by its recognised format."""
    label, colour = FORMATS.get(format, (format, "gray"))
    symbol = "" if format == "table" else ":material/model_training: "
    return f":{colour}-badge[{symbol}{label}]"


def facts(dataset: Dataset) -> str:
    """``7,473 rows · 2 columns · 4.2 MB stored · version 3 · changed 5 min ago``."""
    if dataset.status != "ready":
        words = {"processing": "Being converted", "failed": "Could not be read"}
        return (
            f"{words.get(dataset.status, dataset.status)} · {show.bytes_(dataset.size_bytes)} uploaded · "
            f"{show.ago(dataset.created_at)}"
        )
    parts = [
        show.count(dataset.num_rows or 0, "row"),
        show.count(dataset.num_columns or 0, "column"),
        f"{show.bytes_(dataset.stored_bytes)} stored",
        f"version {dataset.version}" if (dataset.version or 1) > 1 else "",
        f"changed {show.ago(dataset.updated_at)}",
    ]
    return " · ".join(part for part in parts if part)


def show_samples(user: User, *, key: str = "sample") -> None:
    """A card per bundled sample; adding one opens it."""
    with st.grid(2, min_column_width=280):
        for sample in datasets.samples():
            with st.container(border=True, height="stretch", key=f"{key}_{sample.name}_card"):
                st.markdown(f"**{show.plain(sample.title)}** · {show.count(sample.num_rows, 'row')}")
                st.caption(show.plain(sample.description))
                st.space("stretch")
                if st.button("Add this sample", key=f"{key}_{sample.name}", icon=":material/add:"):
                    add_sample(user, sample.name)


def add_sample(user: User, name: str) -> None:
    with show.guarded():
        with st.spinner("Adding the sample …"):
            dataset = datasets.add_sample(user, name)
        places.go("dataset", id=dataset.id)


def show_errors(dataset: Dataset) -> None:
    """Why a file could not be read, with its lines, or which rows were skipped."""
    if not dataset.errors:
        return
    listed = "\n".join(
        f"- {'line ' + str(e['line']) + ': ' if e.get('line') else ''}{show.plain(str(e['message']))}"
        for e in dataset.errors[:100]
    )
    if dataset.status == "failed":
        st.error(f"This file could not be read.\n\n{listed}", icon=":material/error:")
    else:
        with st.expander(
            f"{show.count(dataset.skipped_rows or len(dataset.errors), 'row')} skipped",
            icon=":material/warning:",
        ):
            st.markdown(listed)
            st.caption("All of them, with their text, are in the menu Download as “Skipped rows”.")
