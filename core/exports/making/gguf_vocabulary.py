"""A byte-level BPE tokenizer as llama.cpp stores it:
tokens with types, merges, special ids, the template without its marks."""

import re
from pathlib import Path
from typing import Any

from core.exports.llama_like import read_json, read_tokenizer
from core.exports.making.order import CannotExport
from core.weights import PLAIN_TEMPLATE, read_template

Json = dict[str, Any]
# say what is learned; llama.cpp does not know them
MARKS = re.compile(r"\{%(-?)\s*(?:end)?generation\s*(-?)%\}")


def tokens_of(folder: Path, size: int) -> tuple[list[str], list[str]]:
    """``size`` tokens by id, and for each CONTROL, USER_DEFINED, NORMAL or UNUSED. Raises CannotExport."""
    tokenizer = read_tokenizer(folder)
    added = {token["id"]: token for token in tokenizer.get("added_tokens", ())}
    by_id = {number: token for token, number in tokenizer["model"]["vocab"].items()}
    by_id.update({number: token["content"] for number, token in added.items()})
    if max(by_id) >= size:
        raise CannotExport(
            "The tokenizer has more tokens than the model has embeddings, which llama.cpp does not read."
        )
    tokens, types = [], []
    for number in range(size):
        tokens.append(by_id.get(number, f"[unused{number}]"))
        types.append("UNUSED" if number not in by_id else _type_of(added.get(number)))
    return tokens, types


def merges_of(folder: Path) -> list[str]:
    return [
        merge if isinstance(merge, str) else " ".join(merge)
        for merge in read_tokenizer(folder)["model"]["merges"]
    ]


def special_ids(folder: Path) -> dict[str, int]:
    """bos, eos, pad and unk, as far as there are any: name -> id."""
    config = read_json(folder / "tokenizer_config.json")
    ids = {token["content"]: token["id"] for token in read_tokenizer(folder).get("added_tokens", ())}
    names = {name: config.get(f"{name}_token") for name in ("bos", "eos", "pad", "unk")}
    texts = {
        name: token.get("content") if isinstance(token, dict) else token for name, token in names.items()
    }
    return {name: ids[text] for name, text in texts.items() if text in ids}


def adds_bos(folder: Path) -> bool:
    """Whether the tokenizer puts the first special token before a text by itself."""
    processor = read_tokenizer(folder).get("post_processor") or {}
    steps = processor.get("processors", [processor])
    firsts = [
        step["single"][0] for step in steps if step.get("type") == "TemplateProcessing" and step.get("single")
    ]
    return any("SpecialToken" in first for first in firsts)


def template_of(folder: Path) -> str:
    return MARKS.sub(_unmarked, read_template(folder) or PLAIN_TEMPLATE)


def _unmarked(found: re.Match[str]) -> str:
    """The blanks that a dash in the mark would have taken away still go:
    an empty expression with the same dashes takes them."""
    return f"{{{{{found[1]} '' {found[2]}}}}}" if found[1] or found[2] else ""


def _type_of(added: Json | None) -> str:
    if added is None:
        return "NORMAL"
    return "CONTROL" if added.get("special") else "USER_DEFINED"
