"""What a training says about its rows before the first step: cut, left out, the same, kept for validation."""

from pathlib import Path
from typing import Any

import pytest

from core.formats import ChatExample, Example, Text
from core.training import Hyperparameters, examples, resolve
from core.training.method import TrainingFailed, TrainingTask
from core.training.pretrained import load_tokenizer
from core.training.preview_rows import Counting
from core.training.run import read_rows
from tests.core.training.shared import Kept, ask, prefer, weights_at


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> Any:
    """Of bytes: a row of ``ask`` has 4 tokens more than it has letters."""
    return load_tokenizer(weights_at(tiny_base))


@pytest.fixture
def told(tiny_base: Path, tokenizer: Any) -> Any:
    """``told(rows, max_length=…)``: what the events say behind the first, which counts; or the failure."""

    def tell(
        rows: list[Example], *, fraction: float = 0.0, validation: Any = None, **chosen: Any
    ) -> list[str]:
        report = Kept()
        task = TrainingTask(
            weights=weights_at(tiny_base),
            folder=tiny_base,
            draft=tiny_base,
            train=lambda: list(enumerate(rows, start=1)),
            validation=(lambda: list(enumerate(validation, start=1))) if validation else None,
            validation_fraction=fraction,
            settings_for=lambda count: resolve(
                Hyperparameters(**chosen), num_examples=count, num_parameters=30_000, context_length=128
            ),
            seed=1,
            threads=1,
        )
        try:
            read_rows(task, tokenizer, report)
        except TrainingFailed as error:
            return [error.message]
        return [one for one in report.told if "to learn, " not in one and "very few" not in one]

    return tell


def silent(question: str) -> ChatExample:
    row = ask(question, "never")
    return ChatExample([row.messages[0], {**row.messages[1], "weight": 0}])


SHORT, LONG = ask("?", "yes"), ask("?", "y" * 90)
FAR, FARTHER = ask("?" * 60, "yes"), ask("?" * 600, "yes")
AWAY = "before their answer begins, and have nothing to learn."


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([SHORT, SHORT], []),
        ([SHORT, SHORT, LONG], ["1 row is longer than 32 tokens and was cut."]),
        ([SHORT, SHORT, LONG, LONG], ["2 rows are longer than 32 tokens and were cut."]),
        (
            [SHORT, SHORT, FAR],
            [
                "1 row is longer than 32 tokens and was cut.",
                "1 row is cut at 32 tokens, before its answer begins, and has nothing to learn. A longest "
                "row of 67 tokens would hold it whole.",
            ],
        ),
        (
            [SHORT, SHORT, silent("a")],
            [
                "1 of 3 rows has weight 0 on all its answers: nothing of it is learned. Give answers that "
                "are to be learned weight 1, or set the loss on all."
            ],
        ),
        ([Text("long enough"), Text("as this"), Text("")], ["Nothing is learned of 1 of 3 rows."]),
        (
            [prefer("a", "yes", "yes"), prefer("b", "yes", "no")],
            ["Both answers are the same in 1 of 2 rows: nothing tells them apart."],
        ),
        (
            [prefer("a", "yes", "yes")] * 3,
            [
                "Both answers are the same in 3 of 3 rows: nothing tells them apart, so there is nothing to "
                "learn."
            ],
        ),
    ],
)
def test_what_was_cut_or_left_out_is_told_with_its_cause(told: Any, rows: Any, says: list[str]) -> None:
    assert told(rows, max_length=32) == says


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (
            [FAR] * 6,
            f"Only 0 of 6 rows have something to learn; at least 2 are needed. 6 rows are cut at 32 tokens, "
            f"{AWAY} A longest row of 67 tokens would hold them whole.",
        ),
        (
            [FARTHER] * 6,
            f"Only 0 of 6 rows have something to learn; at least 2 are needed. 6 rows are cut at 32 tokens, "
            f"{AWAY} The base reads 128 tokens at most: shorten the rows, or choose another base.",
        ),
        (
            [silent("a"), silent("b"), SHORT],
            "Only 1 of 3 rows has something to learn; at least 2 are needed. 2 of 3 rows have weight 0 on "
            "all their answers: nothing of them is learned. Give answers that are to be learned weight 1, or "
            "set the loss on all.",
        ),
    ],
)
def test_too_few_rows_end_the_training_with_every_cause(told: Any, rows: Any, says: str) -> None:
    assert told(rows, max_length=32) == [says]


def test_rows_kept_for_validation_are_named_where_too_few_are_left(told: Any) -> None:
    assert told([ask("a", "b"), ask("c", "d")], fraction=0.5) == [
        "Only 1 of 2 rows is left to learn; at least 2 are needed. 1 row is kept for validation."
    ]


def test_a_share_of_equal_rows_that_cannot_be_kept_is_told(told: Any) -> None:
    (message,) = told([SHORT] * 20, fraction=0.2)
    assert message.startswith("No row could be kept for validation: all 20 rows are the same, and rows that")
    assert told([SHORT] * 20) == []
    assert told([SHORT] * 20, validation=[SHORT]) == []


def test_a_validation_dataset_of_which_nothing_is_measured_is_told(told: Any) -> None:
    (message,) = told([SHORT] * 20, validation=[FAR, FAR], max_length=32)
    assert message.startswith("Validation: 2 rows are cut at 32 tokens, before their answer begins")


@pytest.mark.parametrize("different", [2, 3, 5, 10, 20])
def test_another_share_than_asked_is_told_whenever_it_is_kept(
    told: Any, tokenizer: Any, different: int
) -> None:
    rows = [ask(f"{max(0, n - 20 + different)}", "yes") for n in range(20)]  # the first ones are equal
    settings = resolve(Hyperparameters(), num_examples=20, num_parameters=30_000, context_length=128)
    items = examples.read(enumerate(rows, start=1), tokenizer, settings).items
    kept = len(examples.split(items, fraction=0.2, seed=1)[1])
    says = told(rows, fraction=0.2)
    assert bool(says) == (kept != 4)
    assert all(f"{kept} row" in one and f"only {different} are different" in one for one in says)


def test_windows_of_a_long_text_count_as_one_row(told: Any) -> None:
    texts: list[Example] = [Text(f"{n} " + "word " * 40) for n in range(10)]
    assert told(texts, fraction=0.2, max_length=16) == []


def test_a_preview_counts_the_same(tokenizer: Any) -> None:
    settings = resolve(
        Hyperparameters(max_length=32), num_examples=8, num_parameters=30_000, context_length=128
    )
    counting = Counting()
    rows = [SHORT, FAR, silent("a"), LONG, prefer("a", "yes", "yes"), prefer("a", "yes", "no")]
    for line, example in enumerate(rows, start=1):
        counting.add(line, example, tokenizer, settings)
    found = counting.totals(settings)
    assert (found["cut"], found["empty"], found["same"]) == ([2, 4], [2, 3], [5])
    assert (found["num_same"], found["num_unweighted"]) == (1, 1)
    assert found["away"] == {"num_rows": 1, "reach": 64, "most": 67, "all_": 67}
