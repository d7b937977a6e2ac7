"""A model out of a GGUF file, as a folder that is trained and served like any other: safetensors, config,
tokenizer. Runs in the process of ``check_model``.

transformers reads the file and dequantizes the weights: as float32 or float16 where the file holds these,
else as bfloat16. Files in several parts, adapters and architectures that transformers does not read are
refused in a sentence. Nothing beside the file is looked at.
"""

import shutil
import tempfile
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

MAGIC = b"GGUF"
LOSSLESS = {0: "float32", 1: "float16"}  # general.file_type
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


class NotConverted(Exception):
    """The sentence for the admin, without its subject."""


@dataclass(frozen=True)
class GgufHead:
    """What the file says of itself. ``kind``: model, adapter and others."""

    architecture: str
    kind: str
    parts: int
    dtype: str
    num_parameters: int


def convert(file: Path, folder: Path) -> None:
    """Write the model of ``file`` into the empty ``folder``. Raises NotConverted."""
    head = read_head(file)
    if head.parts > 1:
        raise NotConverted(f"is one of {head.parts} parts; give a model that is in one file")
    if head.kind not in ("model", ""):
        raise NotConverted(f"holds no whole model: it is a file of the kind {head.kind}")
    needed, free = head.num_parameters * BYTES[head.dtype], shutil.disk_usage(folder).free
    if needed > free:
        raise NotConverted(
            f"needs {needed / 1e9:.1f} GB once it is unpacked, and the server's disk has "
            f"{free / 1e9:.1f} GB free"
        )
    with tempfile.TemporaryDirectory() as alone:  # files beside it would be taken for its own
        (Path(alone) / "model.gguf").symlink_to(file.resolve())
        _rewrite(Path(alone), folder, head)


def read_head(file: Path) -> GgufHead:
    """Raises NotConverted for what is no GGUF file, or a broken one."""
    from gguf import GGUFReader

    with file.open("rb") as opened:
        if opened.read(len(MAGIC)) != MAGIC:
            raise NotConverted("is no GGUF file")
    try:
        reader = GGUFReader(file)
        values = {name: field.contents() for name in _ASKED if (field := reader.get_field(name))}
        count = sum(prod(int(n) for n in tensor.shape) for tensor in reader.tensors)
    except Exception as error:  # of a broken file it raises nearly anything
        raise NotConverted("is a broken or cut off GGUF file") from error
    return GgufHead(
        architecture=str(values.get("general.architecture", "")),
        kind=str(values.get("general.type", "")),
        parts=int(values.get("split.count") or 1),
        dtype=LOSSLESS.get(values.get("general.file_type", -1), "bfloat16"),
        num_parameters=count,
    )


_ASKED = ("general.architecture", "general.type", "general.file_type", "split.count")


def _rewrite(source: Path, folder: Path, head: GgufHead) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    told: dict[str, Any] = {"gguf_file": "model.gguf", "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **told)
        model = AutoModelForCausalLM.from_pretrained(
            source,
            dtype=getattr(torch, head.dtype),
            quantization_config=GgufConfig(dequantize=True),  # else the weights may stay packed
            trust_remote_code=False,
            **told,
        )
    except Exception as error:  # transformers raises nearly anything here, and its sentences name folders
        raise NotConverted(
            "holds a model that this server cannot read: its architecture is "
            f"{head.architecture or 'unknown'}"
        ) from error
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):
        plain = type(model)(config)  # the one read from the file refuses to be saved
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.tie_weights()
    plain.generation_config = model.generation_config
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
