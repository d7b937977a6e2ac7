"""Loading what a training starts from, and writing what came out. Remote code of a model folder is never run.

A training starts from a whole model, or from an adapter over one. Tuning all weights of the latter merges the
adapter first; tuning an adapter goes on with the one that is there, so what comes out stands over the same
whole model.
"""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from core import hardware, storage
from core.chat_templates import end_tokens
from core.inference import base_checks
from core.training.examples import prepare_tokenizer
from core.training.hyperparameters import Settings
from core.training.method import CANNOT_PACK, TrainingFailed
from core.weights import Weights, tokenizer_folder

# a small model is stored as trained; a large one in the precision of its base
KEEP_FLOAT32_UP_TO = 100_000_000
TARGETS = {
    "attention": [
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "qkv_proj",
        "query_key_value",
        "c_attn",
        "out_proj",
    ],
    "mlp": [
        "gate_proj",
        "up_proj",
        "down_proj",
        "gate_up_proj",
        "fc1",
        "fc2",
        "dense_h_to_4h",
        "dense_4h_to_h",
        "c_fc",
        "c_proj",
    ],
}

MAMBA = ("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h")  # as peft has them, which refuses some
# of a Mamba block: their weights are used past the layer, and so past an adapter; and the output layer
WITHOUT_ADAPTER = {"conv1d", "dt_proj", "out_proj", "lm_head"}


def load_tokenizer(weights: Weights) -> Any:
    from transformers import AutoTokenizer

    folder = tokenizer_folder(weights)
    return prepare_tokenizer(
        AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    )


def load_model(weights: Weights, settings: Settings, *, seed: int, device: str | None = None) -> Any:
    """The model to train, on ``device`` (the GPU if there is one),
    with an adapter around it when one is tuned.

    All weights are trained in float32. Under an adapter the base keeps bfloat16 on a GPU that computes in it,
    or 4 bits. Raises TrainingFailed for 4 bits without a CUDA GPU, for layers that do not exist, for a model
    whose tokens see later ones, and for packing where rows would see each other.
    """
    import torch

    if problem := base_checks.refusal(weights.base):
        raise TrainingFailed(f"The base model {problem}.", code="not_causal")
    torch.manual_seed(seed)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    model = _load_base(weights.base, settings, device)
    if weights.adapter is not None:
        model = _with_earlier_adapter(model, weights.adapter, settings)
    elif settings.tuning != "full":
        model = _with_new_adapter(model, settings)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if settings.tuning != "full":
            model.enable_input_require_grads()
    model = model if settings.tuning == "qlora" else model.to(device)
    _require_blindness(model, settings)
    return model.train()


