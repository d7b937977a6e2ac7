"""Every training format: what it recognises, what it makes of a row, and what it says about a wrong one."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from core.errors import Detail, ValidationError
from core.formats import (
    FORMATS,
    ChatExample,
    PreferenceExample,
    Text,
    check_format,
    detect,
    mapped,
    read_examples,
)

USER, ANSWER = {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}
GOOD: dict[str, dict[str, Any]] = {
    "chat": {"messages": [USER, ANSWER]},
    "preference": {
        "input": {"messages": [USER]},
        "preferred_output": [ANSWER],
        "non_preferred_output": [{**ANSWER, "content": "5"}],
    },
    "completion": {"prompt": "2+2?", "completion": "4"},
    "text": {"text": "Two and two are four."},
}
EMPTY: dict[str, dict[str, Any]] = {
    "chat": {"messages": []},
    "preference": {"input": {"messages": []}, "preferred_output": [ANSWER], "non_preferred_output": [ANSWER]},
    "completion": {"prompt": " ", "completion": "4"},
    "text": {"text": None},
}


def parquet_of(folder: Path, rows: list[dict[str, Any]]) -> tuple[Path, list[dict[str, str]]]:
    source, target = folder / "rows.jsonl", folder / "rows.parquet"
    source.write_text("\n".join(json.dumps(row) for row in rows))
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT * FROM read_json('{source}')) TO '{target}' (FORMAT parquet)")
        described = connection.execute(f"DESCRIBE SELECT * FROM '{target}'").fetchall()
    return target, [{"name": name, "type": type_} for name, type_, *_ in described]


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "table"])
def test_every_format_keeps_the_contract(name: str, tmp_path: Path) -> None:
    parquet, columns = parquet_of(tmp_path, [GOOD[name], EMPTY[name], GOOD[name]])
    format_ = FORMATS[name]
    assert detect(columns) == name
    assert format_.help.endswith(".")
    assert all(role.help.endswith(".") for role in format_.roles)
    lines = list(read_examples(parquet, format_))
    assert [line for line, _ in lines] == [1, 2, 3]
    assert [isinstance(example, list) for _, example in lines] == [False, True, False]
    assert all(isinstance(detail, Detail) for detail in lines[1][1])  # type: ignore[union-attr]


def test_a_table_is_what_is_left() -> None:
    assert detect([{"name": "Question", "type": "VARCHAR"}, {"name": "said", "type": "VARCHAR"}]) == "table"
    assert detect([{"name": "messages", "type": "BIGINT"}]) == "table"
    assert detect([{"name": "text", "type": "DOUBLE"}]) == "table"
    assert list(FORMATS)[-1] == "table"


def test_a_question_and_answer_become_a_conversation(tmp_path: Path) -> None:
    parquet, columns = parquet_of(tmp_path, [{"question": 17, "answer": "prime", "hint": "be short"}])
    mapping = {"prompt": "question", "completion": "answer", "system": "hint"}
    format_ = mapped(columns, mapping)
    assert format_.name == "completion"
    [(line, example)] = read_examples(parquet, format_, mapping)
    assert line == 1
    assert example == ChatExample(
        [
            {"role": "system", "content": "be short"},
            {"role": "user", "content": "17"},
            {"role": "assistant", "content": "prime"},
        ]
    )


def test_an_empty_system_prompt_is_left_out() -> None:
    row = {"prompt": "a", "completion": "b", "system": None}
    assert FORMATS["completion"].to_example(row) == ChatExample(
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    )


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"prompt": "qestion", "completion": "said"}, "no column 'qestion'"),
        ({"prompt": "question"}, "prompt + completion"),
        ({"prompt": "question", "completion": "question"}, "two roles"),
        ({"role": "question"}, "map the columns"),
        ({}, "the columns are question, said"),
    ],
)
def test_a_mapping_that_does_not_fit_says_why(mapping: dict[str, str], message: str) -> None:
    columns = [{"name": "question", "type": "VARCHAR"}, {"name": "said", "type": "VARCHAR"}]
    with pytest.raises(ValidationError) as caught:
        mapped(columns, mapping)
    assert message in caught.value.message


def test_other_mappings_make_text_and_chat_and_preference() -> None:
    columns = [{"name": name, "type": "VARCHAR"} for name in "abc"]
    assert mapped(columns, {"text": "a"}).name == "text"
    assert mapped(columns, {"messages": "b"}).name == "chat"
    assert (
        mapped(columns, {"input": "a", "preferred_output": "b", "non_preferred_output": "c"}).name
        == "preference"
    )


@pytest.mark.parametrize(
    ("messages", "field", "message"),
    [
        (None, "messages", "is missing"),
        ("hello", "messages", "must be a list"),
        ([USER], "messages", "no message of the assistant"),
        ([USER, "4"], "messages[1]", "must be an object"),
        ([USER, {"role": "asistant", "content": "4"}], "messages[1].role", "'asistant' is not one of"),
        ([USER, {"content": "4"}], "messages[1].role", "is missing"),
        ([USER, {"role": "assistant", "content": None}], "messages[1].content", "is missing"),
        ([USER, {"role": "assistant", "content": "  "}], "messages[1].content", "is empty"),
        ([USER, {"role": "assistant", "content": 4}], "messages[1].content", "must be text"),
        (
            [USER, {"role": "assistant", "content": [{"type": "image_url"}]}],
            "messages[1].content",
            "has a part of type 'image_url': other parts than text cannot be trained",
        ),
        (
            [USER, {"role": "assistant", "content": ["4"]}],
            "messages[1].content",
            'a list of parts such as {"type": "text", "text": "…"}',
        ),
        (
            [USER, {"role": "assistant", "content": [{"text": "4"}]}],
            "messages[1].content",
            'a list of parts such as {"type": "text", "text": "…"}',
        ),
        (
            [USER, {"role": "assistant", "content": None, "refusal": "No."}],
            "messages[1].content",
            "is missing: write the refusal into it",
        ),
        (
            [USER, {"role": "assistant", "tool_calls": [{"id": "1"}]}],
            "messages[1].tool_calls",
            "cannot be trained",
        ),
        ([USER, {**ANSWER, "weight": 2}], "messages[1].weight", "0 or 1"),
    ],
)
def test_a_wrong_conversation_names_the_place(messages: Any, field: str, message: str) -> None:
    [detail] = FORMATS["chat"].check_row({"messages": messages})
    assert detail.field == field
    assert message in detail.message


def test_conversations_come_as_json_text_with_parts_and_weights() -> None:
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "be "}, {"type": "text", "text": "kind"}]},
        USER,
        {**ANSWER, "weight": 0, "name": None},
        ANSWER,
    ]
    row = {"messages": json.dumps(messages)}
    assert FORMATS["chat"].check_row(row) == []
    assert FORMATS["chat"].to_example(row) == ChatExample(
        [{"role": "system", "content": "be kind"}, USER, {**ANSWER, "weight": 0}, ANSWER]
    )


def test_preferences_may_be_plain_text() -> None:
    row = {"input": "2+2?", "preferred_output": "4", "non_preferred_output": "5"}
    assert FORMATS["preference"].check_row(row) == []
    assert FORMATS["preference"].to_example(row) == PreferenceExample(
        [USER], [ANSWER], [{"role": "assistant", "content": "5"}]
    )


def test_a_preference_without_weight_is_refused() -> None:
    """Its answers are compared: were one of them not learned, nothing of the row would be."""
    weightless = [{**ANSWER, "weight": 0}]
    row = {"input": "2+2?", "preferred_output": weightless, "non_preferred_output": [ANSWER]}
    (detail,) = FORMATS["preference"].check_row(row)
    assert (detail.field, detail.message[:27]) == ("preferred_output", "has weight 0 on its answer,")
    row["preferred_output"] = [*weightless, ANSWER]
    assert FORMATS["preference"].check_row(row) == []


def test_a_wrong_preference_names_the_place() -> None:
    row = {
        "input": {"messages": [{"role": "user"}]},
        "preferred_output": [USER],
        "non_preferred_output": None,
    }
    fields = [detail.field for detail in FORMATS["preference"].check_row(row)]
    assert fields == ["input.messages[0].content", "preferred_output[0].role", "non_preferred_output"]


def test_an_empty_cell_is_named_by_the_users_column() -> None:
    mapping = {"prompt": "question", "completion": "answer"}
    assert FORMATS["completion"].check_row({"question": None, "answer": "x"}, mapping) == [
        Detail("question", "is empty")
    ]


def test_columns_with_odd_names_are_read(tmp_path: Path) -> None:
    parquet, columns = parquet_of(tmp_path, [{"a.b": "x", 'say "hi"': "y", "a": "z"}])
    mapping = {"text": "a.b"}
    assert [e for _, e in read_examples(parquet, mapped(columns, mapping), mapping)] == [Text("x")]


def test_a_stated_format_must_be_there() -> None:
    columns = [{"name": "question", "type": "VARCHAR"}]
    check_format("table", columns)
    for name, message in (
        ("chat", "chat needs messages, but the columns are question"),
        ("csv", "must be auto or one of"),
    ):
        with pytest.raises(ValidationError, match=message):
            check_format(name, columns)
