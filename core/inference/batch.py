"""Answers that are written together, one token each per step.

A new one joins, and a finished one leaves, between two steps. A prompt is read in pieces
(``PromptReading``), so that the answers that are being written wait for a piece of it only.

The key-value cache of all rows is one left-padded block: shapes [rows, heads, length, width] per layer and a
mask [rows, length] with 1 where a row has tokens. A new prompt is read by itself and then puts its cache
below the others; where a row leaves, the last one takes its place (``growing_cache``). Padding is masked out
and positions count a row's own tokens, so a row's answer does not depend on its neighbours.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from core.inference.text import Detokenizer, StopFilter

Forward = Callable[..., Any]
Reason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class Drawing:
    """How tokens are drawn; temperature 0 takes the likeliest."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    top_k: int = 0  # only from so many of the likeliest; 0: from all
    min_p: float = 0.0  # only those at least this likely, as a share of the likeliest
    repetition_penalty: float = 1.0  # above 1: what the row holds already is drawn less often


class Answer:
    """One row: what it has read, what it has written, and whether it is done.

    ``left_out``: messages of the conversation that its prompt has no room for.
    """

    def __init__(
        self,
        *,
        prompt: Sequence[int],
        most_tokens: int,
        end_tokens: set[int],
        drawing: Drawing,
        decode: Callable[[list[int]], str],
        stops: Sequence[str] = (),
        adapter: str | None = None,
        left_out: int = 0,
    ) -> None:
        import torch

        self.prompt = list(prompt)
        self.most_tokens = most_tokens
        self.end_tokens = end_tokens
        self.drawing = drawing
        self.adapter = adapter
        self.left_out = left_out
        self.written: list[int] = []
        self.reason: Reason | None = None
        seed = secrets.randbits(63) if drawing.seed is None else drawing.seed
        self.dice = torch.Generator().manual_seed(seed % 2**63)
        self._text = Detokenizer(decode)
        self._stops = StopFilter(stops)

    def take(self, token: int) -> str:
        """Add a token; returns the text that may be shown. Sets ``reason`` when this was the last one."""
        self.written.append(token)
        if token in self.end_tokens:
            return self._end("stop")
        text = self._stops.push(self._text.push(token))
        if self._stops.stopped:
            self.reason = "stop"
        elif len(self.written) >= self.most_tokens:
            return text + self._end("length")
        return text

    def cancel(self) -> str:
        return self._end("cancelled")

    def _end(self, reason: Reason) -> str:
        self.reason = reason
        return self._stops.push(self._text.finish()) + self._stops.finish()


class PromptReading:
    """A prompt that is being read: how much of it is, and the cache of that."""

    def __init__(self, answer: Answer) -> None:
        from core.inference.growing_cache import make_cache  # it imports torch, which takes seconds

        self.answer = answer
        self.tokens_read = 0
        self.cache = make_cache()

    @property
    def is_done(self) -> bool:
        return self.tokens_read == len(self.answer.prompt)


