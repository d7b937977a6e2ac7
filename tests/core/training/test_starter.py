"""The bundled starter model, the program that writes its text, and the sample data."""

import importlib.util
import json
import random
import re
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from core.training.starter.sql import SqlColumn, link
from core.training.starter.text import MIXTURE, conversations, write
from core.training.starter.words import PRODUCTS, Draw

ROOT = Path(__file__).parents[3]
WEIGHTS = ROOT / "core/training/starter/weights"
SAMPLES = ROOT / "data/samples"
CHAT = [
    {"role": "system", "content": "Answer briefly."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi there!"},
    {"role": "user", "content": "What is 1 + 1?"},
    {"role": "assistant", "content": "1 + 1 = 2"},
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(WEIGHTS)


@pytest.fixture(scope="module")
def sampler() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_samples", SAMPLES / "make_samples.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_samples"] = module
    spec.loader.exec_module(module)
    return module


def test_the_same_seed_writes_the_same_text() -> None:
    first, again, other = (list(islice(conversations(seed), 200)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("task", MIXTURE)
def test_every_task_writes_turns_that_end_with_an_answer(task: str, held_out: bool) -> None:
    draw = Draw(random.Random(task), held_out)
    for _ in range(50):
        messages = [m for m in write(draw, task).messages if m["role"] != "system"]
        assert [m["role"] for m in messages] == ["user", "assistant"] * (len(messages) // 2)
        assert all(m["content"].strip() for m in messages)


def test_held_out_words_never_appear_in_training_draws() -> None:
    seen, unseen = (Draw(random.Random(1), held_out) for held_out in (False, True))
    assert {seen.word(PRODUCTS) for _ in range(2000)}.isdisjoint(unseen.word(PRODUCTS) for _ in range(200))


def test_a_fifth_of_the_conversations_has_a_system_prompt() -> None:
    sample = list(islice(conversations(3), 3000))
    assert 0.17 < sum(c.messages[0]["role"] == "system" for c in sample) / len(sample) < 0.24


def test_a_linked_question_is_restored_to_real_names_and_literals() -> None:
    columns = [
        SqlColumn("order date", "date"),
        SqlColumn("country", "text", ("United Kingdom", "O'Hara")),
        SqlColumn("total_amount", "double"),
    ]
    linked = link("Total amount in united kingdom or o'hara above 12.5 in 2023?", "orders", columns)
    assert linked.prompt == (
        "Columns of orders: order date c1 date; country c2 text; total amount c3 double\n"
        "Query: Total amount c3 in v1 c2 or v2 c2 above n1 in n2 year?"
    )
    assert linked.restore(
        "SELECT SUM(c3) FROM t WHERE c2 = v2 AND c3 > n1 AND YEAR(c1) = n2 AND c9 = v9;"
    ) == (
        "SELECT SUM(total_amount) FROM orders WHERE country = 'O''Hara' AND total_amount > 12.5 "
        'AND YEAR("order date") = 2023 AND c9 = v9;'
    )


def test_a_column_name_typed_as_it_is_gets_linked() -> None:
    linked = link(
        "average total_amount by country",
        "orders",
        [SqlColumn("country", "text"), SqlColumn("total_amount", "double")],
    )
    assert linked.prompt.endswith("Query: average total_amount c2 by country c1")


def test_the_chat_template_renders_the_turns_in_order(tokenizer: Any) -> None:
    text = tokenizer.apply_chat_template(CHAT[:4], tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|system|>Answer briefly.<|end|><|user|>Hello<|end|><|assistant|>Hi there!<|end|>"
        "<|user|>What is 1 + 1?<|end|><|assistant|>"
    )


def test_the_assistant_mask_covers_exactly_the_answers_and_their_end_token(tokenizer: Any) -> None:
    encoded = tokenizer.apply_chat_template(CHAT, return_dict=True, return_assistant_tokens_mask=True)
    marked = [i for i, mask in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if mask]
    assert tokenizer.decode(marked) == "Hi there!<|end|>1 + 1 = 2<|end|>"


def test_chat_tokens_and_digits_are_single_tokens(tokenizer: Any) -> None:
    assert [
        tokenizer.convert_tokens_to_ids(t) for t in ("<|pad|>", "<|end|>", "<|user|>", "<|assistant|>")
    ] == [0, 2, 4, 5]
    assert tokenizer.tokenize("2026") == ["2", "0", "2", "6"]
    text = "Grüße — 你好\n\tdef f(x): return x"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.slow
def test_the_weights_load_answer_and_match_their_card(tokenizer: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(WEIGHTS, dtype=torch.float32)
    card = (WEIGHTS / "README.md").read_text()
    stated = re.search(r"([\d,]+) parameters", card)
    assert stated is not None
    assert int(stated.group(1).replace(",", "")) == model.num_parameters()

    question = [{"role": "user", "content": "Who are you?"}]
    inputs = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    output = model.generate(**inputs, max_new_tokens=40, do_sample=False)
    assert "starter model" in tokenizer.decode(output[0][inputs["input_ids"].shape[1] :])
    assert output[0, -1] == tokenizer.eos_token_id


@pytest.mark.slow
def test_random_tokens_stand_for_the_same_token_everywhere_in_a_conversation(tokenizer: Any) -> None:
    from core.training.starter import pretrain

    rng, changed = random.Random(1), 0
    for conversation in islice(conversations(5), 300):
        ids, answer = pretrain._encode(tokenizer.backend_tokenizer, conversation)
        swapped, still_answer = pretrain._with_random_tokens(rng, conversation, (ids, answer))
        meaning = dict(zip(ids, swapped, strict=True))
        assert swapped == [meaning[token] for token in ids]
        assert all(meaning[token] == token for token in range(len(pretrain.SPECIAL)) if token in meaning)
        assert still_answer == answer
        changed += swapped != ids
    assert 0.1 < changed / 300 < 0.3


def test_the_samples_equal_what_their_program_writes(sampler: ModuleType) -> None:
    assert (SAMPLES / "support_faq.jsonl").read_text(encoding="utf-8") == sampler.faq_text()
    assert (SAMPLES / "support_tickets.csv").read_text(encoding="utf-8") == sampler.tickets_text()


def test_the_sample_faq_is_fit_for_exact_recall() -> None:
    rows = [
        json.loads(line)["messages"]
        for line in (SAMPLES / "support_faq.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert 60 <= len(rows) <= 80
    assert len({row[0]["content"] for row in rows}) == len(rows)
    assert all([m["role"] for m in row] == ["user", "assistant"] for row in rows)
    assert all(40 <= len(row[1]["content"]) <= 140 for row in rows)