def trainable(model: Any) -> dict[str, Any]:
    """The weights that are trained, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def write_model(model: Any, tokenizer: Any, weights: Weights, folder: Path) -> None:
    """The model (or its adapter) with tokenizer and chat template, as the registry keeps it.

    The model itself stays as it is.
    """
    config = json.loads((weights.base / "config.json").read_text())
    if ends := end_tokens(tokenizer, model.generation_config.eos_token_id):
        model.generation_config.eos_token_id = sorted(
            ends
        )  # whoever loads the folder stops where it learned to
    _save_weights(model, folder, stored=config.get("dtype") or config.get("torch_dtype") or "bfloat16")
    tokenizer.save_pretrained(folder)
    path = folder / "adapter_config.json"
    if path.exists():  # it names the folder of its base on this machine; the registry knows the base better
        adapter = json.loads(path.read_text())
        path.write_text(json.dumps({**adapter, "base_model_name_or_path": None}, indent=2))


def save_draft(model: Any, tokenizer: Any, weights: Weights, draft: Path) -> None:
    """``write_model``, whole or not at all. Raises DiskFull."""
    storage.require_space(sum(p.numel() * p.element_size() for p in trainable(model).values()))
    with storage.publishing(draft) as folder:
        write_model(model, tokenizer, weights, folder)


def _require_blindness(model: Any, settings: Settings) -> None:
    """A model that sees what it must not would learn to copy: a training of it says nothing and looks well.

    A few passes over two dozen tokens, whatever was known of the base before.
    """
    if not base_checks.is_causal(model):
        raise TrainingFailed(f"The base model {base_checks.LOOKS_AHEAD}.", code="not_causal")
    if settings.packing and not base_checks.keeps_rows_apart(model):
        raise TrainingFailed(
            f"Packing is not possible: the base model {base_checks.LEAKS}. Start again with packing off.",
            code=CANNOT_PACK,
        )


def _load_base(folder: Path, settings: Settings, device: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    more: dict[str, Any] = {"dtype": torch.float32}
    if settings.tuning == "qlora":
        more = {
            "dtype": torch.bfloat16,
            "quantization_config": _four_bits(device),
            "device_map": {"": device},
        }
    elif settings.tuning == "lora" and settings.precision == "bfloat16" and device.startswith("cuda"):
        more = {"dtype": torch.bfloat16}
    return AutoModelForCausalLM.from_pretrained(
        folder, trust_remote_code=False, local_files_only=True, **more
    )


def _four_bits(device: str) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    if not device.startswith("cuda"):
        raise TrainingFailed(
            "QLoRA needs a CUDA GPU, and this machine has none. Choose LoRA instead.", code="needs_gpu"
        )
    try:  # transformers says less clearly that it is missing or does not work
        import_module(hardware.FOUR_BITS_PACKAGE)
    except Exception as error:  # a package built for another CUDA fails in ways of its own
        raise TrainingFailed(
            f"QLoRA needs the package {hardware.FOUR_BITS_PACKAGE}, which is missing on the machine that "
            f"trains, or does not work with its CUDA. Choose LoRA, or let an admin run: "
            f"{hardware.FOUR_BITS_COMMAND}",
            code="needs_package",
        ) from error
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _with_new_adapter(model: Any, settings: Settings) -> Any:
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    if settings.tuning == "qlora":
        model = prepare_model_for_kbit_training(
            model, use_gradient_checkpointing=settings.gradient_checkpointing
        )
    assert settings.lora_rank is not None
    assert settings.lora_alpha is not None
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=_targets(settings.lora_targets or "all-linear", model),
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:  # some layers, such as the last one of a Mamba block, take no adapter
        raise TrainingFailed(
            "LoRA cannot be put on these layers of this base model. Name other LoRA targets, or tune all "
            "weights.",
            code="invalid_settings",
        ) from error


def _with_earlier_adapter(model: Any, adapter: Path, settings: Settings) -> Any:
    from peft import PeftModel

    wants_adapter = settings.tuning != "full"
    model = PeftModel.from_pretrained(model, adapter, is_trainable=wants_adapter)
    if wants_adapter:
        return model
    merged = model.merge_and_unload()
    for weight in merged.parameters():
        weight.requires_grad_(True)
    return merged


def _targets(asked: str, model: Any) -> str | list[str]:
    """The layers that get an adapter, by the last part of their names.

    Raises TrainingFailed when there are none of that name.
    """
    if asked == "all-linear":
        return _linear_of_mamba(model) if model.config.model_type in MAMBA else asked
    wanted = TARGETS.get(asked) or [name.strip() for name in asked.split(",") if name.strip()]
    present = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if hasattr(module, "weight") and name
    }
    targets = [name for name in wanted if name in present]
    if not targets or (asked not in TARGETS and len(targets) < len(wanted)):
        missing = ", ".join(name for name in wanted if name not in present)
        raise TrainingFailed(
            f"LoRA targets: this model has no layer named {missing}. It has {', '.join(sorted(present))}.",
            code="invalid_settings",
        )
    return targets


def _linear_of_mamba(model: Any) -> list[str]:
    """The linear layers of a model with Mamba blocks that an adapter has an effect on."""
    import torch

    linear = (name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear))
    return sorted({name.rpartition(".")[2] for name in linear} - WITHOUT_ADAPTER)


def _save_weights(model: Any, folder: Path, *, stored: str) -> None:
    import torch

    small = sum(p.numel() for p in model.parameters()) <= KEEP_FLOAT32_UP_TO
    if small or hasattr(model, "peft_config"):
        model.save_pretrained(folder)
        return
    dtype, cast = getattr(torch, stored, torch.bfloat16), {}
    state = {}
    for name, weight in model.state_dict().items():
        if weight.data_ptr() not in cast:  # tied weights stay tied
            cast[weight.data_ptr()] = weight.to(dtype) if weight.is_floating_point() else weight
        state[name] = cast[weight.data_ptr()]
    model.save_pretrained(folder, state_dict=state)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": stored}, indent=2))
