"""The cards of a job: what it measures now, how that changes, and the times, which are words of their own.

Pauses are no time at work: ``fine_tuning.Job.elapsed_seconds`` has the rule.
"""

from collections.abc import Callable, Sequence
from statistics import fmean, median

from core import fine_tuning
from core.clock import now
from core.ui import show
from core.ui.elements import fact_cards
from core.ui.elements.fact_cards import FactCard
from core.ui.fine_tuning.jobs.job_charts import Series

LONG_SECONDS = 600  # from here to an hour a card says minutes alone
LEFT_HELP = "From the pace of this run so far, validations and checkpoints included."
ELAPSED_HELP = "At work; pauses and waiting do not count."


def show_cards(job: fine_tuning.Job, series: Series) -> None:
    fact_cards.show("job_fact_cards", build_cards(job, series), label="This run in numbers")


def build_cards(job: fine_tuning.Job, series: Series) -> list[FactCard]:
    def values(name: str) -> list[float]:
        return [float(value) for _, value in series.get(name) or ()]

    losses, speeds, memory = values("train_loss"), values("tokens_per_second"), values("memory_bytes")
    is_active = job.status in fine_tuning.ACTIVE
    times = [FactCard("Elapsed" if is_active else "Took", _elapsed(job), _since(job), ELAPSED_HELP)]
    if is_active:
        times.append(FactCard("Time left", _left(job), f"{job.progress:.0%} done", LEFT_HELP))
    speed = show.number(None if job.tokens_per_second is None else round(job.tokens_per_second))
    return [
        *times,
        FactCard("Step", f"{job.step:,}", f"of {job.total_steps:,}" if job.total_steps else ""),
        FactCard("Epoch", f"{job.epoch:.1f}", _of_epochs(job)),
        _loss_card("Training loss", job.train_loss, losses),
        _valid_card(job, values("valid_loss")),
        FactCard(
            "Learning rate", _scientific(job.learning_rate), _peak(values("learning_rate"), _scientific)
        ),
        FactCard("Tokens/s", speed, f"median {median(speeds):,.0f}" if len(speeds) > 1 else ""),
        FactCard("Memory", show.bytes_(job.memory_bytes), _peak(memory, show.bytes_)),
    ]


def seconds_left(job: fine_tuning.Job) -> float | None:
    """Until it ends, from the pace of this run; what has gone by since the last step is taken off."""
    if job.status != "running" or job.eta_seconds is None:
        return None
    since = (now() - job.stepped_at).total_seconds() if job.stepped_at else 0.0
    return max(0.0, job.eta_seconds - max(0.0, since))


def duration(seconds: float | None) -> str:
    """As on a card: a long one without its seconds."""
    return show.duration(seconds, parts=1 if seconds and LONG_SECONDS <= seconds < 3600 else 2)


def change(values: Sequence[float]) -> float | None:
    """How the mean of the curve's last tenth differs
    from the mean of the tenth before: single steps are noise."""
    if len(values) < 2:
        return None
    tenth = max(1, len(values) // 10)
    return round(fmean(values[-tenth:]) - fmean(values[-2 * tenth : -tenth]), 4)


def _elapsed(job: fine_tuning.Job) -> str:
    return duration(job.elapsed_seconds)


def _since(job: fine_tuning.Job) -> str:
    """A moment of today without its date."""
    if not job.started_at:
        return ""
    moment, today = show.when(job.started_at), show.when(now())
    return f"since {moment.removeprefix(today[:10]).strip()}"


def _left(job: fine_tuning.Job) -> str:
    if job.status == "paused":
        return "paused"
    left = seconds_left(job)
    return "not known yet" if left is None else duration(left)


def _of_epochs(job: fine_tuning.Job) -> str:
    epochs = job.resolved.get("n_epochs") or job.asked.get("n_epochs")
    return f"of {epochs}" if isinstance(epochs, int) else ""


def _loss_card(label: str, loss: float | None, values: Sequence[float]) -> FactCard:
    step = change(values)
    if step is None or abs(step) < 0.0005:
        return FactCard(label, _fixed(loss))
    arrow, tone = ("↓", "good") if step < 0 else ("↑", "bad")
    return FactCard(
        label, _fixed(loss), f"{arrow} {abs(step):.3f}", "The last tenth beside the one before.", tone
    )


def _valid_card(job: fine_tuning.Job, values: Sequence[float]) -> FactCard:
    """Its note is the lowest one, once that is behind."""
    lowest, last = job.best_loss, job.valid_loss
    if lowest is None or last is None or lowest >= last:
        return _loss_card("Validation loss", last, values)
    step = f" at step {job.best_step:,}" if job.best_step else ""
    return FactCard("Validation loss", _fixed(last), f"best {lowest:.3f}", f"Lowest{step}: {lowest:.3f}")


def _peak(values: Sequence[float], write: Callable[[float], str]) -> str:
    return f"peak {write(max(values))}" if len(values) > 1 else ""


def _fixed(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _scientific(value: float | None) -> str:
    return "–" if value is None else f"{value:.1e}".replace("e-0", "e-")
