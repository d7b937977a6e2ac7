"""What stands in rows and is not learned from is counted, and said in words."""

from pathlib import Path
from typing import Any

import pytest

from core.formats import RowTally, mapped, read_examples, unread, unread_columns
from core.formats.sentences import CutAway, cut_away, kept_otherwise, too_few, unsure_split, were_cut
from tests.core.formats.test_formats import parquet_of
from tests.core.formats.test_shapes import rows_of, said, user


def remarks(
    folder: Path, rows: list[dict[str, Any]], mapping: dict[str, str] | None = None
) -> dict[str, str]:
    """{field: level and sentence}"""
    parquet, columns = parquet_of(folder, rows)
    format_, tally = mapped(columns, mapping), RowTally()
    list(read_examples(parquet, format_, mapping, tally=tally))
    every = [*tally.remarks(), *unread_columns(parquet, format_, mapping)]
    return {one.field: f"{one.level}: {one.message}" for one in every}


TALK = {"messages": [user("q"), said("a")]}
CASES: dict[str, tuple[list[dict[str, Any]], dict[str, str]]] = {
    "a name": (
        [{"messages": [user("q") | {"name": "ann"}, said("a")]}, TALK],
        {"messages[].name": "warn: name in messages is not learned from, in 1 of 2 rows: a model is told"},
    ),
    "reasoning": (
        [{"messages": [user("q"), said("a", reasoning_content="hm")]}] * 2,
        {
            "messages[].reasoning_content": "warn: reasoning_content in messages is not learned from, "
            "in 2 of 2 rows: to teach it, write it into the content"
        },
    ),
    "an unknown key": (
        [{"messages": [user("q"), said("a", mood="glad")]}],
        {"messages[].mood": "warn: mood in messages is not learned from, in 1 of 1 row."},
    ),
    "tools": (
        [{**TALK, "tools": [{"type": "function"}]}, {**TALK, "tools": []}, {**TALK, "tools": None}],
        {"tools": "warn: The column tools is not learned from, in 1 of 3 rows: tools cannot be trained yet."},
    ),
    "tools of a preference": (
        [
            {
                "input": {"messages": [user("q")], "tools": [{"type": "function"}]},
                "preferred_output": [said("a")],
                "non_preferred_output": [said("b")],
            }
        ],
        {"input.tools": "warn: tools in input is not learned from, in 1 of 1 row: tools cannot be "},
    ),
    "KTO": (
        [{"prompt": "q", "completion": "a", "label": label} for label in (True, False, False, None)],
        {
            "label": "warn: The column label is not learned from (KTO needs a method that is not offered): "
            "2 of 4 rows are labelled false, and they would be learned as good answers."
        },
    ),
    "KTO of good answers": (
        [{"prompt": "q", "completion": "a", "label": True}],
        {"label": "info: The column label is not learned from (KTO needs a method that is not offered)."},
    ),
    "KTO in ones and zeros": (
        [{"prompt": "q", "completion": "a", "label": label} for label in (1, 0, 1, None)],
        {
            "label": "warn: The column label is not learned from (KTO needs a method that is not offered): "
            "1 of 4 rows is labelled 0, and it would be learned as a good answer."
        },
    ),
    "KTO of LLaMA-Factory": (
        [{**TALK, "kto_tag": label} for label in (True, False)],
        {
            "kto_tag": "warn: The column kto_tag is not learned from (KTO needs a method that is not "
            "offered): 1 of 2 rows is labelled false, and it would be learned as a good answer."
        },
    ),
    "classes": (
        [{"prompt": "q", "completion": "a", "label": label} for label in (0, 1, 2)],
        {"label": "info: The column label is not learned from."},
    ),
    "marks of other trainers": (
        [{"messages": [user("q"), said("a", train=False)]}, {"messages": [user("q"), said("a", train=True)]}],
        {
            "messages[].train": "warn: train in messages is not learned from, in 2 of 2 rows: what is not to "
            "be learned needs weight 0."
        },
    ),
    "a refusal beside the content": (
        [{"messages": [user("q"), said("a", refusal="No.")]}],
        {
            "messages[].refusal": "warn: refusal in messages is not learned from, in 1 of 1 row: to teach "
            "it, write it into the content of its message."
        },
    ),
    "the same messages under both names": (
        [
            {
                "messages": [
                    user("q") | {"from": "human", "value": "Q"},
                    said("a", **{"from": "gpt", "value": "A"}),
                ]
            }
        ],
        {
            "messages[].from": "warn: from in messages is not learned from, in 1 of 1 row.",
            "messages[].value": "warn: value in messages is not learned from, in 1 of 1 row.",
        },
    ),
    "the input of a preference": (
        [{"instruction": "i", "input": "x", "chosen": "a", "rejected": "b"}],
        {
            "input": "warn: The column input is not learned from, in 1 of 1 row: write it into instruction, "
            "behind the question."
        },
    ),
    "OpenOrca's system prompt": (
        [{"system_prompt": "s", "question": "q", "response": "a"}],
        {
            "system_prompt": "warn: The column system_prompt is not learned from, in 1 of 1 row: map it as "
            "system to have it stand before the prompt."
        },
    ),
    "pictures": (
        [{**TALK, "images": ["a.png"]}],
        {"images": "warn: The column images is not learned from, in 1 of 1 row: only text can be trained."},
    ),
    "two system prompts": (
        [{"system_prompt": "s", "system": "s", "question": "q", "response": "a"}],
        {"system_prompt": "info: The column system_prompt is not learned from."},
    ),
    "reasoning beside the answer": (
        [{"question": "q", "reasoning": "hm", "answer": "a"}],
        {
            "reasoning": "warn: The column reasoning is not learned from, in 1 of 1 row: to teach it, make "
            "it part of the answer."
        },
    ),
    "a label that is no truth value": (
        [{"prompt": "q", "completion": "a", "label": "sport"}],
        {"label": "info: The column label is not learned from."},
    ),
    "columns that mean something in another format": (
        [{**TALK, "context": "c", "input": "i"}],
        {"context, input": "info: The columns context, input are not learned from."},
    ),
    "a system prompt beside messages": (
        [{**TALK, "system": "s"}, {**TALK, "system": ""}],
        {"system": "warn: The column system is not learned from, in 1 of 2 rows: write it into the messages"},
    ),
    "two contexts": (
        [{"instruction": "i", "input": "x", "context": "c", "output": "o"}],
        {"context": "info: The column context is not learned from."},
    ),
    "other columns": (
        [{"id": 1, "a.b": "x", "prompt": "q", "completion": "a", "empty": None}],
        {"id, a.b": "info: The columns id, a.b are not learned from."},
    ),
    "no weight": (
        [{"messages": [user("q"), said("a", weight=0)]}, TALK, TALK],
        {"weight": "warn: 1 of 3 rows has weight 0 on all its answers: nothing of it is learned."},
    ),
    "both answers are the same": (
        [
            {"prompt": "q", "chosen": "a", "rejected": "a"},
            {"prompt": "q", "chosen": "a", "rejected": "b"},
        ],
        {"answers": "warn: Both answers are the same in 1 of 2 rows: nothing tells them apart."},
    ),
    "nothing": ([TALK, {"messages": [user("q") | {"name": None}, said("a", refusal="")], "x": None}], {}),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_left_out_is_said_with_the_number_of_rows(name: str, tmp_path: Path) -> None:
    rows, expected = CASES[name]
    found = remarks(tmp_path, rows)
    assert found.keys() == expected.keys()
    assert all(found[field].startswith(text) for field, text in expected.items()), found


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("tool_calls", {"messages[].tool_call_id", "tools"}),
        ("names", {"messages[].name"}),
        ("extra_toolsempty", {"parallel_tool_calls"}),
        ("same_pref", {"answers"}),
        ("weight0_all", {"weight"}),
        ("alpaca", set()),
        ("sharegpt", set()),
    ],
)
def test_files_of_other_tools_say_what_is_left_out(name: str, fields: set[str], tmp_path: Path) -> None:
    assert remarks(tmp_path, rows_of(name)).keys() == fields


