"""Whether a model is what trainings and answers here count on.

*Causal*: a token never sees a later one, so every token of a row can be learned in one pass. *Keeps rows
apart*: of rows packed behind each other, each is computed as if it stood alone. Both are asked of the model
itself, with random tokens: architectures differ, and new ones come. What ``config.json`` alone tells is said
without loading anything, which is all that the web process may do.

A measured difference is compared with what a row's own first tokens do to its later ones. Seen on 80
architectures with random weights: what leaks changes a row 0.003 to 3,000 times as much as that (most of
them once), what does not at most 0.00003 times.
"""

import json
from pathlib import Path
from typing import Any

from core.weights import DEFAULT_CONTEXT

LEAK = 5e-4  # of the effect of a row's own tokens
COARSE_LEAK = 0.05  # the same where a model computes in 16 bits or fewer
ROUNDING = 4  # times the smallest step of the numbers it computes in
TOKENS = 24  # of a row
NOT_CAUSAL = "is no causal language model, which alone can be trained and chatted with here: it is "
ENCODER = NOT_CAUSAL + "an encoder, which reads a whole text at once"
ENCODER_DECODER = NOT_CAUSAL + "an encoder with a decoder, which reads in one part and writes in the other"
LOOKS_AHEAD = NOT_CAUSAL + "of a kind whose tokens see those behind them"
OTHER_HEAD = NOT_CAUSAL + "a {}, which does not write text"
LEAKS = "lets rows that are packed behind each other see one another"
# Models that read in both directions unless their configuration says that they decode
ENCODERS = {
    "bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra", "ernie", "megatron-bert",
    "qdqbert", "rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "xlm-roberta",
    "xlm-roberta-xl", "xmod",
}  # fmt: skip
LOOKING_AHEAD = {"cpmant", "xlm", "xlnet"}
# What leaks between packed rows: no masks by row (positions that are not told, a state that goes on).
# A quick answer before a model is loaded; what is not named here is measured.
LEAKS_WHEN_PACKED = {
    "bamba", "bart", "biogpt", "blenderbot", "blenderbot-small", "bloom", "falcon", "falcon_h1",
    "falcon_mamba", "gpt_oss", "granitemoehybrid", "jamba", "mamba", "mamba2", "marian", "mbart", "minimax",
    "mpt", "openai-gpt", "opt", "pegasus", "plbart", "prophetnet", "qwen3_next", "recurrent_gemma", "rwkv",
    "trocr", "xglm", "xlstm", "zamba", "zamba2",
}  # fmt: skip


def refusal(folder: Path) -> str | None:
    """Why the model in a folder cannot be a base, as far as its configuration tells; None if it may be one.

    A configuration that cannot be read is nothing to judge here.
    """
    config = _config(folder)
    kind, named = config.get("model_type"), str((config.get("architectures") or [""])[0])
    if config.get("is_encoder_decoder"):
        return ENCODER_DECODER
    if kind in ENCODERS and not config.get("is_decoder"):
        return ENCODER
    if kind in LOOKING_AHEAD:
        return LOOKS_AHEAD
    if named.endswith(("ForMaskedLM", "Classification", "ForQuestionAnswering", "ForMultipleChoice")):
        return OTHER_HEAD.format(named)
    return None


def packs(folder: Path) -> bool | None:
    """Whether rows may be packed for the model in a folder; None where only a measurement can tell."""
    return False if _config(folder).get("model_type") in LEAKS_WHEN_PACKED else None


def is_causal(model: Any) -> bool:
    """Other tokens at the end of a row leave what was computed for those before them as it was."""
    rows = _Rows(model)
    half = len(rows.one) // 2
    changed = rows.logits(_joined(rows.one[:half], rows.other[half:]))
    return rows.is_blind(changed[:half], rows.alone[:half])


