"""What the model answers while it trains: to prompts
that are asked every time, and to the rows it does worst on."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.chat_templates import end_tokens, template_of
from core.training.examples import Pair, Tokens
from core.training.method import AnswerSample

FIXED, WORST = 3, 3
MAX_NEW_TOKENS = 64
LONGEST_PROMPT = 768  # tokens; of a longer one the end is kept


Question = tuple[list[int], str | None, int | None]  # token ids, the expected answer, the line of the row


class Sampler:
    """The prompts of one training.

    ``rows`` are tokenized rows, validation rows first where there are some.
    """

    def __init__(self, tokenizer: Any, prompts: Sequence[str], rows: Sequence[Any], *, as_chat: bool) -> None:
        self._tokenizer = tokenizer
        self._fixed = [self._of_prompt(prompt, as_chat=as_chat) for prompt in prompts] or [
            self._of_row(row) for row in rows[:FIXED]
        ]

    def take(self, model: Any, rows: Sequence[Any], losses: Any) -> list[AnswerSample]:
        """Answers of ``model``, greedy.

        ``losses``: the mean loss of each of ``rows``; the worst of them are asked, too.
        """
        worst = [int(i) for i in np.argsort(-np.nan_to_num(losses, nan=-np.inf))[:WORST]] if len(rows) else []
        questions: list[tuple[Any, list[int], str | None, int | None, float | None]]
        questions = [("fixed", *question, None) for question in self._fixed]
        questions += [("worst", *self._of_row(rows[i]), float(losses[i])) for i in worst]
        answers = generate(model, self._tokenizer, [ids for _, ids, *_ in questions])
        return [
            AnswerSample(kind, self._decode(ids), answer, expected, line, loss)
            for (kind, ids, expected, line, loss), answer in zip(questions, answers, strict=True)
        ]

    def _of_prompt(self, prompt: str, *, as_chat: bool) -> Question:
        if not as_chat:
            return list(self._tokenizer(prompt)["input_ids"]), None, None
        chat = [{"role": "user", "content": prompt}]
        return template_of(self._tokenizer).prompt(chat), None, None

    def _of_row(self, row: Tokens | Pair) -> Question:
        """Up to the last answer of a row; of a text the first third."""
        tokens = row.preferred if isinstance(row, Pair) else row
        return (
            [int(i) for i in tokens.ids[: tokens.asked]],
            self._decode(tokens.ids[tokens.asked :]),
            row.line,
        )

    def _decode(self, ids: Any) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True)).strip()


def generate(
    model: Any, tokenizer: Any, prompts: Sequence[list[int]], *, max_new_tokens: int = MAX_NEW_TOKENS
) -> list[str]:
    """Greedy answers to tokenized prompts, in one batch. The caller sets evaluation mode and precision."""
    import torch

    if not prompts:
        return []
    prompts = [ids[-LONGEST_PROMPT:] for ids in prompts]
    width = max(map(len, prompts))
    filler = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0
    ids = torch.tensor(
        [[filler] * (width - len(p)) + p for p in prompts], device=next(model.parameters()).device
    )
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=ids.device)
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None) or width + max_new_tokens
    most = min(max_new_tokens, limit - width)
    if most < 1:
        return ["" for _ in prompts]
    sequences = model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=most,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        pad_token_id=filler,
        eos_token_id=sorted(end_tokens(tokenizer, model.generation_config.eos_token_id)) or None,
    )
    return [str(tokenizer.decode(row[width:], skip_special_tokens=True)).strip() for row in sequences]
