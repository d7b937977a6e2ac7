"""The files of a model version: where they are, and what can be read from them without loading anything.

A full version is a whole Hugging Face folder (config.json, safetensors, tokenizer); an adapter is a LoRA
folder over the full version it was trained on. Folders are immutable. Nothing here imports torch: sizes and
shapes come from the safetensors headers.

The chat template is part of a version. Its SHA-256 is stored with the version and checked again where the
model is served, so that a model is never asked in another form than the one it was trained on. A model
without a template gets ``PLAIN_TEMPLATE``, in training and in serving alike.
"""

import hashlib
import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from core.config import settings

DEFAULT_CONTEXT = 1024
LARGEST_HEADER = 100_000_000  # bytes; the format's own limit

PLAIN_TEMPLATE = (
    "{%- for message in messages -%}{%- if message['role'] == 'assistant' -%}{{ '### Assistant:\n"
    "' }}{% generation %}{{ message['content'] }}{{ eos_token or '' }}{% endgeneration %}{{ '\n"
    "\n"
    "' }}{%- else -%}{{ '### ' + message['role'].capitalize() + ':\n"
    "' + message['content'] + '\n"
    "\n"
    "' }}{%- endif -%}{%- endfor -%}{%- if add_generation_prompt -%}{{ '### Assistant:\n"
    "' }}{%- endif -%}"
)
PLAIN_STOP = "\n### "  # where a model that learnt PLAIN_TEMPLATE without an end token begins the next turn


@dataclass(frozen=True)
class Weights:
    """Where one version lies.

    ``base`` is the whole model to load; ``adapter`` the LoRA to put on it, if the version is one.
    """

    version_id: str
    folder: Path
    base: Path
    adapter: Path | None
    chat_template_sha256: str | None

    def as_json(self) -> dict[str, str | None]:
        """For a process that is told by a line of text."""
        places = {name: str(getattr(self, name)) for name in ("folder", "base")}
        adapter = str(self.adapter) if self.adapter else None
        return {
            "version_id": self.version_id,
            **places,
            "adapter": adapter,
            "chat_template_sha256": self.chat_template_sha256,
        }

    @classmethod
    def from_json(cls, sent: dict[str, Any]) -> "Weights":
        adapter = Path(sent["adapter"]) if sent["adapter"] else None
        return cls(
            sent["version_id"],
            Path(sent["folder"]),
            Path(sent["base"]),
            adapter,
            sent["chat_template_sha256"],
        )


@dataclass(frozen=True)
class Facts:
    """What a folder says about itself. ``num_parameters`` of an adapter counts only the adapter."""

    num_parameters: int
    size_bytes: int
    context_length: int
    chat_template_sha256: str | None


def read_facts(folder: Path) -> Facts:
    """Raises OSError or ValueError when the folder is not readable as a model or an adapter."""
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    headers = map(read_header, sorted(folder.glob("*.safetensors")))
    count = sum(prod(tensor["shape"]) for header in headers for tensor in header.values())
    return Facts(count, size, _context_length(folder), template_sha256(folder))


def read_template(folder: Path) -> str | None:
    """The chat template as transformers would find it:
    its own file first, else inside the tokenizer's configuration."""
    own_file = folder / "chat_template.jinja"
    if own_file.is_file():
        return own_file.read_text(encoding="utf-8")
    template = _json(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(template, list):  # several named templates
        return next((t["template"] for t in template if t.get("name") == "default"), None)
    return template


def template_sha256(folder: Path) -> str | None:
    template = read_template(folder)
    return hashlib.sha256(template.encode()).hexdigest() if template else None


def tokenizer_folder(weights: Weights) -> Path:
    """An adapter may bring its own tokenizer and template; if not, those of its base count."""
    has_own = weights.adapter is not None and (weights.adapter / "tokenizer_config.json").is_file()
    return weights.folder if has_own else weights.base


def content_sha256(folder: Path) -> str:
    """One hash over all files, names included. For small folders: it reads everything."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def stored_path(folder: Path) -> str:
    """How a row keeps a folder: relative inside the data folder (so that it can move), absolute elsewhere."""
    data = settings().data_dir
    return folder.relative_to(data).as_posix() if folder.is_relative_to(data) else str(folder)


def real_path(stored: str) -> Path:
    return settings().data_dir / stored  # an absolute path stays what it is


def is_ours(stored: str) -> bool:
    """Whether the folder lies in our data folder, so that removing the model may remove it."""
    return not Path(stored).is_absolute()


def read_header(file: Path) -> dict[str, Any]:
    """Names, types and shapes of a safetensors file: https://github.com/huggingface/safetensors#format.

    Raises ValueError.
    """
    with file.open("rb") as opened:
        start = opened.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= LARGEST_HEADER:
            raise ValueError(f"{file.name} is not a safetensors file")
        header = json.loads(opened.read(length))
    if not isinstance(header, dict):
        raise ValueError(f"{file.name} is not a safetensors file")
    header.pop("__metadata__", None)
    end = 8 + length + max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    if file.stat().st_size < end:
        raise ValueError(f"{file.name} is cut off: it has {file.stat().st_size} of {end} bytes")
    return header


def _context_length(folder: Path) -> int:
    config = _json(folder / "config.json")
    config = config.get("text_config") or config
    length = config.get("max_position_embeddings") or config.get("n_positions") or config.get("n_ctx")
    return int(length) if length else DEFAULT_CONTEXT


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    value = json.loads(path.read_text(encoding="utf-8"))
    return value if isinstance(value, dict) else {}
