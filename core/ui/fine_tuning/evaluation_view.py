"""How an evaluation of a checkpoint is shown: its progress, its numbers, and some of the answers."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from core import fine_tuning
from core.people.users import User
from core.training import METHODS
from core.ui import dialogs, digits
from core.ui import show as showing

EVERY_SECONDS = 1.5
OPEN = ("waiting", "running")


def show(user: User, job_id: str, step: int, evaluation: Mapping[str, Any]) -> None:
    if evaluation["status"] in OPEN:
        st.fragment(_follow, run_every=EVERY_SECONDS)(user, job_id, step)
    elif evaluation["status"] == "failed":
        st.error(
            f"The evaluation failed. {showing.plain(str(evaluation.get('error', '')))}",
            icon=":material/error:",
        )
    else:
        st.markdown(f":material/fact_check: {describe(evaluation)}")
        show_answers(evaluation.get("answers") or [])


def _follow(user: User, job_id: str, step: int) -> None:
    with showing.guarded():
        evaluation = fine_tuning.get_checkpoint(user, job_id, step).metrics.get("evaluation") or {}
        if evaluation.get("status") not in OPEN:
            dialogs.renew()
        share = float(evaluation.get("progress") or 0)
        message = f"Measuring on {showing.plain(str(evaluation['dataset']))}"
        if evaluation["status"] == "waiting":
            message += f": {showing.turn(evaluation.get('ahead'))}"
        elif not share:
            message = "Loading the model to measure it"
        st.progress(share, text=message)


def describe(evaluation: Mapping[str, Any]) -> str:
    """``Loss 0.312 · 92% of tokens · 40 of 50 answers exact on 50 rows of faq v1 kept for validation``"""
    words = [f"Loss **{evaluation['loss']:.3f}**"]
    phrases = dict(phrase for method in METHODS.values() for phrase in method.measured)
    words += [text.format(evaluation[name]) for name, text in phrases.items() if name in evaluation]
    if answers := evaluation.get("num_answers"):
        words.append(f"**{round(evaluation['exact_match'] * answers)} of {answers}** answers exact")
    kept = " kept for validation" if evaluation.get("rows") == "held out" else ""
    rows = showing.count(int(evaluation["num_rows"]), "row")
    return f"{' · '.join(words)}, on {rows} of {showing.plain(str(evaluation['dataset']))}{kept}"


def show_answers(answers: list[dict[str, Any]]) -> None:
    if not answers:
        return
    with st.expander("Some answers, wrong ones first", type="compact"):
        rows = [
            (one["line"], "✓" if one["is_right"] else "✗", one["prompt"], one["expected"], one["answer"])
            for one in answers
        ]
        st.dataframe(
            pd.DataFrame(rows, columns=["Line", "Right", "Question", "Expected", "Answer"]),
            placeholder=digits.NULL,
            hide_index=True,
            key="checkpoint_answers",
            alt="Answers of this checkpoint beside the expected ones",
        )
