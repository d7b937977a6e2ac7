"""The home page's parts.

``look_around`` asks the services once; ``next_step`` decides what a newcomer should do now.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import streamlit as st

from core import chats, datasets, fine_tuning, models
from core.chats import Chat, ChatList
from core.datasets import Dataset, DatasetList
from core.errors import NotFound
from core.fine_tuning import Job, JobList
from core.listing import Listed
from core.models import Model, ModelList
from core.people import api_keys
from core.people.api_keys import KeyList
from core.people.users import User
from core.ui import dialogs, places, show

RECENT = 5
AT_WORK = ("validating", "queued", "running")


@dataclass(frozen=True)
class HomeContents:
    """What this user has, newest first. ``best``: the model to try: the newest, or the best of its sweep."""

    datasets: Listed[Dataset]
    jobs: Listed[Job]
    models: Listed[Model]
    chats: Listed[Chat]
    keys: int
    best: Model | None = None

    @property
    def at_work(self) -> list[Job]:
        return [job for job in self.jobs.items if job.status in AT_WORK]


@dataclass(frozen=True)
class NextStep:
    """What to do next.

    ``sample`` names a sample that the button adds first; ``query`` is the target page's.
    """

    title: str
    text: str
    label: str
    icon: str
    page: str
    query: dict[str, str]
    sample: str | None = None


def look_around(user: User) -> HomeContents:
    made = models.list_models(user, ModelList(limit=RECENT, type="finetuned"))
    return HomeContents(
        datasets.list_datasets(user, DatasetList(limit=RECENT, sort="-updated_at")),
        fine_tuning.list_jobs(user, JobList(limit=20)),
        made,
        chats.list_chats(user, ChatList(limit=RECENT, sort="-updated_at")),
        api_keys.list_keys(user, KeyList(limit=1)).total,
        _best_of_its_sweep(user, made.items[0]) if made.items else None,
    )


def _best_of_its_sweep(user: User, newest: Model) -> Model:
    """The last model of a sweep is as likely its worst."""
    try:
        job = fine_tuning.get(user, newest.finetune_job_id or "")
        best_id = fine_tuning.sweeps.get(user, job.group_id).best_job_id if job.group_id else None
        best = fine_tuning.get(user, best_id) if best_id else job
        return models.get(user, best.model_id) if best.model_id else newest
    except NotFound:  # the job, the sweep or the model was deleted
        return newest


def next_step(contents: HomeContents) -> NextStep | None:
    """The first step from data to a model in use that this user has not done; None when all are done."""
    if not contents.datasets.total and not contents.jobs.total:
        return _begin_with_sample()
    if contents.at_work:
        job = contents.at_work[0]
        return NextStep(
            "Your model is being made",
            "Watch its loss fall; you may close the page.",
            "Watch it",
            "monitoring",
            "job",
            {"id": job.id},
        )
    if not contents.models.total:
        ready = sorted(
            (d for d in contents.datasets.items if d.status == "ready"), key=lambda d: d.format == "table"
        )
        newest = ready[0] if ready else None  # one that trains as it is comes first
        query = {"dataset": newest.id} if newest else {"new": "1"}
        text = (
            f"Teach the starter model your {newest.name}." if newest else "Choose a dataset and a base model."
        )
        return NextStep(
            "Fine-tune your first model", text, "Fine-tune", "model_training", "fine_tuning", query
        )
    model = contents.best or contents.models.items[0]
    if not any(chat.model_id == model.id for chat in contents.chats.items):
        text = f"{model.name} is ready. Ask it something from its training rows."
        return NextStep("Talk to your model", text, "Chat with it", "forum", "chat", {"model": model.id})
    if not contents.keys:
        return NextStep(
            "Call it from your own program",
            "Make a key; the OpenAI SDK is the client.",
            "Make a key",
            "key",
            "api_keys",
            {},
        )
    return None


def _begin_with_sample() -> NextStep | None:
    samples = datasets.samples()
    if not samples:
        return NextStep(
            "Bring your data", "Upload a file: it becomes a table.", "Upload", "upload", "datasets", {}
        )
    sample = samples[0]
    text = (
        f"Three clicks to a model of your own: add the sample “{sample.title}” "
        f"({show.count(sample.num_rows, 'row')}), fine-tune the starter model on it in a minute or two, "
        "then chat with the result."
    )
    return NextStep(
        "Make your first model",
        text,
        "Begin with a sample",
        "rocket_launch",
        "fine_tuning",
        {},
        sample=sample.name,
    )


def show_next_step(user: User, step: NextStep | None) -> None:
    if step is None:
        return
    with st.container(border=True, key="next_step"):
        st.markdown(f":primary[:material/{step.icon}:] **{show.plain(step.title)}**")
        st.markdown(show.plain(step.text))
        with st.container(horizontal=True):
            if st.button(step.label, key="next_step_go", type="primary", icon=f":material/{step.icon}:"):
                _take(user, step)
            if step.sample:
                places.button("Upload my own file", "datasets", key="next_step_upload", icon="upload")


def _take(user: User, step: NextStep) -> None:
    if step.sample:
        with st.spinner("Adding the sample …"):
            dataset = datasets.add_sample(user, step.sample)
        step = replace(step, query={"dataset": dataset.id})
    places.go(step.page, **step.query)


def show_counts(contents: HomeContents) -> None:
    with st.grid(4, min_column_width=130):
        st.metric("Datasets", show.number(contents.datasets.total), border=True)
        st.metric("Fine-tuned models", show.number(contents.models.total), border=True)
        st.metric("Fine-tunings", show.number(contents.jobs.total), border=True)
        st.metric("Chats", show.number(contents.chats.total), border=True)


def show_running(user: User, contents: HomeContents) -> None:
    if contents.at_work:
        st.subheader("Running now", anchor=False)
        _show_progress(user, [job.id for job in contents.at_work])


@st.fragment(run_every=2.0)
def _show_progress(user: User, job_ids: Sequence[str]) -> None:
    jobs = [fine_tuning.get(user, job_id) for job_id in job_ids]
    if any(job.status not in AT_WORK for job in jobs):
        dialogs.renew()
    for job in jobs:
        progress = fine_tuning.progress(user, job.id)
        with st.container(border=True, gap="xsmall", key=f"running_{job.id}"):
            with st.container(horizontal=True, vertical_alignment="center"):
                places.link("job", show.plain(job.name), icon="monitoring", id=job.id)
                show.badge(job.status)
            left = f", {show.duration(progress.eta_seconds)} left" if progress.eta_seconds else ""
            st.progress(min(max(progress.progress, 0.0), 1.0), text=f"{progress.progress:.0%}{left}")


def show_recent(contents: HomeContents) -> None:
    columns = st.columns(3, gap="medium")
    with columns[0]:
        _show_list(
            "Recent datasets",
            "datasets",
            [_dataset_line(d) for d in contents.datasets.items],
            "Nothing uploaded yet.",
        )
    with columns[1]:
        _show_list(
            "New models", "models", [_model_line(m) for m in contents.models.items], "No model made yet."
        )
    with columns[2]:
        _show_list("Recent chats", "chat", [_chat_line(c) for c in contents.chats.items], "No chat yet.")


@dataclass(frozen=True)
class Line:
    page: str
    id: str
    title: str
    facts: str
    icon: str


def _show_list(title: str, page: str, lines: Sequence[Line], nothing: str) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.subheader(title, anchor=False, width="content")
        places.link(page, "All", icon="arrow_forward")
    for line in lines:
        with st.container(gap=None, key=f"recent_{line.id}"):
            places.link(line.page, show.plain(line.title), icon=line.icon, id=line.id)
            st.caption(line.facts)
    if not lines:
        st.caption(nothing)


def _dataset_line(dataset: Dataset) -> Line:
    return Line("dataset", dataset.id, dataset.name, _dataset_facts(dataset), "table_view")


def _dataset_facts(dataset: Dataset) -> str:
    state = (
        show.count(dataset.num_rows, "row")
        if dataset.status == "ready"
        else show.look_of(dataset.status).label
    )
    return f"{state} · {show.ago(dataset.updated_at)}"


def _model_line(model: Model) -> Line:
    return Line(
        "model",
        model.id,
        model.name,
        f"version {model.latest_version} · {show.ago(model.created_at)}",
        "deployed_code",
    )


def _chat_line(chat: Chat) -> Line:
    return Line(
        "chat",
        chat.id,
        chat.title,
        f"{show.count(chat.message_count, 'message')} · {show.ago(chat.updated_at)}",
        "forum",
    )
