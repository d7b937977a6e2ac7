"""How large an export will be, from the headers of the weights and the tokenizer's file: nothing is loaded.

Exact but for what stands around the weights (cards, headers): a few kilobytes, at most a few percent of a
very small model.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

from core.exports.llama_like import read_json, read_tokenizer
from core.weights import Weights, read_header, tokenizer_folder

# parameters: a small model is merged as precisely as it was trained, a large one as its base is stored
FLOAT32_UP_TO = 100_000_000
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
STORED_AS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
Q8_BLOCK, Q8_BYTES = 32, 34  # values per block of Q8_0, and bytes of one: 32 and a 16-bit scale
ALIGNMENT = 32  # of every tensor in a GGUF file
TENSOR_ENTRY = 72  # bytes that describe a tensor there, with its name
FILES_BESIDE = ("*.json", "*.jinja", "*.model", "*.txt")
CARD_BYTES = 2500


@dataclass(frozen=True)
class Size:
    """``peak_bytes``: what the disk must hold while it is made."""

    file_bytes: int
    peak_bytes: int
    precision: str


def estimate(weights: Weights, kind: str, precision: str) -> Size:
    """Raises OSError or ValueError when the version's files cannot be read."""
    shapes = list(_shapes(weights.base))
    exact = precision_of(weights, precision)
    merged = sum(prod(shape) for shape in shapes) * BYTES[exact] + beside_bytes(weights)
    if kind == "adapter":
        size = sum(file.stat().st_size for file in weights.folder.glob("*.safetensors"))
        size += _files_bytes(weights.folder) + CARD_BYTES
        return Size(size, 2 * size, _stored(weights.folder))
    if kind in ("merged", "hub"):
        return Size(merged, 2 * merged, exact)
    size = sum(_gguf_bytes(shape, kind) for shape in shapes) + _vocabulary_bytes(tokenizer_folder(weights))
    return Size(size, size + (merged if weights.adapter else 0), "Q8_0" if kind == "gguf-q8_0" else "F16")


def precision_of(weights: Weights, wanted: str) -> str:
    """The precision merged weights are written in;
    ``stored`` chooses what loses nothing that the version has."""
    if wanted != "stored":
        return wanted
    is_small = sum(prod(shape) for shape in _shapes(weights.base)) <= FLOAT32_UP_TO
    return "float32" if weights.adapter and is_small else _stored(weights.base)


def beside_bytes(weights: Weights) -> int:
    """Tokenizer, configuration and card."""
    tokenizer = tokenizer_folder(weights)
    config = sum(
        (weights.base / name).stat().st_size for name in ("config.json",) if (weights.base / name).is_file()
    )
    return _files_bytes(tokenizer) + (0 if tokenizer == weights.base else config) + CARD_BYTES


def _headers(folder: Path) -> Iterator[dict]:
    for file in sorted(folder.glob("*.safetensors")):
        yield read_header(file)


def _shapes(folder: Path) -> Iterator[tuple[int, ...]]:
    yield from (tuple(tensor["shape"]) for header in _headers(folder) for tensor in header.values())


def _stored(folder: Path) -> str:
    """The precision of the largest tensor."""
    tensors = [tensor for header in _headers(folder) for tensor in header.values()]
    largest = max(tensors, key=lambda tensor: prod(tensor["shape"]), default={"dtype": "F32"})
    return STORED_AS.get(largest["dtype"], "float32")


def _files_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for pattern in FILES_BESIDE for file in folder.glob(pattern))


def _gguf_bytes(shape: tuple[int, ...], kind: str) -> int:
    count = prod(shape)
    if len(shape) < 2:
        size = 4 * count
    elif kind == "gguf-q8_0" and shape[-1] % Q8_BLOCK == 0:
        size = count // Q8_BLOCK * Q8_BYTES
    else:
        size = 2 * count
    return -(-size // ALIGNMENT) * ALIGNMENT + TENSOR_ENTRY


def _vocabulary_bytes(folder: Path) -> int:
    """Each token and each merge as text with its length before it, each token with a type."""
    model = read_tokenizer(folder).get("model") or {}
    tokens = sum(len(token.encode()) + 12 for token in model.get("vocab") or ())
    merges = sum(
        len((m if isinstance(m, str) else " ".join(m)).encode()) + 8 for m in model.get("merges") or ()
    )
    template = folder / "chat_template.jinja"
    own = (
        template.stat().st_size
        if template.is_file()
        else len(str(read_json(folder / "tokenizer_config.json").get("chat_template")))
    )
    return tokens + merges + own + CARD_BYTES // 2
