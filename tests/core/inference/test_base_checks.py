"""Which models may be a base, and for which rows may be packed: by the configuration and by asking them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.inference import base_checks
from core.inference.check_model import check
from tests.tiny_models import KINDS, LEAKING, NOT_CAUSAL, write

Make = Callable[[str], Path]
SAID = {
    "bert": "is an encoder",
    "bert with masks": "is an encoder",
    "t5": "no language model that writes text",
    "bart": "is an encoder with a decoder",
    "llama that classifies": "LlamaForSequenceClassification",
}
CAUSAL = sorted(KINDS.keys() - NOT_CAUSAL)
# one that may be packed, one that leaks, one that looks ahead, one that keeps no keys and values
FEW = {"llama", "opt", "bert", "mamba"}


def every(kinds: Any) -> list[Any]:
    return [pytest.param(kind, marks=() if kind in FEW else pytest.mark.long) for kind in kinds]


@pytest.fixture(scope="module")
def make(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    made: dict[str, Path] = {}

    def model(kind: str) -> Path:
        if kind not in made:
            made[kind] = write(kind, tmp_path_factory.mktemp("model"), tiny_base)
        return made[kind]

    return model


def load(folder: Path, dtype: str = "float32") -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", every(CAUSAL))
def test_a_causal_model_sees_nothing_ahead_and_packs_where_it_keeps_rows_apart(
    make: Make, kind: str, dtype: str
) -> None:
    model = load(make(kind), dtype)
    assert base_checks.is_causal(model)
    assert base_checks.keeps_rows_apart(model) is (kind not in LEAKING)
    assert base_checks.remembers(model) is (kind != "mamba")
    assert model.training is False


@pytest.mark.parametrize("kind", every(CAUSAL))
def test_answers_are_those_of_the_model_that_reads_everything_anew(make: Make, kind: str) -> None:
    """Several at once, of different length, one of them beginning later; most kinds by what they remember."""
    import torch

    from core.inference.batch import Answer, Drawing
    from core.inference.loaded import LoadedModel

    folder = make(kind)
    model = load(folder).eval()
    prompts = [[5, 17, 60, 33], [40] * 9, [7, 8, 9, 10, 11, 200]]

    def alone(prompt: list[int]) -> list[int]:
        ids = list(prompt)
        with torch.no_grad():
            for _ in range(6):
                ids.append(int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        return ids[len(prompt) :]

    loaded = LoadedModel(folder, model=model)
    answers = [
        Answer(prompt=p, most_tokens=6, end_tokens=set(), drawing=Drawing(), decode=str) for p in prompts
    ]
    for answer in answers[:2]:
        loaded.batch.join(answer)
    loaded.batch.step()
    loaded.batch.join(answers[2])
    while loaded.batch.rows:
        loaded.batch.step()
    assert [answer.written for answer in answers] == [alone(prompt) for prompt in prompts]


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", every(("bert", "bert with masks")))
def test_a_model_that_sees_later_tokens_is_found_by_asking_it(make: Make, kind: str, dtype: str) -> None:
    """Whatever its configuration says of it."""
    assert not base_checks.is_causal(load(make(kind), dtype))


@pytest.mark.parametrize("kind", every(KINDS))
def test_the_inspection_takes_what_is_causal_and_refuses_the_rest_by_name(make: Make, kind: str) -> None:
    found = check(str(make(kind)))
    if kind in CAUSAL:
        assert base_checks.refusal(make(kind)) is None
        assert found["packs_rows"] is (kind not in LEAKING)
        assert any("packing" in note for note in found["notes"]) is not found["packs_rows"]
    else:
        assert re.search(SAID[kind], found["error"])


@pytest.mark.parametrize("kind", every(("bloom", "mamba", "opt")))
def test_what_is_known_to_leak_need_not_be_loaded(make: Make, kind: str) -> None:
    assert base_checks.packs(make(kind)) is False


def test_nothing_is_said_of_what_is_not_known(make: Make, tmp_path: Path) -> None:
    assert base_checks.packs(make("llama")) is None
    assert base_checks.packs(tmp_path) is None
    (tmp_path / "config.json").write_text("[1]")
    assert base_checks.refusal(tmp_path) is None


def test_weights_that_lack_a_part_are_no_whole_model(make: Make, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    write("llama", folder, make("llama"))
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert "its weights have no lm_head.weight" in check(str(folder))["error"]


def test_attention_in_chunks_is_cut_where_no_row_ends(make: Make) -> None:
    """Only rows as long as a chunk would show it, so the configuration is asked."""
    model = load(make("llama"))
    model.config.attention_chunk_size = 64
    assert not base_checks.keeps_rows_apart(model)
