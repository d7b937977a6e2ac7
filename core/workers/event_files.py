"""TensorBoard event files of a training, under ``jobs/<id>/tensorboard``: one file per attempt.

An attempt that goes on from step N begins its file with the note that everything after N in earlier files is
void (``purge_step``), so that a reader shows no step twice.
"""

from pathlib import Path

from core.clock import now

FLUSH_SECONDS = 5
TAGS = {"train_loss": "loss/train", "valid_loss": "loss/validation"}


class EventFile:
    """Opened once the first step is known; a context that was never opened closes without a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: object | None = None

    def open(self, *, start_step: int) -> None:
        """``start_step`` steps were done by earlier attempts. tensorboardX imports torch,
        so it is imported in workers only."""
        from tensorboardX import SummaryWriter

        self.close()
        suffix = f".{now():%Y%m%d%H%M%S%f}"  # two attempts may begin within the second that names the file
        purge = start_step + 1 if start_step else None
        self._writer = SummaryWriter(
            str(self.folder), purge_step=purge, flush_secs=FLUSH_SECONDS, filename_suffix=suffix
        )

    def add(self, name: str, step: int, value: float) -> None:
        if self._writer is not None:
            self._writer.add_scalar(TAGS.get(name, name), value, step)  # type: ignore[attr-defined]

    def text(self, name: str, step: int, text: str) -> None:
        if self._writer is not None:
            self._writer.add_text(name, text, step)  # type: ignore[attr-defined]

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()  # type: ignore[attr-defined]
            self._writer = None
