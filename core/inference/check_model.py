"""``python -m core.inference.check_model FOLDER``, or ``HUB_ID FOLDER``
to download first: is this a model we can train and serve?

Prints one JSON line: the facts, or ``{"error": "sentence"}``. Code that a model brings along is never run.
Checked are the configuration, the tokenizer, and the safetensors headers. The weights of a model that fits
easily are loaded too, to see that they are all there, that no token sees a later one, and whether rows may be
packed; of a larger one that is asked at the start of a training.
"""

import contextlib
import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

from core import hardware
from core.inference import base_checks
from core.weights import read_facts, read_template

MEASURED_UP_TO = 300_000_000  # parameters, 1.2 GB: read and asked within seconds
SPARE = 2  # times what the weights take must be free
NO_PACKING = f"It {base_checks.LEAKS}, so packing is refused for it."
WANTED = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]


class NoModel(Exception):
    """The sentence for the admin."""


class HubUnreachable(NoModel):
    """The model hub cannot be reached from this server. Give a folder instead."""


def main(arguments: list[str]) -> None:
    with contextlib.redirect_stdout(sys.stderr):  # libraries may print
        answer = check(*arguments)
    print(json.dumps(answer))


def check(source: str, download_to: str | None = None) -> dict[str, Any]:
    try:
        folder = _download(source, Path(download_to)) if download_to else Path(source)
        return _facts(folder)
    except HubUnreachable as error:
        return {"error": str(error), "unavailable": True}
    except NoModel as error:
        return {"error": str(error)}


def _facts(folder: Path) -> dict[str, Any]:
    _require_files(folder)
    architecture = _check_config(folder)
    _check_tokenizer(folder)
    try:
        facts = read_facts(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoModel(f"is no model: the weights cannot be read ({error})") from error
    packs_rows = _measure(folder, facts.num_parameters)
    return {
        "architecture": architecture,
        "num_parameters": facts.num_parameters,
        "size_bytes": facts.size_bytes,
        "context_length": facts.context_length,
        "chat_template_sha256": facts.chat_template_sha256,
        "notes": _notes(folder) + ([] if packs_rows is not False else [NO_PACKING]),
        "packs_rows": packs_rows,
    }


def _require_files(folder: Path) -> None:
    if not folder.exists():
        raise NoModel("there is no such folder on the server")
    if not folder.is_dir():
        raise NoModel("is a file; give the folder that holds config.json")
    if not (folder / "config.json").is_file():
        raise NoModel("is no model: config.json is missing")
    if (folder / "adapter_config.json").is_file():
        raise NoModel("holds an adapter; give the folder of a whole model")
    if not any(folder.glob("*.safetensors")):
        old_format = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        hint = ": only the old .bin format is there. Convert it to safetensors" if old_format else ""
        raise NoModel(f"is no model: there are no .safetensors weights{hint}")
    _require_all_shards(folder)


def _require_all_shards(folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError) as error:
        raise NoModel("is no model: model.safetensors.index.json cannot be read") from error
    if missing := sorted(name for name in shards if not (folder / Path(str(name)).name).is_file()):
        raise NoModel(f"is no whole model: {missing[0]} is missing")


def _check_config(folder: Path) -> str:
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises nearly anything here, and its sentences name folders
        raise NoModel(_config_sentence(folder)) from error
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise NoModel(f"is no language model that writes text: its type is {config.model_type}")
    if getattr(config, "is_encoder_decoder", False):  # also where config.json leaves it to the kind
        raise NoModel(base_checks.ENCODER_DECODER)
    if problem := base_checks.refusal(folder):
        raise NoModel(problem)
    return str((config.architectures or [config.model_type])[0])


def _config_sentence(folder: Path) -> str:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError:
        return "is no model: config.json is not valid JSON"
    if not isinstance(config, dict) or not config.get("model_type"):
        return "is no model: config.json does not say its model_type"
    if config.get("auto_map"):
        return f"needs code of its own ({config['model_type']}), which this server does not run"
    return f"has a type this server does not know, or a broken config.json: {config['model_type']}"


def _check_tokenizer(folder: Path) -> None:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        works = bool(tokenizer("Hello").input_ids)
    except Exception as error:  # as above
        raise NoModel("is no whole model: its tokenizer is missing or cannot be loaded") from error
    if not works:
        raise NoModel("has a tokenizer that makes no tokens of a word")


def _measure(folder: Path, num_parameters: int) -> bool | None:
    """Whether packed rows stay apart; None for a model too large to load here. Raises NoModel."""
    is_small = num_parameters <= MEASURED_UP_TO and 4 * SPARE * num_parameters <= hardware.look().free
    if not is_small or "quantization_config" in json.loads((folder / "config.json").read_text("utf-8")):
        return None
    import torch
    from transformers import AutoModelForCausalLM

    hardware.set_up_torch(threads=1)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:  # as above
        raise NoModel("is no whole model: its weights do not fit its config.json") from error
    model, found = loaded
    if missing := sorted(found["missing_keys"]):
        raise NoModel(f"is no whole model: its weights have no {missing[0]}")
    if not base_checks.is_causal(model):
        raise NoModel(base_checks.LOOKS_AHEAD)
    return base_checks.keeps_rows_apart(model)


def _notes(folder: Path) -> list[str]:
    template = read_template(folder)
    if template is None:
        return [
            (
                "It has no chat template, so a plain one is used: good for fine-tuning, "
                "poor for chatting before that."
            )
        ]
    if "generation" not in template:
        return [
            (
                "Its chat template does not mark what the assistant says; "
                "training finds that by comparing prefixes."
            )
        ]
    return []


def _download(hub_id: str, folder: Path) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
    )

    try:
        snapshot_download(hub_id, local_dir=folder, allow_patterns=WANTED, ignore_patterns=["*/*"])
    except HFValidationError as error:
        raise NoModel("is neither a folder on the server nor a hub id such as org/name") from error
    except GatedRepoError as error:
        raise NoModel("asks for permission on the hub, which this server does not have") from error
    except RepositoryNotFoundError as error:
        raise NoModel("is not on the hub") from error
    except (HfHubHTTPError, OSError) as error:
        raise HubUnreachable(HubUnreachable.__doc__) from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    return folder


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main(sys.argv[1:])
