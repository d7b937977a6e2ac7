"""What a start would cost: memory against what is free, and time.

First by arithmetic, then by a few measured steps.

``forecast`` answers at once from what is known: the plan, the estimate of ``core.training.memory``, and the
measurement if one was made for these settings. ``measure`` makes one, in a process of its own, one at a time;
asking again tells how far it is.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from core import config, hardware, models
from core.db import reading
from core.errors import Conflict
from core.fine_tuning import starting
from core.fine_tuning.before import preview
from core.fine_tuning.before.preview import Subject, Totals
from core.fine_tuning.before.process import KILLED, PreviewProcess, PreviewStopped
from core.fine_tuning.before.tasks import BackgroundTask, TaskProgress, fingerprint, kept, tasks
from core.fine_tuning.expected import START_SECONDS
from core.fine_tuning.sources import Sources
from core.fine_tuning.starting import NewJob, Plan
from core.hardware import Machine
from core.jobs import turns
from core.people.users import User
from core.training import METHODS, Settings, memory
from core.training.memory import Need, Way

WORTH_TELLING = 1.5  # times slower
BUSY = (
    "This machine is busy: the time counts on about {times:.1f} times as long as on a free machine. "
    "The page of the running job corrects it by the pace it measures."
)
WAITING = "Waiting for another measurement to end."
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Measured:
    """By real steps on the longest rows. ``memory_bytes`` of RAM, ``gpu_memory_bytes`` None without a GPU."""

    seconds_per_step: float
    tokens_per_second: float
    tokens_per_step: int
    longest_row: int
    seconds_to_load: float
    memory_bytes: int
    gpu_memory_bytes: int | None
    device: str
    slowdown: float = 1.0  # how many times slower the machine was than when it is free


@dataclass(frozen=True)
class Memory:
    """Bytes on the device that trains (``device``).

    ``need`` is None where the base says too little of itself.

    ``fits`` compares the measurement, or else the estimate, with ``free``; ``ways``: other settings that
    would fit, if it does not.
    """

    device: str
    free: int
    total: int
    need: Need | None
    estimated_bytes: int | None
    measured_bytes: int | None
    fits: bool | None
    ways: list[Way]


@dataclass(frozen=True)
class Forecast:
    """``totals`` and ``measured`` are None until somebody has asked
    for them; ``seconds`` is rough before that. ``slowdown``: how many times longer it takes on the machine as
    it is now than on a free one; ``seconds`` has it in it.
    """

    plan: Plan
    memory: Memory
    measured: Measured | None
    seconds: float | None
    steps_per_epoch: int | None
    slowdown: float = 1.0


def forecast(user: User, new: NewJob, found: Sources | None = None) -> Forecast:
    """``found``: what ``starting.look_up`` has just found for this user and request, here and below.

    Raises what ``plan`` raises.
    """
    found = found or starting.look_up(user, new)
    plan = starting.plan(user, new, found)
    subject = preview.find(user, new, found)
    subject = replace(subject, settings=Settings(**plan.resolved))
    totals = preview.known_totals(subject)
    known = kept.get(_key(subject))
    measured = Measured(**known) if known else None
    share = plan.num_examples / max(1, plan.num_examples + plan.num_validation)
    per_epoch = None
    if totals:
        counted = totals.num_trained(subject.settings, share=share)
        per_epoch = subject.settings.steps_per_epoch(counted, num_processes=new.num_processes)
        steps = subject.settings.total_steps(counted, num_processes=new.num_processes)
        plan = replace(plan, total_steps=steps)
    slowdown = _slowdown(new)
    seconds = _seconds(plan, subject.settings, totals, measured, share=share)
    if seconds and measured:
        seconds *= max(1.0, slowdown / measured.slowdown)
    elif plan.estimated_seconds:
        seconds = plan.estimated_seconds * slowdown
    if slowdown >= WORTH_TELLING:
        plan = replace(plan, warnings=[*plan.warnings, BUSY.format(times=slowdown)])
    memory_ = _memory(subject, totals, measured)
    return Forecast(plan, memory_, measured, seconds, per_epoch, slowdown)


def measured(user: User, new: NewJob, found: Sources | None = None) -> Measured | TaskProgress | None:
    """The measurement of these settings, how far it is, or None when nobody has begun one.

    Raises what it failed with.
    """
    return _known(preview.find(user, new, found))


def measure(user: User, new: NewJob) -> Measured | TaskProgress:
    """Begin to measure, or tell how far it is.

    Raises Conflict when the estimate says that the memory would not do.
    """
    subject = preview.find(user, new)
    known = _known(subject)
    if known is not None:
        return known
    totals = preview.known_totals(subject)
    if _memory(subject, totals, None).fits is False:
        raise Conflict(
            "These settings would not fit into memory, so they are not tried. Choose smaller ones."
        )
    lines = [one["line"] for one in totals.longest] if totals else []
    key = _key(subject)
    return tasks.begin(key, lambda task: _probe(task, subject, key, lines)).report()


def _known(subject: Subject) -> Measured | TaskProgress | None:
    key = _key(subject)
    if (values := kept.get(key)) is not None:
        return Measured(**values)
    task = tasks.running(key)
    return task.report() if task else None


def _probe(task: BackgroundTask, subject: Subject, key: str, lines: list[int]) -> None:
    request = {
        "op": "probe",
        "method": subject.method,
        "threads": hardware.training_threads(),
        **subject.as_json(),
    }
    if len(lines) >= subject.settings.rows_per_step():
        request["lines"] = lines
    with _turn(task):
        slowdown = hardware.slowdown()
        process = PreviewProcess()
        try:
            answer = process.ask(request, on_progress=task.note, stop=task.is_over, died=KILLED)
        finally:
            process.end()
    kept.put(key, answer | {"slowdown": slowdown})


@contextmanager
def _turn(task: BackgroundTask) -> Iterator[None]:
    """Two measurements at once would measure each other. Raises Stopped when nobody waits any more."""
    task.note({"told": WAITING})
    while not _one_at_a_time.acquire(timeout=0.2):
        if task.is_over():
            raise PreviewStopped
    try:
        yield
    finally:
        _one_at_a_time.release()


def _key(subject: Subject) -> str:
    chosen = subject.settings
    names = (
        "tuning",
        "lora_rank",
        "lora_targets",
        "batch_size",
        "gradient_accumulation",
        "max_length",
        "packing",
        "precision",
    )
    values: list[Any] = [getattr(chosen, name) for name in names]
    values += [subject.rows.version_id, subject.method, chosen.gradient_checkpointing]
    return f"{subject.base.version_id}/{fingerprint(values)}"


def _memory(subject: Subject, totals: Totals | None, measured: Measured | None) -> Memory:
    machine = hardware.look()
    gpu, settings, sequences = machine.has_gpu, subject.settings, METHODS[subject.method].sequences_per_row
    device, free, total = _device(machine)
    base = subject.base
    shape = memory.read_shape(models.location(base.version_id).base, num_parameters=base.num_parameters)
    longest = (totals.longest_row if totals else 0) or settings.max_length
    need = (
        memory.estimate(shape, settings, longest_row=longest, gpu=gpu, sequences=sequences) if shape else None
    )
    measured_bytes = (measured.gpu_memory_bytes or measured.memory_bytes) if measured else None
    wanted = measured_bytes or (need.total if need else None)
    fits = wanted <= memory.SPARE * free if wanted else None
    ways = []
    if shape and not fits:
        four_bits = hardware.four_bits_problem() is None
        rows = {"longest_row": longest, "sequences": sequences}
        ways = memory.ways_to_fit(shape, settings, free=free, gpu=gpu, four_bits=four_bits, **rows)
    return Memory(device, free, total, need, need.total if need else None, measured_bytes, fits, ways)


def _device(machine: Machine) -> tuple[str, int, int]:
    if machine.has_gpu:
        best = max(machine.gpus, key=lambda gpu: gpu.free)
        return best.name, best.free, best.total
    return "this machine", machine.free, machine.total


def _slowdown(new: NewJob) -> float:
    """Of this server. Where all places are taken, the job starts when those that hold them have ended."""
    if new.runner != turns.HERE:
        return 1.0
    with reading() as session:
        running = len(turns.held(session))
    return hardware.slowdown(besides=running if running >= config.settings().training_concurrency else 0)


def _seconds(
    plan: Plan, settings: Settings, totals: Totals | None, measured: Measured | None, *, share: float
) -> float | None:
    """From the measured pace; the shorter rows
    of most steps are counted by their tokens where those are known."""
    if measured is None:
        return None
    steps = plan.total_steps * measured.seconds_per_step
    if totals and totals.num_tokens and not settings.max_steps:
        steps = min(steps, totals.num_tokens * share * settings.n_epochs / measured.tokens_per_second)
    return START_SECONDS + measured.seconds_to_load + steps
