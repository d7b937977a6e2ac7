"""``python -m core.inference.check_model FOLDER``, or ``HUB_ID FOLDER`` to download first, or
``FILE.gguf FOLDER`` to unpack it there: is this a model we can train and serve?

Prints one JSON line: the facts, or ``{"error": "sentence"}``, which names what was asked about by its last
part and no other place of the server. Code that a model brings along is never run. Checked are the
configuration, the tokenizer, its chat template, and the safetensors headers. The weights of a model that fits
easily are loaded too, to see that they are all there, that no token sees a later one, and whether rows may be
packed; of a larger one that is asked at the start of a training.
"""

import contextlib
import json
import logging
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core import chat_templates, hardware
from core.chat_templates import TemplateFinding
from core.inference import base_checks, gguf_reading
from core.weights import PLAIN_TEMPLATE, read_facts, read_template

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


def check(source: str, into: str | None = None) -> dict[str, Any]:
    try:
        return _facts(_fill(source, Path(into)) if into else Path(source))
    except HubUnreachable as error:
        return {"error": str(error), "unavailable": True}
    except (NoModel, gguf_reading.NotConverted) as error:
        return {"error": f'"{_shown(source)}" {error}'}
    except OSError as error:  # its own words name a place
        return {"error": f'"{_shown(source)}" cannot be read: {(error.strerror or "it is broken").lower()}'}


def _shown(source: str) -> str:
    return Path(source).name if Path(source).is_absolute() else source


def _fill(source: str, folder: Path) -> Path:
    if not Path(source).is_absolute():
        return _download(source, folder)
    if not Path(source).is_file():
        raise NoModel("is missing: there is no such file on the server")
    gguf_reading.convert(Path(source), folder)
    return folder


def _facts(folder: Path) -> dict[str, Any]:
    _require_files(folder)
    architecture = _check_config(folder)
    findings = _check_tokenizer(folder)
    try:
        facts = read_facts(folder)
    except (ValueError, KeyError, TypeError) as error:  # our own sentences, or what JSON lacks
        said = f" ({error})" if isinstance(error, ValueError) else ""
        raise NoModel(f"is no model: the weights cannot be read{said}") from error
    packs_rows = _measure(folder, facts.num_parameters)
    return {
        "architecture": architecture,
        "num_parameters": facts.num_parameters,
        "size_bytes": facts.size_bytes,
        "context_length": facts.context_length,
        "chat_template_sha256": facts.chat_template_sha256,
        "notes": [
            *_notes(folder),
            *chat_templates.sentences(findings, "warn", "error"),
            *([NO_PACKING] if packs_rows is False else []),
        ],
        "chat_template": [asdict(finding) for finding in findings],
        "packs_rows": packs_rows,
    }


def _require_files(folder: Path) -> None:
    if not folder.exists():
        raise NoModel("is missing: there is no such folder on the server")
    if not folder.is_dir():
        raise NoModel("is a file, and no GGUF file; give that, or the folder that holds config.json")
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


def _check_tokenizer(folder: Path) -> list[TemplateFinding]:
    """Raises NoModel; returns what people should know of the chat template."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        works = bool(tokenizer("Hello").input_ids)
    except Exception as error:  # as above
        raise NoModel("is no whole model: its tokenizer is missing or cannot be loaded") from error
    if not works:
        raise NoModel("has a tokenizer that makes no tokens of a word")
    tokenizer.chat_template = tokenizer.chat_template or PLAIN_TEMPLATE
    return chat_templates.check(tokenizer, ends=chat_templates.ends_of_folder(tokenizer, folder))


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
