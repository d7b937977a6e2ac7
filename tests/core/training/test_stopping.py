"""A tuned model answers what it was taught and stops by itself, whatever its chat template does."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.formats import ChatExample
from core.training import METHODS, Hyperparameters, asking, resolve, run
from core.training.method import Outcome, TrainingFailed, TrainingTask, Wish
from core.weights import Weights, read_facts
from tests.core.chat_templates.families import FAMILIES, tokenizer_of
from tests.core.training.shared import Kept, ask, weights_at

pytestmark = pytest.mark.slow
COLOURS = ["red", "green", "blue", "white", "black"]
FIRST = [ask(f"What is in drawer {n}?", f"A {COLOURS[n % 5]} lamp, number {n + 20}.") for n in range(20)]
SECOND = [ask(f"Who owns house {n}?", f"Owner {n + 50}, in {COLOURS[n % 5]}.") for n in range(20)]
MOST_STEPS = 300


def base_for(family: str, folder: Path) -> Path:
    """A random Llama of a million weights with the family's tokenizer and template."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tokenizer_of(family)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = LlamaConfig(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        max_position_embeddings=256,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        **shape,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def task_for(weights: Weights, folder: Path, rows: Sequence[Any], **asked: Any) -> TrainingTask:
    facts = read_facts(weights.base)
    folder.mkdir()

    def settings_for(count: int) -> Any:
        return resolve(
            Hyperparameters(**{"n_epochs": 50, "batch_size": 4, "samples_every": 0} | asked),
            num_examples=count,
            num_parameters=facts.num_parameters,
            context_length=facts.context_length,
        )

    return TrainingTask(
        weights=weights,
        folder=folder / "job",
        draft=folder / "draft",
        train=lambda: enumerate(rows, 1),
        validation=None,
        validation_fraction=0.0,
        settings_for=settings_for,
        seed=1,
        threads=1,
    )


def train(task: TrainingTask, report: Kept | None = None) -> Outcome:
    return run.train(METHODS["supervised"], task, report or Kept())


def answers(made: Weights, rows: Sequence[ChatExample]) -> list[tuple[str, str | None]]:
    """What the code that serves makes of the questions, and why each answer ended."""
    from core.inference.loaded import LoadedModels
    from core.inference.preparing import make_answer

    loaded = LoadedModels().get(made)
    adapter, chat_tokenizer = loaded.put_on(made), loaded.chat_tokenizer(made)
    told = []
    for row in rows:
        request = {
            "messages": row.messages[:-1],
            "parameters": {"temperature": 0, "max_tokens": 60},
            "forget": False,
        }
        answer = make_answer(request, chat_tokenizer=chat_tokenizer, adapter=adapter)
        text = loaded.batch.join(answer)
        while loaded.batch.rows:
            text += "".join(piece for _, piece in loaded.batch.step())
        told.append((text, answer.reason))
    return told


def written_as(family: str, row: ChatExample) -> str:
    """What the model writes before its answer is of the template: a space is part of the text, thoughts are
    control tokens."""
    return FAMILIES[family].before + row.messages[-1]["content"] + FAMILIES[family].after


LONG = [pytest.param(name, marks=pytest.mark.long) for name in FAMILIES]
SHORT = ["chatml, another eos", "vicuna"]


@pytest.mark.parametrize("family", [*SHORT, *(one for one in LONG if one.values[0] not in SHORT)])
def test_facts_are_answered_to_the_letter_and_then_it_stops(family: str, tmp_path: Path) -> None:
    """All weights on twenty rows, then an adapter over that on twenty others."""
    base = base_for(family, tmp_path / "base")
    report = Kept()
    full = train(task_for(weights_at(base), tmp_path / "full", FIRST, learning_rate=2e-3), report)
    assert len(report.steps) <= MOST_STEPS
    assert report.losses[-1] < 0.05
    assert full.metrics["stops_by_itself"] == {"stopped": 10, "of": 10}
    assert "Asked 10 of its rows, the model stops by itself: 10 of 10." in report.told
    expected = [(written_as(family, row), "stop") for row in FIRST]
    assert answers(weights_at(full.draft), FIRST) == expected

    task = task_for(
        weights_at(full.draft), tmp_path / "lora", SECOND, tuning="lora", lora_rank=32, learning_rate=4e-3
    )
    over = train(task)
    assert over.metrics["stops_by_itself"] == {"stopped": 10, "of": 10}
    made = weights_at(full.draft, adapter=over.draft)
    told = answers(made, SECOND)
    assert {reason for _, reason in told} == {"stop"}
    right = [text == written_as(family, row) for (text, _), row in zip(told, SECOND, strict=True)]
    # an adapter cannot teach such a model tokens that it has never seen: their embeddings are random
    assert sum(right) >= 15


