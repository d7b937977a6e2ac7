"""The one training loop of all methods: step, guard, report, measure, checkpoint, stop on a wish.

Bitwise resume rests on three things: the checkpoint holds weights, optimizer and step; the rows of a step,
its learning rate and its randomness are functions of the step; nothing else is random. A batch too large for
one pass is split, and several processes share it: the loss stays the mean over what the whole step learns.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.training import checkpoints, schedule
from core.training.batches import BatchOrder, pack, split_to_fit
from core.training.distributed import ALONE, World
from core.training.hyperparameters import Settings
from core.training.method import Interrupted, Report, RowLosses, Step, TrainingFailed, Wish
from core.training.objective import Losses, Objective
from core.training.pretrained import trainable
from core.training.row_losses import RowLog
from core.training.samples import Sampler

# logits of one pass: tokens times vocabulary, 4 bytes each
MAX_LOGITS = {"cpu": 64 * 2**20, "cuda": 512 * 2**20}
BAD_STEPS_ALLOWED = 3  # steps in a row without a finite loss before giving up
SAVING_SHARE = 20  # a checkpoint may take a twentieth of the time, no more; so may the samples
# the running loss is so many times its lowest, by at least so much, after so many steps
DIVERGED = (2.0, 1.0, 20)
WISHES = (None, *Wish)


@dataclass
class LoopState:
    """Where a training stands; all of it goes into the checkpoint."""

    step: int = 0
    tokens: int = 0
    bad_steps: int = 0
    train_loss: float = math.nan
    running_loss: float = math.nan
    lowest_running_loss: float = math.inf
    has_diverged: bool = False
    valid_loss: float | None = None
    best_loss: float = math.inf
    best_step: int | None = None
    evaluations_without_gain: int = 0
    is_over: bool = False  # stopped early


@dataclass(kw_only=True)
class Loop:
    """One training, from the first step or from the last checkpoint.

    ``train`` and ``validation`` are Tokens or Pairs.
    """

    model: Any
    objective: Objective
    train: Sequence[Any]
    validation: Sequence[Any]
    settings: Settings
    seed: int
    folder: Path
    report: Report
    write_model: Callable[[Path], None]
    sampler: Sampler | None = None
    world: World = ALONE
    pinned: Callable[[], set[int]] = set
    checkpoint_seconds: float = 10.0
    state: LoopState = field(default_factory=LoopState)

    def __post_init__(self) -> None:
        import torch

        self.units = (
            pack([len(row) for row in self.train], max_length=self.settings.max_length)
            if self.settings.packing
            else [[row] for row in range(len(self.train))]
        )
        self.lengths = [sum(len(self.train[row]) for row in unit) for unit in self.units]
        self.order = BatchOrder(
            self.lengths, batch_size=self.settings.rows_per_step(self.world.size), seed=self.seed
        )
        self.total = self.settings.total_steps(len(self.units), num_processes=self.world.size)
        self.settings = self._settle()
        self.weights = trainable(self.model)
        self.optimizer = torch.optim.AdamW(
            self.weights.values(),
            lr=self.settings.learning_rate,
            betas=(self.settings.adam_beta1, self.settings.adam_beta2),
            eps=self.settings.adam_epsilon,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )
        self.device = next(self.model.parameters()).device
        self.max_tokens = max(
            1, MAX_LOGITS[self.device.type] // self.model.config.get_text_config().vocab_size
        )
        self.row_losses = {"train": RowLog(self.train), "validation": RowLog(self.validation)}
        # when the first step of this attempt, which warms up, was over
        self.pace_since: tuple[float, int] | None = None
        self.saved_at, self.saving_seconds = time.monotonic(), 0.0
        self.sampled_at, self.sampling_seconds = -math.inf, 0.0

    def run(self) -> LoopState:
        """Train to the last step.

        Raises Interrupted on a wish, TrainingFailed when the loss is lost, DiskFull.
        """
        every = [[row] for row in [*self.train, *self.validation]]
        self.objective.prepare(self.model, every, self.folder / "reference.npy", self.measuring)
        self._resume()
        self.report.planned(self.settings, total_steps=self.total, start_step=self.state.step)
        while self.state.step < self.total and not self.state.is_over:
            self._stop_if_asked()
            self.take_step()
            self._measure_if_due()
            self._save_if_due()
        self._stop_if_asked()
        return self.state

    def save(self) -> None:
        """Write a checkpoint of this step, unless there is one. Only the first process does."""
        if not self.world.is_first or self.state.step in checkpoints.steps(self.folder):
            return
        self.report.settle()
        began = time.monotonic()
        size = checkpoints.save(self.folder, self._snapshot(), self.write_model)
        kept = checkpoints.prune(self.folder, best=self.state.best_step, pinned=self.pinned())
        self.saved_at, self.saving_seconds = time.monotonic(), time.monotonic() - began
        metrics = {"train_loss": self.state.train_loss, "valid_loss": self.state.valid_loss}
        known = {name: value for name, value in metrics.items() if value is not None and math.isfinite(value)}
        self.report.checkpointed(self.state.step, size_bytes=size, metrics=known, kept=kept)

    def take_step(self) -> None:
        """One update of the weights."""
        import torch

        rate = self._learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(hash((self.seed, self.state.step, self.world.rank)) % 2**63)
        units = self.order.rows(self.state.step)
        loss, extra = self.backward(units)
        norm = float(
            torch.nn.utils.clip_grad_norm_(self.weights.values(), self.settings.max_grad_norm or math.inf)
        )
        if self._is_sound(loss, norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.state.step += 1
        self.state.tokens += sum(self.lengths[unit] for unit in units)
        if math.isfinite(loss) and math.isfinite(norm):
            self._watch(loss)
            self._tell(rate, norm, extra)

    def backward(self, units: Sequence[int]) -> tuple[float, dict[str, float]]:
        """Gradients of the mean loss of one step; returns that loss
        and the method's further series, over all processes."""
        import torch

        weight = self.objective.weight([self.train[row] for unit in units for row in self.units[unit]])
        mine = units[self.world.rank :: self.world.size]
        totals = {name: torch.zeros((), device=self.device) for name in ("", *self.objective.sum_names)}
        for part in self._passes(mine, self.lengths) if mine else []:
            with self._precision():
                losses = self.objective.losses(
                    self.model, [[self.train[row] for row in self.units[unit]] for unit in part]
                )
            (losses.total / weight).backward()
            _add(totals, losses)
            self.row_losses["train"].note(
                [row for unit in part for row in self.units[unit]], losses.rows, self.state.step
            )
        self.world.add_gradients(self.weights.values())
        return self._means(totals, weight)

    def validate(self) -> tuple[float, dict[str, float]]:
        """(mean loss of the validation rows, further series), and the loss of each row noted."""
        import torch

        order = sorted(range(len(self.validation)), key=lambda row: len(self.validation[row]))
        lengths = [len(row) for row in self.validation]
        totals = {name: torch.zeros((), device=self.device) for name in ("", *self.objective.measured_names)}
        with self.measuring():
            for part in self._passes(order[self.world.rank :: self.world.size], lengths):
                losses = self.objective.losses(
                    self.model, [[self.validation[row]] for row in part], measuring=True
                )
                _add(totals, losses)
                self.row_losses["validation"].note(part, losses.rows, self.state.step)
        return self._means(totals, self.objective.weight(self.validation))

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """The model in evaluation mode, without gradients, in the precision of the training."""
        import torch

        self.model.eval()
        try:
            with torch.no_grad(), self._precision():
                yield
        finally:
            self.model.train()

    def _stop_if_asked(self) -> None:
        wish = WISHES[self.world.decide(WISHES.index(self.report.wish()))]
        if wish is None:
            return
        if wish is not Wish.CANCEL and self.state.step:
            self.save()
        raise Interrupted(wish, self.state.step)

    def _measure_if_due(self) -> None:
        step, settings = self.state.step, self.settings
        if schedule.is_due(step, every=settings.evaluate_every, total=self.total):
            if self.validation:
                self._judge(*self.validate())
            self._tell_rows()
        if schedule.is_due(step, every=settings.samples_every, total=self.total) or (
            self.state.is_over and settings.samples_every
        ):
            self._sample()

    def _judge(self, loss: float, extra: dict[str, float]) -> None:
        """Is it the best so far; is it time to stop?"""
        state, patience = self.state, self.settings.early_stopping
        state.valid_loss = loss
        self.report.validated(state.step, loss, {f"valid_{name}": value for name, value in extra.items()})
        if loss < state.best_loss:
            state.best_loss, state.best_step, state.evaluations_without_gain = loss, state.step, 0
            if self.settings.keep == "best" or self._saving_is_cheap():
                self.save()
            return
        state.evaluations_without_gain += 1
        if patience and state.evaluations_without_gain >= patience and state.step < self.total:
            state.is_over = True
            self.report.event(
                (
                    f"Stopped early: {patience} evaluations in a row found no lower validation loss than "
                    f"{state.best_loss:.4f} at step {state.best_step}."
                ),
                data={"step": state.step, "best_step": state.best_step},
            )

    def _tell_rows(self) -> None:
        for split, log in self.row_losses.items():
            if len(log):
                log.gather(self.world)
                losses = RowLosses(split, *log.arrays(), step=self.state.step)  # type: ignore[arg-type]
                self.report.rows(losses)

    def _sample(self) -> None:
        """Only the first process; where nobody asked for a number
        of steps, not more often than it takes time."""
        too_soon = time.monotonic() - self.sampled_at < SAVING_SHARE * self.sampling_seconds
        is_end = self.state.step == self.total or self.state.is_over
        if (
            self.sampler is None
            or not self.world.is_first
            or (self._samples_are_automatic and too_soon and not is_end)
        ):
            return
        began = time.monotonic()
        rows, log = (
            (self.validation, self.row_losses["validation"])
            if self.validation
            else (self.train, self.row_losses["train"])
        )
        with self.measuring():
            self.report.sampled(self.state.step, self.sampler.take(self.model, rows, log.losses))
        self.sampled_at, self.sampling_seconds = time.monotonic(), time.monotonic() - began

    def _save_if_due(self) -> None:
        overdue = time.monotonic() - self.saved_at >= self.checkpoint_seconds
        if self.state.step == self.total or self.state.is_over or (overdue and self._saving_is_cheap()):
            self.save()

    def _saving_is_cheap(self) -> bool:
        return time.monotonic() - self.saved_at >= SAVING_SHARE * self.saving_seconds

    def _is_sound(self, loss: float, norm: float) -> bool:
        """A step without finite numbers changes nothing; several in a row end the training."""
        if math.isfinite(loss) and math.isfinite(norm):
            self.state.bad_steps = 0
            return True
        self.state.bad_steps += 1
        if self.state.bad_steps == 1:
            message = f"Step {self.state.step + 1} gave no finite loss and was skipped."
            self.report.event(message, level="warn")
            self.report.alert("nan", message)
        if self.state.bad_steps >= BAD_STEPS_ALLOWED:
            raise TrainingFailed(
                (
                    f"The loss is no longer a number since step "
                    f"{self.state.step + 2 - self.state.bad_steps}: the training diverged. "
                    f"Start again with a smaller learning rate multiplier."
                ),
                code="diverged",
            )
        return False

    def _watch(self, loss: float) -> None:
        """A running loss far above its lowest is worth an alert,
        once; the training goes on, for it may come back."""
        state, (times, gap, first) = self.state, DIVERGED
        state.train_loss = loss
        state.running_loss = loss if math.isnan(state.running_loss) else 0.9 * state.running_loss + 0.1 * loss
        state.lowest_running_loss = min(state.lowest_running_loss, state.running_loss)
        lowest = state.lowest_running_loss
        if (
            not state.has_diverged
            and state.step > first
            and state.running_loss > max(times * lowest, lowest + gap)
        ):
            state.has_diverged = True
            message = (
                f"The loss rose from {lowest:.3f} to {state.running_loss:.3f} by step {state.step}: "
                f"the training may be diverging."
            )
            self.report.event(message, level="warn", data={"step": state.step})
            self.report.alert("diverged", message)

    def _tell(self, rate: float, norm: float, extra: dict[str, float]) -> None:
        state = self.state
        since, start = self.pace_since = self.pace_since or (time.monotonic(), state.step)
        eta = schedule.eta_seconds(
            state.step, total=self.total, start=start, elapsed=time.monotonic() - since
        )
        epoch = state.step / self.order.steps_per_epoch
        self.report.step(Step(state.step, epoch, state.train_loss, rate, norm, state.tokens, eta, extra))

    def _settle(self) -> Settings:
        """The intervals, now that the number of steps is known."""
        chosen = self.settings
        self._samples_are_automatic = chosen.samples_every is None
        every = chosen.evaluate_every or schedule.evaluation_interval(
            total=self.total, steps_per_epoch=self.order.steps_per_epoch
        )
        samples = chosen.samples_every
        if samples is None:
            samples = schedule.sample_interval(total=self.total, evaluate_every=every)
        return replace(chosen, evaluate_every=every, samples_every=samples)

    def _learning_rate(self) -> float:
        chosen = self.settings
        return schedule.learning_rate(
            self.state.step,
            total=self.total,
            peak=chosen.learning_rate,
            warmup_share=chosen.warmup_share,
            shape=chosen.schedule,
        )

    def _passes(self, rows: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
        """Pieces of a batch that fit into memory."""
        if not rows:
            return []
        return split_to_fit(rows, lengths, max_tokens=self.max_tokens, max_rows=self.settings.batch_size)

    def _precision(self) -> Any:
        import torch

        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16")

    def _means(self, totals: dict[str, Any], weight: float) -> tuple[float, dict[str, float]]:
        """(loss, further series) over all processes."""
        import torch

        values = (self.world.add(torch.stack(list(totals.values()))) / weight).tolist()
        means = dict(zip(totals, values, strict=True))
        return means.pop(""), means

    def _snapshot(self) -> dict[str, Any]:
        return {
            **vars(self.state),
            "weights": {name: p.detach() for name, p in self.weights.items()},
            "optimizer": self.optimizer.state_dict(),
            "row_losses": {name: log.state() for name, log in self.row_losses.items()},
        }

    def _resume(self) -> None:
        import torch

        saved = checkpoints.load_latest(self.folder)
        if saved is None:
            return
        self.state = LoopState(**{name: saved[name] for name in vars(LoopState()) if name in saved})
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(saved["weights"][name])
        self.optimizer.load_state_dict(saved["optimizer"])
        for name, state in saved.get("row_losses", {}).items():
            self.row_losses[name].restore(state)
        self.report.event(
            f"Resumed from the checkpoint of step {self.state.step}.", data={"step": self.state.step}
        )


def _add(totals: dict[str, Any], found: Losses) -> None:
    for name, value in {"": found.total, **found.sums}.items():
        totals[name] = totals[name] + value.detach()
