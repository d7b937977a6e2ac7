"""What the model answers while it learns, side by side by step:
fixed prompts, and the rows it did worst on."""

from collections.abc import Sequence

import streamlit as st

from core import fine_tuning
from core.fine_tuning import JobSample, SampleList
from core.people.users import User
from core.ui import show

MOST_STEPS = 6
EXCERPT = 1200  # characters
NOTHING_YET = (
    "The first answers appear after the first evaluation. Prompts of your own can be given when a job is "
    "started."
)


def show_samples(user: User, job: fine_tuning.Job) -> None:
    steps = fine_tuning.sample_steps(user, job.id)
    if not steps:
        st.caption(
            NOTHING_YET
            if job.status in fine_tuning.ACTIVE
            else "No answers were sampled during this training."
        )
        return
    chosen = pick_steps(steps)
    if not chosen:
        st.caption("Choose at least one step.")
        return
    samples = {
        step: fine_tuning.samples(user, job.id, SampleList(step=step, limit=100)).items for step in chosen
    }
    for position in sorted({s.position for items in samples.values() for s in items if s.kind == "fixed"}):
        _show_prompt(
            chosen,
            [
                next((s for s in samples[step] if (s.kind, s.position) == ("fixed", position)), None)
                for step in chosen
            ],
        )
    worst = {step: [s for s in items if s.kind == "worst"] for step, items in samples.items()}
    if any(worst.values()):
        st.subheader("Rows it did worst on", anchor=False)
        st.caption("At each step the rows with the highest loss, so the columns may hold different rows.")
        _show_worst(chosen, worst)


def pick_steps(steps: Sequence[int]) -> list[int]:
    """The first and the last, until others are chosen."""
    default = sorted({steps[0], steps[-1]})
    chosen = st.multiselect(
        "Steps to compare",
        list(steps),
        default=None if "job_sample_steps" in st.session_state else default,
        format_func=lambda step: f"step {step:,}",
        max_selections=MOST_STEPS,
        key="job_sample_steps",
    )
    return sorted(chosen)


def _show_prompt(steps: Sequence[int], answers: Sequence[JobSample | None]) -> None:
    known = next(answer for answer in answers if answer is not None)
    with st.container(border=True, key=f"sample_{known.position}"):
        st.markdown(f":gray[Prompt]  \n{_text(known.prompt)}")
        if known.expected is not None:
            st.markdown(f":gray[Expected]  \n{_text(known.expected)}")
        for column, step, answer in zip(st.columns(len(steps)), steps, answers, strict=True):
            with column:
                same = (
                    answer is not None
                    and known.expected is not None
                    and answer.answer.strip() == known.expected.strip()
                )
                sign = " :green[:material/check: as expected]" if same else ""
                st.markdown(f"**Step {step:,}**{sign}  \n{_answer(answer)}")


def _show_worst(steps: Sequence[int], worst: dict[int, list[JobSample]]) -> None:
    for column, step in zip(st.columns(len(steps)), steps, strict=True):
        with column:
            st.markdown(f"**Step {step:,}**")
            for sample in worst[step]:
                with st.container(border=True):
                    loss = f", loss {sample.loss:.3f}" if sample.loss is not None else ""
                    st.caption(f"Row {sample.line:,}{loss}" if sample.line else f"A row{loss}")
                    st.markdown(f":gray[Prompt]  \n{_text(sample.prompt)}")
                    st.markdown(f":gray[Expected]  \n{_text(sample.expected or '')}")
                    st.markdown(f":gray[Answer]  \n{_answer(sample)}")


def _answer(sample: JobSample | None) -> str:
    if sample is None:
        return ":gray[not asked at this step]"
    return _text(sample.answer) if sample.answer else ":gray[an empty answer]"


def _text(text: str) -> str:
    """As it is, line by line; of a long one the beginning."""
    cut = text if len(text) <= EXCERPT else text[:EXCERPT] + " …"
    return "  \n".join(show.plain(line) for line in cut.splitlines()) or ":gray[nothing]"
