"""Answers of a model that keeps no keys and values: at each token it reads everything anew.

Mamba and its kin carry a state of their own instead of a cache, and what a batch keeps would mean nothing to
them: they would answer each token as if it were the first. Slower the longer an answer is, and right.
"""

from typing import Any

from core.inference.batch import Answer, Batch, PromptReading, draw


class RereadingBatch(Batch):
    """As ``Batch``, without a cache. Rows are read one by one: together they would have to be padded."""

    def read(self, reading: PromptReading, most: int) -> str:
        """A prompt is read when it has been waited for as long as for others: then at once."""
        answer = reading.answer
        reading.tokens_read = min(reading.tokens_read + most, len(answer.prompt))
        if not reading.is_done:
            return ""
        text = answer.take(draw(self._logits(answer), [answer])[0])
        if answer.reason is None:
            self.rows.append(answer)
        return text

    def step(self) -> list[tuple[Answer, str]]:
        pieces = [(row, row.take(draw(self._logits(row), [row])[0])) for row in self.rows]
        self._let_go()
        return pieces

    def _let_go(self) -> None:
        self.rows = [row for row in self.rows if row.reason is None]

    def _logits(self, answer: Answer) -> Any:
        """[1, vocabulary] of the next token."""
        import torch

        with torch.inference_mode():
            ids = torch.tensor([[*answer.prompt, *answer.written]], device=self._device)
            return self._forward([answer.adapter], input_ids=ids, use_cache=False).logits[:, -1]
