"""The models in the memory of the inference process:
loaded on demand, one base shared by its adapters, dropped when idle.

Bases and tokenizers are loaded in any thread; adapters, which change a base, only in the one that writes.

Only local folders, only safetensors, never code that a model brings along. On a GPU weights keep their stored
precision; on a CPU they become float32, which is faster there, unless the model is so large that memory
matters more.
"""

import gc
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.chat_templates import end_tokens, template_of
from core.inference import base_checks
from core.inference.batch import Batch
from core.inference.pace import ReadingPace
from core.inference.rereading import RereadingBatch
from core.weights import DEFAULT_CONTEXT, PLAIN_STOP, PLAIN_TEMPLATE, Weights, tokenizer_folder

log = logging.getLogger(__name__)
LARGE_ON_CPU = 1_500_000_000  # parameters
MOST_BASES, MOST_ADAPTERS = 3, 32
COUNTS_KEPT = 20_000  # pieces of text whose tokens need not be counted again


class CannotLoad(Exception):
    """The sentence for the person who asked."""


class ChatTokenizer:
    """A version's tokenizer with its chat template,
    the defaults for drawing and the tokens that end an answer."""

    def __init__(self, weights: Weights, *, base_config: Any) -> None:
        from transformers import AutoTokenizer, GenerationConfig

        folder = tokenizer_folder(weights)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        self.stops: list[str] = []
        _check_template(self.tokenizer.chat_template, weights)
        if not self.tokenizer.chat_template:
            self.tokenizer.chat_template, self.stops = PLAIN_TEMPLATE, [PLAIN_STOP]
        text_config = base_config.get_text_config()
        self.context_length = int(getattr(text_config, "max_position_embeddings", None) or DEFAULT_CONTEXT)
        has_defaults = (weights.base / "generation_config.json").is_file()
        defaults = (
            GenerationConfig.from_pretrained(weights.base, local_files_only=True)
            if has_defaults
            else GenerationConfig()
        )
        self.temperature = float(defaults.temperature or 1.0) if defaults.do_sample else 0.0
        self.top_p = float(defaults.top_p or 1.0)
        self.template = template_of(self.tokenizer)
        self.end_tokens = end_tokens(self.tokenizer, defaults.eos_token_id, text_config.eos_token_id)
        self._count = lru_cache(maxsize=COUNTS_KEPT)(self._count_anew)

    def count(self, text: str) -> int:
        """Tokens of a text by itself. Others compute meanwhile."""
        return self._count(_Text(text))

    def _count_anew(self, text: "_Text") -> int:
        fast = getattr(self.tokenizer, "backend_tokenizer", None)
        if fast is None:
            return len(self.tokenizer(text.text, add_special_tokens=False).input_ids)
        # as a batch, because only then other threads may go on
        return len(fast.encode_batch_fast([text.text], add_special_tokens=False)[0])

    def decode(self, tokens: list[int]) -> str:
        return str(
            self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )


