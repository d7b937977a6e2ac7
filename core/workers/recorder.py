"""What a training tells while it runs, on its way from the worker to the database and to the job's log.

One thread writes every half second, whatever the pace of the steps: heartbeat, points, events, samples and
checkpoints in one transaction guarded by the lease. The same thread learns whether the job was paused,
cancelled or taken away, and ``wish`` passes that on to the loop. A database that is busy or away costs
nothing: what was not written is written with the next beat. Beside the job lie files for programs: the losses
by row and TensorBoard's events.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core import alerts, hardware, jobs, storage
from core.clock import now
from core.db import writing
from core.jobs import notes, row_files
from core.processes.rounds import Rounds
from core.training.hyperparameters import Settings
from core.training.method import AnswerSample, RowLosses, Step, Wish
from core.workers.event_files import EventFile

BEAT_SECONDS = 0.5
LOG_SECONDS = 2.0  # the log gets a line about the loss at most this often
_log = logging.getLogger(__name__)


class Recorder:
    """The :class:`~core.training.method.Report` of one worker.

    A context manager: the thread lives inside it.
    """

    def __init__(
        self, job_id: str, *, token: str, log: logging.Logger, user_id: str, spent_before: float = 0.0
    ) -> None:
        self.user_id = user_id
        self.job_id, self._token, self._job_log = job_id, token, log
        self.first_tokens: int | None = None
        self.tokens = 0
        self.spent_before = spent_before  # seconds of earlier attempts
        self._began = time.monotonic()
        self._wish: Wish | None = None  # what the last beat learned from the job's state
        self._is_to_stop = False
        self._facts: dict[str, Any] = {}
        self._points: list[tuple[str, int, float]] = []
        self._writes: list[Callable[[Session], None]] = []
        self._total_steps = 0
        self._pace: tuple[float, int] | None = None  # (when, tokens) of the last beat
        self._logged_at = 0.0
        self._extra: dict[str, Any] = {}
        self._buffers, self._beating, self._end = threading.Lock(), threading.Lock(), threading.Event()
        self._meter = hardware.Meter()
        self._events = EventFile(storage.job_dir(job_id) / "tensorboard")
        self._rounds = Rounds(_log, "The heartbeat could not be written")
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def __enter__(self) -> "Recorder":
        self._set(hardware=hardware.describe())
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._end.set()
        self._thread.join()
        self._events.close()

    @property
    def spent_seconds(self) -> float:
        """How long the job has been worked on, earlier attempts included."""
        return self.spent_before + time.monotonic() - self._began

    def ask_to_stop(self) -> None:
        """The process was told to end (SIGTERM). Safe in a signal handler: it only sets a value."""
        self._is_to_stop = True

    def wish(self) -> Wish | None:
        """A pause that was taken back before the training asked is no wish any more;
        a server that stops stays one."""
        return self._wish or (Wish.STOP if self._is_to_stop else None)

    def event(self, message: str, *, level: str = "info", data: Mapping[str, Any] | None = None) -> None:
        self._job_log.log({"warn": logging.WARNING, "error": logging.ERROR}.get(level, logging.INFO), message)
        at = now()
        self._later(
            lambda session: notes.add_event(session, self.job_id, message, level=level, data=data, at=at)
        )

    def planned(self, settings: Settings, *, total_steps: int, start_step: int) -> None:
        self._total_steps = total_steps
        self._events.open(start_step=start_step)
        self._set(total_steps=total_steps, step=start_step, resolved=asdict(settings) | self._extra)

    def also_resolved(self, **values: Any) -> None:
        """Facts about this run that belong beside its settings, so that a resumed one runs alike."""
        self._extra |= values

    def step(self, facts: Step) -> None:
        if self.first_tokens is None:
            self.first_tokens = self.tokens = facts.tokens
            self._pace = (time.monotonic(), facts.tokens)
        self.tokens = facts.tokens
        named = {name: float(getattr(facts, name)) for name in ("train_loss", "learning_rate", "grad_norm")}
        self._note_points(facts.step, {**named, **facts.extra})
        with self._buffers:
            self._facts |= {
                "step": facts.step,
                "epoch": facts.epoch,
                "train_loss": facts.train_loss,
                "learning_rate": facts.learning_rate,
                "eta_seconds": facts.eta_seconds,
                "trained_tokens": facts.tokens,
                "stepped_at": now(),
            }
        if time.monotonic() - self._logged_at >= LOG_SECONDS or facts.step == self._total_steps:
            self._logged_at = time.monotonic()
            self._job_log.info("step %s of %s: loss %.4f", facts.step, self._total_steps, facts.train_loss)

    def alert(self, kind: str, message: str) -> None:
        self._later(
            lambda session: alerts.note(
                session, user_id=self.user_id, job_id=self.job_id, kind=kind, message=message
            )
        )

    def validated(self, step: int, loss: float, extra: Mapping[str, float]) -> None:
        self._job_log.info("step %s: validation loss %.4f", step, loss)
        self._set(stepped_at=now())  # measuring is getting on, too
        self._note_points(step, {"valid_loss": loss, **extra})
        if math.isfinite(loss):
            self._set(valid_loss=loss)
            self._later(lambda session: notes.note_best(session, self.job_id, step=step, loss=loss))

    def sampled(self, step: int, samples: Sequence[AnswerSample]) -> None:
        samples = list(samples)
        self._set(stepped_at=now())
        self._job_log.info("step %s: %s answers sampled", step, len(samples))
        self._later(lambda session: notes.note_samples(session, self.job_id, step, samples))
        for position, sample in enumerate(samples):
            if sample.kind == "fixed":
                self._events.text(f"samples/{position}", step, f"**{sample.prompt}**\n\n{sample.answer}")

    def rows(self, losses: RowLosses) -> None:
        row_files.write(self.job_id, losses)

    def settle(self) -> None:
        try:
            self.flush()
        except SQLAlchemyError as error:
            # busy or away for a while; what was not written waits for the next beat
            self._rounds.failed(error)

    def checkpointed(
        self, step: int, *, size_bytes: int, metrics: Mapping[str, float], kept: Iterable[int]
    ) -> None:
        kept = list(kept)
        self._set(stepped_at=now())
        metrics = {**metrics, "trained_tokens": self.tokens, "seconds": round(self.spent_seconds, 1)}
        self._job_log.info("step %s: checkpoint saved", step)
        self._later(
            lambda session: notes.note_checkpoint(
                session, self.job_id, step, size_bytes=size_bytes, metrics=metrics, kept=kept
            )
        )

    def flush(self) -> None:
        """Write everything that waits. Raises jobs.Lost when the job is no longer ours."""
        with self._beating:
            self._beat()

    def _note_points(self, step: int, values: Mapping[str, float]) -> None:
        """NaN and infinity are told by alert; a series holds numbers."""
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        with self._buffers:
            self._points += [(name, step, value) for name, value in finite.items()]
        for name, value in finite.items():
            self._events.add(name, step, value)

    def _later(self, write: Callable[[Session], None]) -> None:
        with self._buffers:
            self._writes.append(write)

    def _set(self, **facts: Any) -> None:
        with self._buffers:
            self._facts |= facts

    def _beat_on(self) -> None:
        while not self._end.wait(BEAT_SECONDS):
            try:
                self.settle()
            except jobs.Lost:
                self._wish = Wish.CANCEL
                return

    def _beat(self) -> None:
        with self._buffers:
            self._measure_pace()
            self._facts["spent_seconds"] = self.spent_seconds
            facts, points, writes = dict(self._facts), list(self._points), list(self._writes)
        progress = facts["step"] / self._total_steps if self._total_steps and "step" in facts else None
        with writing() as session:
            status = jobs.heartbeat(session, self.job_id, token=self._token, progress=progress, **facts)
            notes.add_points(session, self.job_id, points)
            for write in writes:
                write(session)
        with self._buffers:  # only what was written is forgotten
            del self._points[: len(points)], self._writes[: len(writes)]
        self._wish = Wish.PAUSE if status == "paused" else None

    def _measure_pace(self) -> None:
        """Tokens per second and load since the last beat, as facts and as points."""
        load = self._meter.look()
        measured: dict[str, float | None] = {
            "memory_bytes": load.memory_bytes,
            "gpu_memory_bytes": load.gpu_memory_bytes,
            "gpu_utilisation": load.gpu,
        }
        self._facts |= measured
        moment, step = time.monotonic(), self._facts.get("step", 0)
        if self._pace is None or self.tokens <= self._pace[1]:
            return
        pace = (self.tokens - self._pace[1]) / (moment - self._pace[0])
        self._facts["tokens_per_second"] = pace
        self._pace = (moment, self.tokens)
        measured |= {
            "tokens_per_second": pace,
            "cpu_utilisation": load.cpu,
            "trained_tokens": self.tokens,
            # with the tokens: what else than steps a curve can be drawn over
            "elapsed_seconds": self.spent_seconds,
        }
        for name, value in measured.items():
            if value is not None:
                self._points.append((name, step, float(value)))
                self._events.add(name, step, float(value))
