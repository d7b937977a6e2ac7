"""Loading a base for training and saving what came out. Remote code of a model folder is never run."""

import json
from pathlib import Path
from typing import Any

from core import storage
from core.training.examples import prepare_tokenizer
from core.training.hyperparameters import Settings

KEEP_FLOAT32_UP_TO = 100_000_000  # a small model is stored as trained; a large one in the precision of its base


def load_tokenizer(base: Path) -> Any:
    from transformers import AutoTokenizer

    return prepare_tokenizer(AutoTokenizer.from_pretrained(base, trust_remote_code=False, local_files_only=True))


def load_model(base: Path, settings: Settings, *, seed: int) -> Any:
    """The base in float32 on the fastest device at hand, with an adapter around it when LoRA is asked for."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, trust_remote_code=False, local_files_only=True)
    if settings.tuning == "lora":
        model = _with_adapter(model, settings)
    return model.to("cuda" if torch.cuda.is_available() else "cpu").train()


def trainable(model: Any) -> dict[str, Any]:
    """The weights that are trained, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def save_draft(model: Any, tokenizer: Any, base: Path, draft: Path) -> None:
    """Write the tuned model (or its adapter) with tokenizer and chat template, whole or not at all. Raises DiskFull."""
    storage.require_space(sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad))
    with storage.publishing(draft) as folder:
        _in_storage_precision(model, base).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        _forget_base_path(folder)


def _with_adapter(model: Any, settings: Settings) -> Any:
    from peft import LoraConfig, get_peft_model

    assert settings.lora_rank is not None
    assert settings.lora_alpha is not None
    config = LoraConfig(
        task_type="CAUSAL_LM", r=settings.lora_rank, lora_alpha=settings.lora_alpha, lora_dropout=0.0, target_modules="all-linear"
    )
    return get_peft_model(model, config)


def _in_storage_precision(model: Any, base: Path) -> Any:
    import torch

    small = sum(p.numel() for p in model.parameters()) <= KEEP_FLOAT32_UP_TO
    if small or hasattr(model, "peft_config"):
        return model
    config = json.loads((base / "config.json").read_text())
    name = config.get("dtype") or config.get("torch_dtype") or "bfloat16"
    return model.to(getattr(torch, name, torch.bfloat16))


def _forget_base_path(folder: Path) -> None:
    """An adapter's config names the folder of its base on this machine; the registry knows the base better."""
    path = folder / "adapter_config.json"
    if path.exists():
        config = json.loads(path.read_text())
        path.write_text(json.dumps({**config, "base_model_name_or_path": None}, indent=2))
