"""What pressing start will do: steps, time,
needed and free memory with what would make it fit, and the button itself."""

from typing import Any

import streamlit as st

from core import fine_tuning
from core.errors import LuthierError
from core.fine_tuning import NewJob, recipes
from core.fine_tuning.before import forecast
from core.fine_tuning.before.forecast import Forecast, Measured, Memory
from core.fine_tuning.sources import Sources
from core.people.users import User
from core.ui import dialogs, places, show
from core.ui.fine_tuning import form_settings as settings
from core.ui.fine_tuning import sweep_form
from core.ui.fine_tuning.form_data import Handed

TRY_KEY = "ft_idempotency_key"
SECONDS = 1.0
NEED_WORDS = {
    "weights": "weights",
    "gradients": "gradients",
    "optimizer": "optimizer",
    "activations": "activations",
    "logits": "logits",
    "program": "program",
}


def show_plan(user: User, new: NewJob, sources: Sources | None) -> Forecast | None:
    """None when it cannot start. ``sources``: base and rows of this request.

    The same values as the button's go to the service, so what is shown is what runs.
    """
    try:
        estimate = forecast.forecast(user, new, sources)
    except LuthierError as error:
        show.error(error)
        return None
    _show_steps(new, estimate)
    _show_memory(estimate.memory)
    _show_measuring(user, new, estimate.measured, sources)
    for warning in estimate.plan.warnings:
        st.warning(show.plain(warning), icon=":material/warning:")
    for note in estimate.plan.notes:
        st.caption(f":material/info: {show.plain(note)}")
    return estimate


def show_start(
    user: User, new: NewJob, sweep: dict[str, Any] | None, estimate: Forecast | None, *, possible: bool
) -> None:
    """The button, and in a line what it will do. ``sweep``: what varies, when it starts several jobs."""
    count = sweep_form.count(sweep)
    label = "Start fine-tuning" if sweep is None else f"Start {show.count(count, 'job')}"
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="ft_start_bar"):
        disabled = estimate is None or not possible or not count
        if st.button(label, key="ft_start", type="primary", icon=":material/play_arrow:", disabled=disabled):
            with show.guarded():
                _start(user, new, sweep)
        st.download_button(
            "Settings as YAML",
            recipes.to_yaml(new),
            file_name="fine-tuning.yaml",
            mime="application/yaml",
            key="ft_yaml",
            icon=":material/download:",
            on_click="ignore",
            help="All of this form as a file: load it here again, or start it from the command line.",
        )
        st.caption(_in_short(estimate), width="stretch")


def _in_short(estimate: Forecast | None) -> str:
    if estimate is None:
        return ":red[:material/error: It cannot start as it is: the plan says why.]"
    facts = [*_facts(estimate)]
    memory = estimate.memory
    if needed := memory.measured_bytes or memory.estimated_bytes:
        colour = "green" if memory.fits else "red"
        facts.append(f":{colour}[{show.bytes_(needed)} of {show.bytes_(memory.free)} free memory]")
    if warnings := estimate.plan.warnings:
        facts.append(f":orange[:material/warning: {show.count(len(warnings), 'warning')}]")
    return " · ".join(facts)


def _start(user: User, new: NewJob, sweep: dict[str, Any] | None) -> None:
    page, started = (
        ("job", fine_tuning.create(user, new).id)
        if sweep is None
        else ("sweep", sweep_form.start(user, new.model_dump(), sweep).id)
    )
    for name in (TRY_KEY, "fine_tuning_file"):
        st.session_state.pop(name, None)
    places.go(page, id=started)


def _show_steps(new: NewJob, estimate: Forecast) -> None:
    plan = estimate.plan
    st.markdown(f":material/route: **Plan**: {' · '.join(_facts(estimate))}")
    hyperparameters = new.hyperparameters.model_dump()
    chosen = {name: value for name, value in hyperparameters.items() if value != settings.AUTO}
    shown = {
        n: v for n, v in plan.resolved.items() if n in hyperparameters and settings.is_telling(n, v, chosen)
    }
    st.caption(" · ".join(settings.describe_setting(name, value) for name, value in shown.items()))


def _facts(estimate: Forecast) -> list[str]:
    plan = estimate.plan
    facts = [show.count(plan.num_examples, "example")]
    if plan.num_validation:
        facts.append(f"{plan.num_validation:,} held back")
    facts.append(show.count(plan.total_steps, "step"))
    if estimate.seconds:
        known = "about" if estimate.measured else "roughly"
        facts.append(f"{known} {show.duration(estimate.seconds, parts=1)}")
    return facts


def _show_memory(memory: Memory) -> None:
    needed = memory.measured_bytes or memory.estimated_bytes
    if needed is None:
        st.caption("The base says too little about itself to estimate its memory. A measurement tells.")
        return
    basis = "measured" if memory.measured_bytes else "estimated"
    text = (
        f"**Memory**: {show.bytes_(needed)} {basis}, {show.bytes_(memory.free)} free on "
        f"{show.plain(memory.device)}"
    )
    if memory.fits:
        st.markdown(f":green[:material/memory:] {text}", help=_parts(memory))
        return
    st.markdown(f":red[:material/memory:] {text}", help=_parts(memory))
    if not memory.ways:
        st.error(
            "This does not fit, and no settings would make it. Choose a smaller base model.",
            icon=":material/memory_alt:",
        )
        return
    st.warning("This would not fit. Any of these would:", icon=":material/memory_alt:")
    with st.container(horizontal=True, gap="small", key="ft_ways"):
        for number, way in enumerate(memory.ways):
            st.button(
                f"{way.title} · {show.bytes_(way.total)}",
                key=f"ft_way_{number}",
                icon=":material/compress:",
                on_click=_take,
                args=(way.changes,),
            )


def _parts(memory: Memory) -> str:
    if memory.need is None:
        return ""
    parts = ", ".join(
        f"{word} {show.bytes_(getattr(memory.need, name))}" for name, word in NEED_WORDS.items()
    )
    return f"Estimate: {parts}."


def _take(changes: dict[str, Any]) -> None:
    settings.fill(changes, others_automatic=False)


def _show_measuring(user: User, new: NewJob, known: Measured | None, sources: Sources | None) -> None:
    if known:
        st.caption(
            f":material/speed: Measured on {show.plain(known.device)}: "
            f"{known.seconds_per_step:.3g} s for a step of the longest rows, "
            f"{known.tokens_per_second:,.0f} tokens per second."
        )
        return
    try:
        running = forecast.measured(user, new, sources)
    except LuthierError as error:
        show.error(error)
        running = None
    if running is None:
        st.button(
            "Measure time and memory",
            key="ft_measure",
            icon=":material/speed:",
            help=MEASURE_HELP,
            on_click=show.attempt,
            args=(lambda: forecast.measure(user, new),),
        )
        return
    _wait(user, new, Handed(sources))


MEASURE_HELP = (
    "Loads the base and runs a few real steps on your longest rows, in a process of its own. "
    "Nothing is kept but the numbers."
)


@st.fragment(run_every=SECONDS)
def _wait(user: User, new: NewJob, handed: Handed) -> None:
    try:
        running = forecast.measured(user, new, handed.take())
    except LuthierError as error:
        show.error(error)
        return
    if running is None or isinstance(running, Measured):
        dialogs.renew()
    st.markdown(f":material/progress_activity: {running.told or 'Starting to measure.'}")