class Batch:
    """``forward(adapters, **inputs)`` runs the model; see the module for the shapes."""

    def __init__(self, forward: Forward, *, device: Any) -> None:
        self.rows: list[Answer] = []
        self._forward = forward
        self._device = device
        self._cache: Any = None
        self._mask: Any = None

    def join(self, answer: Answer) -> str:
        """Read the whole prompt and write the first token; returns its text.

        The answer stays unless it is done already.
        """
        return self.read(PromptReading(answer), len(answer.prompt))

    def read(self, reading: PromptReading, most: int) -> str:
        """Read at most so many more tokens of a prompt.

        With its last piece the answer joins, unless its first token ends it; returns that token's text.
        """
        import torch

        answer, begin = reading.answer, reading.tokens_read
        end = min(begin + most, len(answer.prompt))
        with torch.inference_mode():
            logits = self._forward(
                [answer.adapter],
                input_ids=torch.tensor([answer.prompt[begin:end]], device=self._device),
                past_key_values=reading.cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            reading.tokens_read = end
            if not reading.is_done:
                return ""
            text = answer.take(draw(logits, [answer])[0])
            if answer.reason is None:
                mask = torch.ones((1, end), dtype=torch.long, device=self._device)
                self._add(answer, reading.cache, mask)
        return text

    def step(self) -> list[tuple[Answer, str]]:
        """One more token for every row; rows that are done leave."""
        import torch

        with torch.inference_mode():
            last = torch.tensor([[row.written[-1]] for row in self.rows], device=self._device)
            positions = self._mask.sum(1, keepdim=True)
            self._mask = torch.cat([self._mask, torch.ones_like(last)], dim=1)
            logits = self._forward(
                [row.adapter for row in self.rows],
                input_ids=last,
                attention_mask=self._mask,
                position_ids=positions,
                past_key_values=self._cache,
                use_cache=True,
            ).logits[:, -1]
            pieces = [
                (row, row.take(token)) for row, token in zip(self.rows, draw(logits, self.rows), strict=True)
            ]
            self._let_go()
        return pieces

    def cancel(self, answer: Answer) -> str:
        import torch

        text = answer.cancel()
        with torch.inference_mode():
            self._let_go()
        return text

    def _add(self, answer: Answer, cache: Any, mask: Any) -> None:
        import torch
        from torch.nn.functional import pad

        from core.inference.growing_cache import join_caches

        self.rows.append(answer)
        self._cache = join_caches(self._cache, cache)
        if self._mask is None:
            self._mask = mask
            return
        width = max(self._mask.shape[1], mask.shape[1])
        self._mask = torch.cat([pad(each, (width - each.shape[1], 0)) for each in (self._mask, mask)])

    def _let_go(self) -> None:
        """Rows that are done leave, and with them the columns that only they filled."""
        gone = [place for place, row in enumerate(self.rows) if row.reason is not None]
        if not gone:
            return
        if len(gone) == len(self.rows):
            self.rows, self._cache, self._mask = [], None, None
            return
        for place in reversed(gone):
            self.rows[place], self._mask[place] = self.rows[-1], self._mask[-1]
            self.rows.pop()
            self._mask = self._mask[:-1]
        padding = int(self._mask.shape[1] - self._mask.sum(1).max())
        self._mask = self._mask[:, padding:]
        for layer in self._cache.layers:
            for place in reversed(gone):
                layer.leave(place)
            layer.trim(padding)


def draw(logits: Any, rows: Sequence[Answer]) -> list[int]:
    """The next token of each row. Logits are [rows, vocabulary]."""
    for place, row in enumerate(rows):
        if row.drawing.repetition_penalty != 1:
            logits[place] = _less_of_the_same(logits[place], row)
    likeliest = logits.argmax(-1).tolist()
    return [
        likeliest[place] if row.drawing.temperature == 0 else _draw_one(logits[place], row)
        for place, row in enumerate(rows)
    ]


def _less_of_the_same(logits: Any, row: Answer) -> Any:
    """The repetition penalty of CTRL (Keskar et al. 2019) over prompt and answer, as transformers has it."""
    import torch

    held = torch.tensor(sorted({*row.prompt, *row.written}), device=logits.device)
    values, penalty = logits[held], row.drawing.repetition_penalty
    return logits.index_put((held,), torch.where(values < 0, values * penalty, values / penalty))


def _draw_one(logits: Any, row: Answer) -> int:
    """Draw with the row's own dice from what top_k, min_p and top_p leave."""
    import torch

    drawing = row.drawing
    shares = torch.softmax(logits.float().cpu() / max(drawing.temperature, 1e-4), -1)
    if drawing.top_k or drawing.min_p or drawing.top_p < 1:
        ordered, tokens = shares.sort(descending=True)
        ordered[drawing.top_k or len(ordered) :] = 0
        ordered[ordered < drawing.min_p * ordered[0]] = 0
        ordered /= ordered.sum()
        # nucleus sampling (Holtzman et al. 2019): the fewest tokens whose shares reach top_p
        ordered[ordered.cumsum(-1) - ordered >= drawing.top_p] = 0
        return int(tokens[torch.multinomial(ordered, 1, generator=row.dice)])
    return int(torch.multinomial(shares, 1, generator=row.dice))
