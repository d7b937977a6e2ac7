"""Every architecture leaves as GGUF that answers the same, or is refused by name before anything is made."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import exports, hardware
from core.config import settings
from core.db import writing
from core.errors import ValidationError
from core.exports import NewExport
from core.exports import worker as export_worker
from core.exports.llama_like import lost_window, window_of
from core.fields import parse
from core.people.users import User
from core.security import new_id
from core.tables import ModelRow, ModelVersionRow
from tests.tiny_models import CONTEXT, KINDS, NOT_CAUSAL, WINDOW, write

Register = Callable[[str], str]
REFUSED = {
    "mistral window": rf"looks back at most {WINDOW} tokens.*no place",
    "qwen2 window": rf"looks back at most {WINDOW} tokens.*no place",
    "llama scaled": "positions scaled by 'llama3'",
    "gemma2": "Gemma2ForCausalLM cannot be written",
    "mixtral": "MixtralForCausalLM cannot be written",
    "phi3": "Phi3ForCausalLM cannot be written",
    "gpt2": "GPT2LMHeadModel cannot be written",
    "gpt neox": "GPTNeoXForCausalLM cannot be written",
    "opt": "OPTForCausalLM cannot be written",
    "bloom": "BloomForCausalLM cannot be written",
    "mamba": "MambaForCausalLM cannot be written",
    "bert as a decoder": "BertLMHeadModel cannot be written",
}
MADE = sorted(KINDS.keys() - REFUSED.keys() - NOT_CAUSAL)
FEW = {"qwen3", "mistral window"}  # Qwen3 with heads of another width than its makers'; a window


@pytest.fixture(scope="module")
def one_thread(tiny_base: Path) -> None:
    """As the export process has it: threads that wait for each other are far slower than one."""
    hardware.set_up_torch(threads=1)


@pytest.fixture
def register(tiny_base: Path, tmp_path: Path, one_thread: None) -> Register:
    """``register(kind)``: the tiny model of this kind as a base of everybody; its id."""

    def add(kind: str) -> str:
        folder = write(kind, tmp_path / "model", tiny_base)
        with writing() as session:
            row = ModelRow(id=new_id("mdl"), name=kind, type="base", context_length=CONTEXT)
            session.add(row)
            session.flush()
            session.add(ModelVersionRow(id=new_id("mdv"), model_id=row.id, version=1, folder=str(folder)))
        return row.id

    return add


def ask(user: User, model_id: str, kind: str) -> exports.Export:
    """Ask for it, and be its process."""
    export = exports.request_export(user, model_id, parse(NewExport, kind=kind)).export
    export_worker.run(export.id)
    return exports.get_export(user, export.id)


@pytest.mark.parametrize("kind", [pytest.param(k, marks=() if k in FEW else pytest.mark.long) for k in MADE])
def test_what_is_written_answers_to_the_letter(ada: User, register: Register, kind: str) -> None:
    export = ask(ada, register(kind), "gguf-f16")
    assert (export.status, export.error) == ("ready", None)
    assert (export.num_same, export.facts["written_by"]) == (10, "Luthier")


@pytest.mark.long
@pytest.mark.parametrize("kind", [*MADE, *sorted(REFUSED)])
def test_the_whole_model_leaves_whatever_it_is(ada: User, register: Register, kind: str) -> None:
    export = ask(ada, register(kind), "merged")
    assert (export.status, export.error, export.num_same) == ("ready", None, 10)


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=() if k in FEW else pytest.mark.long) for k in sorted(REFUSED)]
)
def test_what_cannot_be_written_is_refused_by_name_before_it_begins(
    ada: User, register: Register, kind: str
) -> None:
    model_id = register(kind)
    for form in ("gguf-f16", "gguf-q8_0"):
        with pytest.raises(ValidationError, match=REFUSED[kind]):
            ask(ada, model_id, form)
    problems = {offer.kind: offer.problem for offer in exports.list_offers(ada, model_id)}
    assert (problems["merged"], bool(problems["gguf-f16"])) == (None, True)
    assert exports.list_exports(ada, model_id).total == 0


@pytest.mark.parametrize("kind", ["mistral window", "gemma2"])
def test_with_llama_cpp_a_window_is_refused_where_it_would_be_lost(
    ada: User, register: Register, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It converts Mistral without a word; of Gemma 2 it keeps the window."""
    monkeypatch.setenv("LUTHIER_LLAMA_CPP", str(tmp_path))
    settings.cache_clear()
    problems = {offer.kind: offer.problem for offer in exports.list_offers(ada, register(kind))}
    assert ("no place" in str(problems["gguf-q8_0"])) is (kind == "mistral window")


QWEN = {"model_type": "qwen2", "max_position_embeddings": 512, "num_hidden_layers": 4, "sliding_window": 64}


@pytest.mark.parametrize(
    ("config", "window"),
    [
        ({"model_type": "mistral", "sliding_window": 64, "max_position_embeddings": 512}, 64),
        ({"model_type": "mistral", "sliding_window": 512, "max_position_embeddings": 512}, None),
        ({"model_type": "mistral", "sliding_window": None, "max_position_embeddings": 512}, None),
        ({"model_type": "mistral", "max_position_embeddings": 32768}, 4096),  # what the library takes for it
        ({"model_type": "mistral", "max_position_embeddings": 2048}, None),
        ({"model_type": "llama", "max_position_embeddings": 512}, None),
        (QWEN, None),  # a number alone means nothing there
        (QWEN | {"use_sliding_window": False}, None),
        (QWEN | {"use_sliding_window": True, "max_window_layers": 2}, 64),
        (QWEN | {"use_sliding_window": True, "max_window_layers": 4}, None),
        (QWEN | {"use_sliding_window": True, "layer_types": ["full_attention"] * 4}, None),
        (QWEN | {"use_sliding_window": True, "layer_types": ["full_attention", "sliding_attention"]}, 64),
        ({"text_config": {"sliding_window": 64, "max_position_embeddings": 512}}, 64),
        ({"sliding_window": "broken", "max_position_embeddings": 512}, None),
        ({}, None),
    ],
)
def test_a_window_is_one_that_some_layer_has_and_that_is_smaller_than_the_context(
    config: dict[str, Any], window: int | None, tmp_path: Path
) -> None:
    assert window_of(config) == window
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["SomeForCausalLM"]} | config))
    assert (f"{window:,} tokens" in str(lost_window(tmp_path))) if window else lost_window(tmp_path) is None
