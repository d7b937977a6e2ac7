"""A version as a Hugging Face folder that plain transformers (and peft) loads: an adapter, or a whole model.

A whole model in its stored precision is copied byte for byte. The generation defaults get every token that
ends an answer here, so that other programs stop where this server stops; a model without a chat template gets
the plain one it is asked with here.
"""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.exports.llama_like import read_json
from core.exports.making.order import Order
from core.exports.sizes import precision_of
from core.weights import PLAIN_TEMPLATE, read_template

COPIED = ("*.json", "*.jinja", "*.model", "*.txt")
SHARD_SIZE = "5GB"
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "tokenizer.model",
)  # fmt: skip


def write_adapter(order: Order, folder: Path) -> None:
    """The LoRA with its tokenizer. Where the base has a name on a hub, the configuration says it."""
    folder.mkdir()
    _copy(order.weights.folder, folder, (*COPIED, "*.safetensors"))
    _copy_tokenizer(order.tokenizer, folder)
    config = read_json(folder / "adapter_config.json")
    _write_json(folder / "adapter_config.json", {**config, "base_model_name_or_path": order.base_source})


def write_merged(order: Order, folder: Path, *, ends: Sequence[int]) -> None:
    """All weights in ``order.precision``."""
    folder.mkdir()
    if not order.is_adapter and order.precision == precision_of(order.weights, "stored"):
        _copy(order.weights.base, folder, (*COPIED, "*.safetensors"))
    else:
        _merge(order, folder)
    _copy_tokenizer(order.tokenizer, folder)
    if read_template(folder) is None:
        (folder / "chat_template.jinja").write_text(PLAIN_TEMPLATE, encoding="utf-8")
    config = read_json(order.weights.base / "generation_config.json")
    if ends:
        config["eos_token_id"] = ends[0] if len(ends) == 1 else list(ends)
    _write_json(folder / "generation_config.json", config)


def _merge(order: Order, folder: Path) -> None:
    """The adapter is added where it is not rounded twice:
    in float32 for a small model, in the precision asked for else."""
    import torch
    from transformers import AutoModelForCausalLM

    dtype: Any = getattr(torch, order.precision)
    model: Any = AutoModelForCausalLM.from_pretrained(
        order.weights.base, dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True
    )
    if order.weights.adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, order.weights.adapter).merge_and_unload(safe_merge=True)
    model.to(dtype).save_pretrained(folder, max_shard_size=SHARD_SIZE)


def _copy_tokenizer(source: Path, folder: Path) -> None:
    if source != folder:
        _copy(source, folder, TOKENIZER_FILES)


def _copy(source: Path, folder: Path, patterns: Sequence[str]) -> None:
    for pattern in patterns:
        for file in source.glob(pattern):
            if file.name != "README.md":
                _copy_file(file, folder / file.name)


def _copy_file(file: Path, to: Path) -> None:
    """Weights of the same disk are linked, not copied: versions never change.

    The rest may be written to, so it is copied.
    """
    to.unlink(missing_ok=True)
    if file.suffix == ".safetensors":
        try:
            return os.link(file.resolve(), to)
        except OSError:
            pass  # another disk, or one without links
    shutil.copyfile(file, to)
    return None


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")