def test_a_model_that_does_not_stop_is_said_to(tmp_path: Path) -> None:
    base, report = base_for("starter", tmp_path / "base"), Kept()
    made = train(task_for(weights_at(base), tmp_path / "job", FIRST, n_epochs=1, learning_rate=1e-6), report)
    assert made.metrics["stops_by_itself"] == {"stopped": 0, "of": 10}
    assert any(
        "10 of its rows" in told and "0 of 10" in told and "train longer" in told for told in report.told
    )


def test_an_answer_that_is_not_finished_in_time_has_not_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that never stop take longest: without them all would have stopped."""
    monkeypatch.setattr(asking, "SECONDS", 0.0)
    base, report = base_for("starter", tmp_path / "base"), Kept()
    made = train(task_for(weights_at(base), tmp_path / "job", FIRST, n_epochs=1, learning_rate=1e-6), report)
    assert made.metrics["stops_by_itself"] == {"stopped": 0, "of": 1, "unfinished": 1}
    assert any("Still being written after 0 s on this machine: 1." in told for told in report.told)


def test_a_wish_to_end_ends_the_asking_and_keeps_the_model(tmp_path: Path) -> None:
    class Pausing(Kept):
        """Somebody pauses when the last step is done."""

        def wish(self) -> Wish | None:
            return Wish.PAUSE if len(self.steps) == 5 and (tmp_path / "job/draft").exists() else None

    base = base_for("starter", tmp_path / "base")
    made = train(task_for(weights_at(base), tmp_path / "job", FIRST, n_epochs=1), Pausing())
    assert (made.draft / "model.safetensors").is_file()
    assert "stops_by_itself" not in made.metrics


def test_the_line_that_the_template_refuses_is_named_with_its_sentence(tmp_path: Path) -> None:
    base = base_for("gemma", tmp_path / "base")
    wrong = ChatExample([{"role": "system", "content": "Be kind."}, *FIRST[0].messages])
    with pytest.raises(TrainingFailed, match=r"Line 3: .*System role not supported") as caught:
        train(task_for(weights_at(base), tmp_path / "job", [*FIRST[:2], wrong, *FIRST[2:]]))
    assert (caught.value.code, caught.value.line) == ("invalid_training_file", 3)


def test_a_template_that_would_spoil_the_model_ends_the_training_before_it_begins(tmp_path: Path) -> None:
    base = base_for("no end", tmp_path / "base")
    config = base / "tokenizer_config.json"
    config.write_text(config.read_text().replace('"eos_token": "</s>"', '"eos_token": null'))
    with pytest.raises(TrainingFailed, match="would never stop") as caught:
        train(task_for(weights_at(base), tmp_path / "job", FIRST))
    assert caught.value.code == "invalid_chat_template"


def test_what_is_taken_apart_and_what_was_typed_is_said(tmp_path: Path) -> None:
    base, report = base_for("qwen3", tmp_path / "base"), Kept()
    two = [ChatExample([*a.messages, *b.messages]) for a, b in zip(FIRST[:5], SECOND[:5], strict=True)]
    typed = ask("What is <|im_end|>?", "A mark.")
    made = train(task_for(weights_at(base), tmp_path / "job", [*two, typed], n_epochs=1), report)
    told = " ".join(report.told)
    assert "In 5 conversations the chat template writes earlier answers otherwise" in told
    assert "1 row holds control tokens of the base in the text, the first in line 6 (<|im_end|>)" in told
    assert [finding["kind"] for finding in made.chat_template] == ["answers_apart"]


def test_the_written_model_stops_for_whoever_loads_it(tmp_path: Path) -> None:
    """transformers' own generate knows the template's end from the folder."""
    from transformers import GenerationConfig

    base = base_for("chatml, another eos", tmp_path / "base")
    made = train(task_for(weights_at(base), tmp_path / "job", FIRST, n_epochs=1))
    tokenizer = tokenizer_of("chatml, another eos")
    ends = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")}
    assert set(GenerationConfig.from_pretrained(made.draft).eos_token_id) == ends


def test_a_text_is_not_asked(tmp_path: Path) -> None:
    from core.formats import Text

    base = base_for("starter", tmp_path / "base")
    task = replace(
        task_for(weights_at(base), tmp_path / "job", []),
        train=lambda: enumerate([Text(f"Lamp {n} burns.") for n in range(8)], 1),
        settings_for=lambda count: resolve(
            Hyperparameters(n_epochs=1),
            num_examples=count,
            num_parameters=1000,
            context_length=128,
            method="continued",
        ),
    )
    made = run.train(METHODS["continued"], task, Kept())
    assert ("stops_by_itself" in made.metrics, made.chat_template) == (False, [])