class _Text:
    """A text as a key that does not keep it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._digest = hashlib.blake2b(text.encode(), digest_size=16).digest()

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Text) and other._digest == self._digest


class LoadedModel:
    """One base with the adapters put on it so far, and the batch it is answering.

    ``waiting``: requests that are prepared for it and not yet answered; while there are any, it stays.
    """

    def __init__(self, base: Path, *, model: Any) -> None:
        self.base = base
        self.model = model
        batch = Batch if base_checks.remembers(model) else RereadingBatch
        self.batch: Batch = batch(self.forward, device=model.device)
        self.waiting = 0
        self.pace = ReadingPace()
        self.last_used = time.monotonic()
        self._chat_tokenizers: dict[str, ChatTokenizer] = {}
        self._adapters: dict[str, float] = {}
        self._active: str | None = None

    @property
    def is_idle(self) -> bool:
        return not self.batch.rows and not self.waiting

    def chat_tokenizer(self, weights: Weights) -> ChatTokenizer:
        if weights.version_id not in self._chat_tokenizers:
            self._chat_tokenizers[weights.version_id] = ChatTokenizer(weights, base_config=self.model.config)
        return self._chat_tokenizers[weights.version_id]

    def put_on(self, weights: Weights, *, busy: Set[str | None] = frozenset()) -> str | None:
        """Load the version's adapter if it has one; returns the name that ``forward`` knows it by.

        ``busy``: adapters that are needed beside those of the batch.
        """
        if weights.adapter is None:
            return None
        name = weights.version_id
        if name not in self._adapters:
            self._drop_oldest_adapter(busy)
            self._load_adapter(weights.adapter, name)
        self._adapters[name] = time.monotonic()
        return name

    def forward(self, adapters: list[str | None], **inputs: Any) -> Any:
        """One pass for rows that may each want another adapter, or none."""
        if not self._adapters:
            return self.model(**inputs)
        wanted = set(adapters)
        if len(wanted) > 1:
            return self.model(**inputs, adapter_names=[name or "__base__" for name in adapters])
        with self._only(wanted.pop()):
            return self.model(**inputs)

    @contextmanager
    def _only(self, adapter: str | None) -> Iterator[None]:
        if adapter is None:
            with self.model.disable_adapter():
                yield
            return
        if adapter != self._active:
            self.model.set_adapter(adapter, inference_mode=True)
            self._active = adapter
        yield

    def _load_adapter(self, folder: Path, name: str) -> None:
        from peft import PeftModel

        if not self._adapters:
            self.model = PeftModel.from_pretrained(self.model, folder, adapter_name=name, is_trainable=False)
            self._active = name
        else:
            self.model.load_adapter(folder, adapter_name=name, is_trainable=False)
        self.model.eval()

    def _drop_oldest_adapter(self, busy: Set[str | None]) -> None:
        idle = self._adapters.keys() - {row.adapter for row in self.batch.rows} - {self._active} - busy
        if len(self._adapters) >= MOST_ADAPTERS and idle:
            oldest = min(idle, key=self._adapters.__getitem__)
            self.model.delete_adapter(oldest)
            del self._adapters[oldest]
            self._chat_tokenizers.pop(oldest, None)


class LoadedModels:
    """The loaded models by folder of their base. Any thread may look, one at a time loads."""

    def __init__(self) -> None:
        self._loaded: dict[Path, LoadedModel] = {}
        self._lock = threading.Lock()  # of the dictionary and of ``waiting``; never held while loading

    def __iter__(self) -> Iterator[LoadedModel]:
        return iter(list(self._loaded.values()))

    def holds(self, weights: Weights) -> bool:
        return weights.base in self._loaded

    def still_has(self, model: LoadedModel) -> bool:
        return self._loaded.get(model.base) is model

    def get(self, weights: Weights) -> LoadedModel:
        """Raises CannotLoad."""
        with self._lock:
            model = self._loaded.get(weights.base)
        if model is None:
            self._make_place()
            model = LoadedModel(weights.base, model=_load(weights.base))
            with self._lock:
                self._loaded[weights.base] = model
        model.last_used = time.monotonic()
        return model

    def get_waiting(self, weights: Weights) -> LoadedModel:
        """As ``get``, for a request that will wait for its turn."""
        while True:
            model = self.get(weights)
            with self._lock:
                if self.still_has(model):
                    model.waiting += 1
                    return model

    def end_wait(self, model: LoadedModel) -> None:
        with self._lock:
            model.waiting -= 1
            model.last_used = time.monotonic()

    def drop_idle(self, seconds: float) -> None:
        self._drop(lambda each: each.is_idle and time.monotonic() - each.last_used > seconds)

    def drop(self, loaded: LoadedModel) -> None:
        self._drop(lambda each: each is loaded)

    def _make_place(self) -> None:
        idle = sorted((each for each in self if each.is_idle), key=lambda each: each.last_used)
        oldest = idle[: max(0, len(self._loaded) - MOST_BASES + 1)]
        self._drop(lambda each: each.is_idle and each in oldest)

    def _drop(self, is_gone: Callable[[LoadedModel], bool]) -> None:
        with self._lock:
            gone = [self._loaded.pop(each.base) for each in list(self._loaded.values()) if is_gone(each)]
        if not gone:
            # this is asked between any two tokens, and collecting garbage takes 0.3 s with torch loaded
            return
        log.info("unloaded a model, %d left", len(self._loaded))
        del gone
        gc.collect()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _load(folder: Path) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    started = time.monotonic()
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=_precision(folder, device),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
        model.to(device)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        log.exception("cannot load %s", folder)
        raise CannotLoad(
            "The model's files could not be loaded. The server's inference log says why."
        ) from error
    log.info("loaded %s in %.1f s", folder.name, time.monotonic() - started)
    return model.eval()


def _precision(folder: Path, device: str) -> Any:
    import torch

    if device != "cpu":
        return "auto"
    bytes_on_disk = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return torch.bfloat16 if bytes_on_disk > LARGE_ON_CPU * 2 else torch.float32


def _check_template(template: str | None, weights: Weights) -> None:
    if weights.chat_template_sha256 is None:
        return
    if template is None or hashlib.sha256(template.encode()).hexdigest() != weights.chat_template_sha256:
        raise CannotLoad(
            "The chat template of this model is not the one it was registered with. Register the model again."
        )
