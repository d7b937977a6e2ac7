"""Greedy answers of the registry's version, as the inference process gives them,
and of an export, loaded from its files again.

The reference uses the code that serves (``core.inference``). An export is loaded by plain transformers: a
folder as anybody would, a GGUF file by transformers' own reader, which knows nothing of our writer. Answers
are compared as texts, to the letter.
"""

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from core.exports.making.order import CannotExport
from core.exports.making.prompts import NEW_TOKENS, NUM_PROMPTS, Messages, shown
from core.inference.loaded import CannotLoad, ChatTokenizer, LoadedModel, LoadedModels
from core.inference.preparing import make_answer
from core.inference.text import BROKEN
from core.weights import Weights

Json = dict[str, Any]
Tick = Callable[[float], None]  # the share of the answers that is written
LARGEST_PROMPT = 1024  # tokens: reading longer ones on a CPU takes minutes


class Reference:
    """The version as it answers chats."""

    def __init__(self, weights: Weights) -> None:
        try:
            loaded = LoadedModels().get(weights)
            self.adapter = loaded.put_on(weights)
            self.chat_tokenizer: ChatTokenizer = loaded.chat_tokenizer(weights)
        except CannotLoad as error:
            raise CannotExport(str(error)) from error
        # the export computes in it too: the files are compared, not the rounding
        self.dtype: Any = loaded.model.dtype
        self._loaded: LoadedModel | None = loaded

    def choose(self, candidates: Sequence[Messages]) -> list[Messages]:
        """The first ten that leave room for an answer and that the chat template takes as they are."""
        return [messages for messages in candidates if self._fits(messages)][:NUM_PROMPTS]

    def answers(self, prompts: Sequence[Messages], tick: Tick) -> list[str]:
        """One after the other: neighbours in a batch change the last bits of a sum.

        The model is removed from memory after that.
        """
        assert self._loaded is not None
        texts, batch = [], self._loaded.batch
        for messages in prompts:
            parameters = {"temperature": 0, "max_tokens": NEW_TOKENS}
            request = {"messages": messages, "parameters": parameters, "forget": False}
            answer = make_answer(request, chat_tokenizer=self.chat_tokenizer, adapter=self.adapter)
            text = batch.join(answer)
            while batch.rows:
                text += "".join(piece for _, piece in batch.step())
            texts.append(text)
            tick(len(texts) / len(prompts))
        self._loaded = batch = None  # type: ignore[assignment]
        gc.collect()
        return texts

    def rendered(self, prompts: Sequence[Messages]) -> list[str]:
        """The prompts as texts with the template's marks, for programs that tokenize by themselves."""
        tokenizer = self.chat_tokenizer.tokenizer
        return [
            str(tokenizer.apply_chat_template(m, add_generation_prompt=True, tokenize=False)) for m in prompts
        ]

    def _fits(self, messages: Messages) -> bool:
        from jinja2 import TemplateError

        try:
            encoding: Any = self.chat_tokenizer.tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_dict=True
            )
        # a template and a conversation it was not written for
        except (TemplateError, TypeError, ValueError, KeyError):
            return False
        return (
            0
            < len(encoding["input_ids"])
            <= min(LARGEST_PROMPT, self.chat_tokenizer.context_length - NEW_TOKENS)
        )


def answers_of_folder(
    folder: Path, prompts: Sequence[Messages], tick: Tick, *, dtype: Any, adapter: Path | None = None
) -> list[str]:
    """``folder`` as plain transformers loads it; ``adapter``: with this one put on it by peft."""
    from transformers import AutoModelForCausalLM, GenerationConfig

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    ends = GenerationConfig.from_pretrained(folder, local_files_only=True).eos_token_id
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    return _generate(model, adapter or folder, prompts, tick, ends=ends)


def answers_of_gguf(
    file: Path, tokenizer: Path, prompts: Sequence[Messages], tick: Tick, *, dtype: Any, ends: Sequence[int]
) -> list[str]:
    """The tensors and the configuration that stand in the file, dequantized, in transformers."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        file.parent, config=_config_of(file), gguf_file=file.name, dtype=dtype, local_files_only=True
    )
    return _generate(model, tokenizer, prompts, tick, ends=list(ends))


def _config_of(file: Path) -> Any:
    """What transformers reads from a GGUF file, and what it overlooks there: for Qwen3 the width of a head,
    which it takes to be 128, as in all models of that name but small ones of one's own."""
    import gguf
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
    fields = gguf.GGUFReader(file).fields
    architecture = fields["general.architecture"].contents()
    if width := fields.get(f"{architecture}.attention.key_length"):
        config.head_dim = int(width.contents())
    return config


def compare(prompts: Sequence[Messages], reference: Sequence[str], exported: Sequence[str]) -> list[Json]:
    return [
        {"prompt": shown(messages), "reference": ours, "export": theirs, "same": ours == theirs}
        for messages, ours, theirs in zip(prompts, reference, exported, strict=True)
    ]


def cut_at(text: str, stops: Sequence[str]) -> str:
    """Without what follows a stop string, and without half a character at the end."""
    for stop in stops:
        text = text.partition(stop)[0]
    return text.rstrip(BROKEN)


def _generate(
    model: Any, tokenizer_folder: Path, prompts: Sequence[Messages], tick: Tick, *, ends: Sequence[int]
) -> list[str]:
    import torch
    from transformers import AutoTokenizer, GenerationConfig

    tokenizer: Any = AutoTokenizer.from_pretrained(tokenizer_folder, local_files_only=True)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else next(iter(ends), 0)
    greedy = GenerationConfig(
        do_sample=False, max_new_tokens=NEW_TOKENS, eos_token_id=list(ends) or None, pad_token_id=pad
    )
    # without the defaults of the folder: a penalty for repetition is not greedy
    model.eval().generation_config = greedy
    texts = []
    for messages in prompts:
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
        inputs = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            written = model.generate(**inputs)[0, inputs["input_ids"].shape[1] :]
        texts.append(
            str(tokenizer.decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False))
        )
        tick(len(texts) / len(prompts))
    return texts