def keeps_rows_apart(model: Any) -> bool:
    """A row behind another one is computed as it is alone, whatever the other one is."""
    rows = _Rows(model)
    chunk = getattr(model.config.get_text_config(), "attention_chunk_size", None)
    if chunk and chunk < rows.context_length:
        return False  # its attention is cut where a number of tokens is full, not where a row ends
    try:
        behind_other, behind_third = (
            rows.logits(_joined(first, rows.one), packed=2)[len(rows.one) :]
            for first in (rows.other, rows.third)
        )
    except (TypeError, ValueError, IndexError, RuntimeError):
        return False  # it takes no positions, or none that begin anew
    return rows.is_blind(behind_other, behind_third) and rows.is_equal(behind_other, rows.alone)


def remembers(model: Any) -> bool:
    """What a cache of keys and values holds stands for the tokens that were read: read in pieces, a row is
    computed as it is at once."""
    from core.inference.growing_cache import make_cache  # it imports torch

    rows = _Rows(model)
    half, cache = len(rows.one) // 2, make_cache()
    pieces = rows.one[:half], rows.one[half:-2], rows.one[-2:-1], rows.one[-1:]
    try:
        found = [rows.logits_after(piece, cache) for piece in pieces]
    except (TypeError, ValueError, AttributeError, IndexError, RuntimeError):
        return False  # it takes no such cache
    return rows.is_equal(_joined(*found), rows.alone)


class _Rows:
    """A model with three rows of random tokens, and what is noise in it.

    ``alone``: what the model says of the first one.
    """

    def __init__(self, model: Any) -> None:
        import torch

        config = model.config.get_text_config()
        self.context_length = int(getattr(config, "max_position_embeddings", None) or DEFAULT_CONTEXT)
        self._model, self._device = model, next(model.parameters()).device
        size = max(4, min(TOKENS, self.context_length // 2))
        dice = torch.Generator().manual_seed(0)
        self.one, self.other, self.third = torch.randint(0, config.vocab_size, (3, size), generator=dice)
        self.alone, quarter = self.logits(self.one), size // 4
        changed = self.logits(_joined(self.other[:quarter], self.one[quarter:]))
        effect = _size(changed[quarter:] - self.alone[quarter:])
        is_exact = all(weight.dtype == torch.float32 for weight in model.parameters())
        self._leak = (LEAK if is_exact else COARSE_LEAK) * effect
        smallest_step = torch.finfo(torch.float32 if is_exact else torch.bfloat16).eps
        self._rounding = ROUNDING * smallest_step * _size(self.alone)

    def is_blind(self, found: Any, expected: Any) -> bool:
        """Of two passes of the same length: only experts, which share their work anew, round differently."""
        return _size(found - expected) <= self._leak

    def is_equal(self, found: Any, expected: Any) -> bool:
        """Of passes of different length, which round differently."""
        return _size(found - expected) <= self._leak + self._rounding

    def logits_after(self, ids: Any, cache: Any) -> Any:
        """Of further tokens, as answers are written: ``cache`` holds those before and takes these."""
        import torch

        with torch.no_grad():
            answer = self._model(input_ids=ids[None].to(self._device), past_key_values=cache, use_cache=True)
        return answer.logits[0].float()

    def logits(self, ids: Any, *, packed: int = 1) -> Any:
        """[tokens, vocabulary], as the training computes them: with positions only where rows are packed."""
        import torch

        more = {}
        if packed > 1:
            more = {"position_ids": torch.arange(len(ids) // packed).repeat(packed)[None].to(self._device)}
        was_training = self._model.training
        self._model.eval()
        try:
            with torch.no_grad():
                answer = self._model(input_ids=ids[None].to(self._device), use_cache=False, **more)
        finally:
            self._model.train(was_training)
        return answer.logits[0].float()


def _joined(*parts: Any) -> Any:
    import torch

    return torch.cat(parts)


def _size(numbers: Any) -> float:
    return float(numbers.double().pow(2).mean().sqrt())


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}
