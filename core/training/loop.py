"""The one training loop: step, guard, report, checkpoint, stop on a wish.

Bitwise resume rests on three things: the checkpoint holds weights, optimizer, random generators and step; the rows of a step and
its learning rate are functions of the step; nothing else is random. Padding is on the right under a causal mask, so no attention
mask is needed. A batch too large for one pass is split; its loss stays the mean over the batch's learned tokens.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.training import checkpoints, schedule
from core.training.batches import Order, split_to_fit
from core.training.examples import Tokens
from core.training.hyperparameters import Settings
from core.training.method import Interrupted, Report, Step, TrainingFailed, Wish
from core.training.pretrained import trainable

MAX_LOGITS = 64 * 2**20  # logits of one pass: tokens times vocabulary, 256 MiB in float32
BAD_STEPS_ALLOWED = 3  # steps in a row without a finite loss before giving up
SAVING_SHARE = 20  # a checkpoint may take a twentieth of the time, no more


@dataclass
class State:
    """Where a training stands; all of it goes into the checkpoint."""

    step: int = 0
    tokens: int = 0
    bad_steps: int = 0
    train_loss: float = math.nan
    valid_loss: float | None = None
    best_loss: float = math.inf
    best_step: int | None = None


@dataclass
class Loop:
    """One training, from the first step or from the last checkpoint."""

    model: Any
    train: Sequence[Tokens]
    validation: Sequence[Tokens]
    settings: Settings
    seed: int
    folder: Path
    report: Report
    checkpoint_seconds: float = 10.0
    state: State = field(default_factory=State)

    def __post_init__(self) -> None:
        import torch

        self.order = Order([len(s) for s in self.train], batch_size=self.settings.batch_size, seed=self.seed)
        self.total = self.settings.n_epochs * self.order.steps_per_epoch
        self.weights = trainable(self.model)
        self.optimizer = torch.optim.AdamW(
            self.weights.values(), lr=self.settings.learning_rate, betas=(0.9, 0.99), weight_decay=self.settings.weight_decay
        )
        self.device = next(self.model.parameters()).device
        self.max_tokens = max(1, MAX_LOGITS // self.model.config.get_text_config().vocab_size)
        self.saved_at, self.saving_seconds = time.monotonic(), 0.0

    def run(self) -> State:
        """Train to the last step. Raises Interrupted on a wish, TrainingFailed when the loss is lost, DiskFull."""
        self._resume()
        self.report.planned(self.settings, total_steps=self.total, start_step=self.state.step)
        self.started, self.start_step = time.monotonic(), self.state.step
        while self.state.step < self.total:
            self._obey()
            self._take_step()
            self._validate_if_due()
            self._save_if_due()
        self._obey()
        return self.state

    def save(self) -> None:
        """Write a checkpoint of this step, unless there is one."""
        if self.state.step in checkpoints.steps(self.folder):
            return
        self.report.settle()
        began = time.monotonic()
        size = checkpoints.save(self.folder, self._snapshot())
        kept = checkpoints.prune(self.folder, best=self.state.best_step)
        self.saved_at, self.saving_seconds = time.monotonic(), time.monotonic() - began
        metrics = {"train_loss": self.state.train_loss, "valid_loss": self.state.valid_loss}
        known = {name: value for name, value in metrics.items() if value is not None and math.isfinite(value)}
        self.report.checkpointed(self.state.step, size_bytes=size, metrics=known, kept=kept)

    def _obey(self) -> None:
        wish = self.report.wish()
        if wish is None:
            return
        if wish is not Wish.CANCEL and self.state.step:
            self.save()
        raise Interrupted(wish, self.state.step)

    def _take_step(self) -> None:
        import torch

        rate = schedule.learning_rate(
            self.state.step, total=self.total, peak=self.settings.learning_rate, warmup_share=self.settings.warmup_share
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        rows = self.order.rows(self.state.step)
        loss = self._backward(rows)
        norm = float(torch.nn.utils.clip_grad_norm_(self.weights.values(), 1.0))
        if self._is_sound(loss, norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.state.step += 1
        self.state.tokens += sum(len(self.train[row]) for row in rows)
        if math.isfinite(loss) and math.isfinite(norm):
            self.state.train_loss = loss
            self._tell(rate, norm)

    def _backward(self, rows: Sequence[int]) -> float:
        """Gradients of the mean loss of one batch; returns that loss."""
        learned = sum(int(self.train[row].learned.sum()) for row in rows)
        total = 0.0
        for part in split_to_fit(rows, self.order.lengths, max_tokens=self.max_tokens):
            loss = self._summed_loss([self.train[row] for row in part]) / learned
            loss.backward()
            total += float(loss.detach())
        return total

    def _summed_loss(self, sequences: Sequence[Tokens]) -> Any:
        """Cross entropy summed over the learned tokens. Logits are computed only from the first place where one counts."""
        import torch
        from torch.nn import functional

        ids, labels, first = _pad(sequences)
        places = torch.arange(first - 1, ids.shape[1] - 1, device=self.device)
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = self.model(input_ids=ids.to(self.device), use_cache=False, logits_to_keep=places).logits
        targets = labels[:, first:].to(self.device)
        return functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum")

    def _is_sound(self, loss: float, norm: float) -> bool:
        """A step without finite numbers changes nothing; several in a row end the training."""
        if math.isfinite(loss) and math.isfinite(norm):
            self.state.bad_steps = 0
            return True
        self.state.bad_steps += 1
        if self.state.bad_steps == 1:
            self.report.event(f"Step {self.state.step + 1} gave no finite loss and was skipped.", level="warn")
        if self.state.bad_steps >= BAD_STEPS_ALLOWED:
            raise TrainingFailed(
                f"The loss is no longer a number since step {self.state.step + 2 - self.state.bad_steps}: the training diverged. "
                "Start again with a smaller learning rate multiplier.",
                code="diverged",
            )
        return False

    def _tell(self, rate: float, norm: float) -> None:
        state = self.state
        elapsed = time.monotonic() - self.started
        eta = schedule.eta_seconds(state.step, total=self.total, start=self.start_step, elapsed=elapsed)
        epoch = state.step / self.order.steps_per_epoch
        self.report.step(Step(state.step, epoch, state.train_loss, rate, norm, state.tokens, eta))

    def _validate_if_due(self) -> None:
        due = schedule.validates_at(self.state.step, total=self.total, steps_per_epoch=self.order.steps_per_epoch)
        if not self.validation or not due:
            return
        loss = self._validation_loss()
        self.state.valid_loss = loss
        self.report.validated(self.state.step, loss)
        if loss < self.state.best_loss:
            self.state.best_loss, self.state.best_step = loss, self.state.step
            if self._saving_is_cheap():
                self.save()

    def _validation_loss(self) -> float:
        import torch

        self.model.eval()
        learned = sum(int(s.learned.sum()) for s in self.validation)
        rows = sorted(range(len(self.validation)), key=lambda row: len(self.validation[row]))
        total = 0.0
        with torch.no_grad():
            for part in split_to_fit(rows, [len(s) for s in self.validation], max_tokens=self.max_tokens):
                total += float(self._summed_loss([self.validation[row] for row in part]))
        self.model.train()
        return total / learned

    def _save_if_due(self) -> None:
        overdue = time.monotonic() - self.saved_at >= self.checkpoint_seconds
        if self.state.step == self.total or (overdue and self._saving_is_cheap()):
            self.save()

    def _saving_is_cheap(self) -> bool:
        return time.monotonic() - self.saved_at >= SAVING_SHARE * self.saving_seconds

    def _snapshot(self) -> dict[str, Any]:
        import torch

        return {
            **vars(self.state),
            "weights": {name: p.detach() for name, p in self.weights.items()},
            "optimizer": self.optimizer.state_dict(),
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def _resume(self) -> None:
        import torch

        saved = checkpoints.load_latest(self.folder)
        if saved is None:
            return
        self.state = State(**{name: saved[name] for name in vars(State())})
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(saved["weights"][name])
        self.optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["rng"])
        if saved["cuda_rng"] and torch.cuda.device_count() == len(saved["cuda_rng"]):
            torch.cuda.set_rng_state_all(saved["cuda_rng"])
        self.report.event(f"Resumed from the checkpoint of step {self.state.step}.", data={"step": self.state.step})


def _pad(sequences: Sequence[Tokens]) -> tuple[Any, Any, int]:
    """(ids, labels, first place where a label counts); padding is 0 and never seen: it stands right of everything."""
    import torch

    length = max(len(s) for s in sequences)
    ids = torch.zeros((len(sequences), length), dtype=torch.long)
    labels = torch.full((len(sequences), length), -100)
    for row, sequence in enumerate(sequences):
        tokens = torch.from_numpy(sequence.ids)
        ids[row, : len(tokens)] = tokens
        labels[row, : len(tokens)] = torch.where(torch.from_numpy(sequence.learned), tokens, -100)
    first = min(int(s.learned.argmax()) for s in sequences)
    return ids, labels, first
