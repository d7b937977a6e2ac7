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
# Architectures for which llama.cpp reads a window ({arch}.attention.sliding_window) and keeps to it. All
# others see everything there, whatever stands in the file.
WINDOWED = {
    "Cohere2ForCausalLM", "Exaone4ForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM",
    "Gemma3ForConditionalGeneration", "Gemma3nForCausalLM", "Gemma3nForConditionalGeneration",
    "GptOssForCausalLM", "Olmo3ForCausalLM",
}  # fmt: skip
USUAL_WINDOW = 4096  # where a configuration that has one does not say how large
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
    if problem := lost_window(base):
        raise NotMapped(problem)
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


def window_of(config: Json) -> int | None:
    """How many tokens some layer of the model looks back; None when each sees the whole context."""
    config = config.get("text_config") or config
    window = config.get("sliding_window", USUAL_WINDOW if config.get("model_type") == "mistral" else None)
    if config.get("use_sliding_window"):
        window = window or USUAL_WINDOW
    elif "use_sliding_window" in config or str(config.get("model_type")).startswith("qwen"):
        return None
    context = config.get("max_position_embeddings") or 0
    if not isinstance(window, int) or window <= 0 or window >= context > 0:
        return None
    kinds = config.get("layer_types")
    if kinds is None:
        whole_layers = config.get("max_window_layers", 0) if config.get("use_sliding_window") else 0
        return window if whole_layers < config.get("num_hidden_layers", whole_layers + 1) else None
    return window if "sliding_attention" in kinds else None


def lost_window(base: Path) -> str | None:
    """Why the model in a folder cannot become GGUF, whoever writes it: its window would be lost. None: there
    is none, or it is kept. A short check would not notice: longer texts are answered differently."""
    config = read_json(base / "config.json")
    architecture, window = str((config.get("architectures") or ["unknown"])[0]), window_of(config)
    if window is None or architecture in WINDOWED:
        return None
    return (
        f"This model looks back at most {window:,} tokens. GGUF of this architecture ({architecture}) has no "
        "place for that: programs would let it see everything, and it would answer differently. Export it "
        "merged."
    )


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
