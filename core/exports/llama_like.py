"""Which models become GGUF by the ``gguf`` package alone, and how llama.cpp knows their tokenizers.

Reads JSON files only.

llama.cpp does not read a tokenizer's rules, it knows them by name. Only what is proven to be the same is
listed here: the name stands for one exact ``pre_tokenizer`` of tokenizer.json. Everything else is refused
with a sentence: a file that tokenizes differently answers differently, and nobody sees why.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

Json = dict[str, Any]
# Architectures whose tensors have been read back and compared, and what llama.cpp calls them. Mistral is a
# Llama there.
ARCHITECTURES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
}
CONFIGURE = "For this one an admin can configure llama.cpp: set LUTHIER_LLAMA_CPP to its folder."
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| "
    r"?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTES = ("ByteLevel", True)  # splits by GPT-2's expression
BARE_BYTES = ("ByteLevel", False)
PRE_TOKENIZERS: dict[tuple[Any, ...], str] = {
    (BYTES,): "gpt-2",
    (("Digits", True), BYTES): "smollm",
    (("Split", WORDS % ""), BARE_BYTES): "qwen2",
    (("Split", WORDS % "{1,3}"), BARE_BYTES): "llama-bpe",
}


@dataclass(frozen=True)
class Mapping:
    """How a model is written: llama.cpp's name of its architecture and of its pre-tokenizer."""

    architecture: str
    pre_tokenizer: str


class NotMapped(Exception):
    """The sentence for the person who wants the file."""


def mapping_of(base: Path, tokenizer_folder: Path) -> Mapping:
    """Raises NotMapped with what is not supported."""
    config = read_json(base / "config.json")
    architecture = str((config.get("architectures") or ["unknown"])[0])
    if architecture not in ARCHITECTURES:
        raise NotMapped(f"{architecture} cannot be written as GGUF by Luthier itself. {CONFIGURE}")
    if what := _unusual(config):
        raise NotMapped(
            f"This {architecture} has {what}, which Luthier does not write as GGUF itself. {CONFIGURE}"
        )
    pre_tokenizer = PRE_TOKENIZERS.get(_rules(tokenizer_folder))
    if pre_tokenizer is None:
        raise NotMapped(
            f"This {architecture} has a tokenizer that Luthier does not write as GGUF itself. {CONFIGURE}"
        )
    return Mapping(ARCHITECTURES[architecture], pre_tokenizer)


def read_json(path: Path) -> Json:
    """Empty when the file is not there."""
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


@lru_cache(maxsize=8)
def read_tokenizer(folder: Path) -> Json:
    """tokenizer.json.

    Folders of versions never change, and a large vocabulary takes half a second to parse.
    """
    return read_json(folder / "tokenizer.json")


def _unusual(config: Json) -> str | None:
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind != "default":
        return f"positions scaled by {kind!r}"
    if float(rope.get("partial_rotary_factor") or config.get("partial_rotary_factor") or 1.0) != 1.0:
        return "partly rotated positions"
    if config.get("hidden_act", "silu") != "silu":
        return f"the activation {config['hidden_act']!r}"
    if config.get("use_sliding_window"):
        return "a sliding window"
    return None


def _rules(folder: Path) -> tuple[Any, ...]:
    """The pre-tokenizer as a key of ``PRE_TOKENIZERS``; () for what is none of them."""
    tokenizer = read_tokenizer(folder)
    model, pre_tokenizer = tokenizer.get("model") or {}, tokenizer.get("pre_tokenizer") or {}
    if model.get("type") != "BPE" or model.get("byte_fallback") or model.get("continuing_subword_prefix"):
        return ()
    steps = pre_tokenizer["pretokenizers"] if pre_tokenizer.get("type") == "Sequence" else [pre_tokenizer]
    return tuple(_rule(step) for step in steps)


def _rule(step: Json) -> tuple[Any, ...]:
    kind = step.get("type")
    if kind == "ByteLevel" and not step.get("add_prefix_space"):
        return kind, bool(step.get("use_regex", True))
    if kind == "Digits":
        return kind, bool(step.get("individual_digits"))
    if kind == "Split" and step.get("behavior") == "Isolated" and not step.get("invert"):
        return kind, (step.get("pattern") or {}).get("Regex")
    return (kind, "unknown")