def test_an_input_that_a_mapping_leaves_out_is_told(tmp_path: Path) -> None:
    mapping = {"prompt": "instruction", "completion": "output"}
    assert remarks(tmp_path, rows_of("alpaca"), mapping) == {
        "input": "warn: The column input is not learned from, in 2 of 5 rows: "
        "map it as input to have it follow the prompt."
    }
    assert remarks(tmp_path, rows_of("alpaca"), {**mapping, "input": "input"}) == {}


def test_of_a_long_column_the_first_values_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unread, "MOST_VALUES", 3)
    rows = [{**TALK, "tools": [{"n": n}] if n != 1 else None} for n in range(9)]
    assert "in 2 of the first 3 rows" in remarks(tmp_path, rows)["tools"]
    mapping = {"prompt": "instruction", "completion": "output"}
    rows = [{"instruction": "i", "output": "o", "system": "s"}] * 2
    assert "map it as system" in remarks(tmp_path, rows, mapping)["system"]


def test_all_pairs_alike_leave_nothing_to_learn(tmp_path: Path) -> None:
    told = remarks(tmp_path, rows_of("same_pref"))["answers"]
    assert told.endswith("in 5 of 5 rows: nothing tells them apart, so there is nothing to learn.")


@pytest.mark.parametrize(
    ("needed", "context", "told"),
    [
        (
            [(20, 24)],
            None,
            "1 row is cut at 16 tokens, before its answer begins, and has nothing to learn. A ",
        ),
        ([(20, 24)], None, "longest row of 24 tokens would hold it whole."),
        ([(20, 24)] * 3, 64, "3 rows are cut at 16 tokens, before their answer begins, and have nothing to "),
        ([(20, 24)] * 3, 64, "A longest row of 24 tokens would hold them whole."),
        ([(20, 24)] * 9 + [(80, 99)], 999, "of 24 tokens would hold most of them whole, of 99 all."),
        ([(70, 90)] * 3, 64, "The base reads 64 tokens at most: shorten the rows, or choose another base."),
        ([(50, 90)] * 3, 64, "A longest row of 50 tokens or more reaches the first answers."),
    ],
)
def test_rows_cut_before_their_answer_say_which_length_would_do(
    needed: list[tuple[int, int]], context: int | None, told: str
) -> None:
    rows = CutAway.of(needed)
    assert rows is not None
    assert told in cut_away(rows, max_length=16, context_length=context)
    assert CutAway.of([]) is None


def test_one_row_is_singular() -> None:
    assert were_cut(1, max_length=64) == "1 row is longer than 64 tokens and was cut."
    assert were_cut(2_000, max_length=64) == "2,000 rows are longer than 64 tokens and were cut."
    assert too_few(1, 2, fewest=2, why=[], kept=1) == (
        "Only 1 of 2 rows is left to learn; at least 2 are needed. 1 row is kept for validation."
    )


@pytest.mark.parametrize(
    ("kept", "asked", "distinct", "told"),
    [
        (0, 4, 1, "No row could be kept for validation: all 20 rows are the same, and rows that are equal "),
        (1, 4, 5, "1 row is kept for validation instead of 4: of 20 rows only 5 are different"),
        (16, 4, 2, "16 rows are kept for validation instead of 4"),
        (4, 4, 10, None),
        (0, 0, 1, None),
        (0, 4, 20, None),
    ],
)
def test_equal_rows_explain_another_number_for_validation(
    kept: int, asked: int, distinct: int, told: str | None
) -> None:
    found = kept_otherwise(kept, asked=asked, num_rows=20, num_distinct=distinct)
    assert (found or "").startswith(told) if told else found is None


def test_a_split_of_equal_rows_is_unsure_before_the_start() -> None:
    assert unsure_split(asked=4, num_rows=20, num_distinct=19) is None
    assert unsure_split(asked=0, num_rows=20, num_distinct=1) is None
    assert "more or fewer than 4" in (unsure_split(asked=4, num_rows=20, num_distinct=5) or "")
    assert "No row could be kept" in (unsure_split(asked=4, num_rows=20, num_distinct=1) or "")
