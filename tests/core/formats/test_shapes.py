"""Row shapes that people know by name: which columns they have, and what is learned of their rows.

The files in ``rows`` are small data sets as other tools write them.
"""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.formats import FORMATS, ChatExample, PreferenceExample, detect, mapped, read_examples
from core.formats.layouts import choose
from tests.core.formats.test_formats import parquet_of

ROWS = Path(__file__).parent / "rows"
Messages = list[dict[str, Any]]


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def said(content: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content} | more


def system(content: str) -> dict[str, Any]:
    return {"role": "system", "content": content}


def read(folder: Path, rows: list[dict[str, Any]], mapping: dict[str, str] | None = None) -> list[Any]:
    """What is made of each row: an example, or what is wrong as "field message" in lines."""
    parquet, columns = parquet_of(folder, rows)
    examples = read_examples(parquet, mapped(columns, mapping), mapping)
    return [
        "\n".join(f"{d.field} {d.message}" for d in example) if isinstance(example, list) else example
        for _, example in examples
    ]


def rows_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ROWS / f"{name}.jsonl").read_text().splitlines()]


PAIR = PreferenceExample([user("q1")], [said("good 1")], [said("bad 1")])
FILES: dict[str, tuple[str, Any]] = {
    "prompt_completion_msgs": ("completion", ChatExample([user("q1"), said("a1")])),
    "sharegpt": ("chat", ChatExample([system("be brief"), user("q1"), said("a1")])),
    "alpaca": ("completion", ChatExample([user("Translate 1\n\nword"), said("out 1")])),
    "qresp": ("completion", ChatExample([user("q1"), said("a1")])),
    "dpo_strings": ("preference", PAIR),
    "dpo_fullconv": ("preference", PAIR),
    "dpo_prompt_msgs": ("preference", PAIR),
    "messages_string": ("chat", ChatExample([user("q1"), said("a1")])),
}


@pytest.mark.parametrize("name", FILES)
def test_a_known_shape_is_read_without_a_mapping(name: str, tmp_path: Path) -> None:
    format_name, second = FILES[name]
    rows = rows_of(name)
    assert detect(parquet_of(tmp_path, rows)[1]) == format_name
    assert read(tmp_path, rows)[1] == second


MAPPINGS = {
    "prompt_completion_msgs": {"prompt": "prompt", "completion": "completion"},
    "sharegpt": {"messages": "conversations"},
    "alpaca": {"prompt": "instruction", "input": "input", "completion": "output"},
    "qresp": {"prompt": "question", "completion": "response"},
    "dpo_strings": {"input": "prompt", "preferred_output": "chosen", "non_preferred_output": "rejected"},
    "dpo_fullconv": {"preferred_output": "chosen", "non_preferred_output": "rejected"},
}


@pytest.mark.parametrize("name", MAPPINGS)
def test_a_known_shape_is_read_alike_through_a_mapping(name: str, tmp_path: Path) -> None:
    assert read(tmp_path, rows_of(name), MAPPINGS[name]) == read(tmp_path, rows_of(name))


def test_an_empty_input_leaves_nothing_behind_the_prompt(tmp_path: Path) -> None:
    for empty in ("", "  ", None):
        row = {"instruction": "Say hi", "input": empty, "output": "hi"}
        assert read(tmp_path, [{**row, "input": "x"}, row])[1] == ChatExample([user("Say hi"), said("hi")])


@pytest.mark.parametrize("keeps_json", [False, True])
def test_a_list_without_messages_is_no_text(keeps_json: bool, tmp_path: Path) -> None:
    asked, answer = [user("q")], [said("a", **({"weight": 1} if keeps_json else {}))]
    rows = [
        {"prompt": [], "completion": answer},
        {"prompt": asked, "completion": []},
        {"prompt": asked, "completion": answer},
    ]
    assert read(tmp_path, rows) == [
        "prompt has no messages",
        "completion has no messages",
        ChatExample([user("q"), said("a")]),
    ]


PYTHON = "[{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': \"it's\"}]"
PRINTED = "{} holds messages as Python prints them, not as JSON: save the table as JSON lines or Parquet"


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"messages": PYTHON}, ["messages"]),
        ({"prompt": PYTHON, "completion": PYTHON}, ["prompt", "completion"]),
        ({"prompt": "q", "chosen": PYTHON, "rejected": PYTHON}, ["chosen", "rejected"]),
        ({"text": PYTHON}, ["text"]),
    ],
)
def test_messages_as_python_prints_them_are_no_text(
    row: dict[str, Any], columns: list[str], tmp_path: Path
) -> None:
    """So pandas writes them into a CSV file."""
    assert read(tmp_path, [row]) == ["\n".join(PRINTED.format(column) for column in columns)]


def test_one_message_alone_is_read_alike_as_an_object_and_as_json(tmp_path: Path) -> None:
    """Where objects differ in their keys, a column keeps them as JSON."""
    better, worse = {"from": "gpt", "value": "a"}, {"from": "gpt", "value": "b"}
    rows = [{"conversations": [{"from": "human", "value": "q"}], "chosen": better, "rejected": worse}]
    expected = [PreferenceExample([user("q")], [said("a")], [said("b")])]
    assert read(tmp_path, rows) == expected
    as_json = [{**rows[0], "chosen": json.dumps(better), "rejected": json.dumps(worse)}]
    assert read(tmp_path, as_json) == expected
    rows = [{"prompt": json.dumps({"messages": [user("q")]}), "completion": json.dumps(said("a"))}]
    assert read(tmp_path, rows) == [ChatExample([user("q"), said("a")])]


@pytest.mark.parametrize(
    "text", ['{"role": "admin", "name": "Mira"}', "{'a': 1}", '{"messages": 3}', "['role']"]
)
def test_other_structures_in_a_text_are_the_text(text: str, tmp_path: Path) -> None:
    rows = [{"prompt": "q", "completion": text}]
    assert read(tmp_path, rows) == [ChatExample([user("q"), said(text)])]


def test_an_empty_list_is_an_answer_where_answers_are_structures(tmp_path: Path) -> None:
    rows = [{"text": "q", "found": []}, {"text": "q", "found": [{"name": "Mira"}]}]
    found = read(tmp_path, rows, {"prompt": "text", "completion": "found"})
    assert [example.messages[1]["content"] for example in found] == ["[]", '[{"name": "Mira"}]']


def test_truth_values_are_learned_as_json_writes_them(tmp_path: Path) -> None:
    rows = [{"prompt": "2 > 1?", "completion": True}, {"prompt": "1 > 2?", "completion": False}]
    assert [example.messages[1]["content"] for example in read(tmp_path, rows)] == ["true", "false"]


@pytest.mark.parametrize("answered", ["answer", "response"])
@pytest.mark.parametrize("asked", ["question", "query", "prompt", "instruction"])
def test_pairs_that_are_known_need_no_mapping(asked: str, answered: str, tmp_path: Path) -> None:
    row = {asked: "q", answered: "a"}
    if (asked, answered) == ("instruction", "answer"):
        assert detect(parquet_of(tmp_path, [row])[1]) == "table"
    else:
        assert read(tmp_path, [row]) == [ChatExample([user("q"), said("a")])]


def test_a_context_follows_the_question_and_a_system_prompt_stands_before(tmp_path: Path) -> None:
    row = {"question": "Who?", "context": "Mira came.", "answer": "Mira", "system": "Be brief."}
    assert read(tmp_path, [row]) == [
        ChatExample([system("Be brief."), user("Who?\n\nMira came."), said("Mira")])
    ]


@pytest.mark.parametrize(
    "columns",
    [
        {"question": "VARCHAR", "answer": "VARCHAR", "response": "VARCHAR"},  # which of the two?
        {"question": "BIGINT", "answer": "BIGINT"},  # a survey
        {"input": "DOUBLE", "output": "DOUBLE"},  # measured
        {"query": "VARCHAR", "response": "BIGINT"},  # a log of a server
        {"Question": "VARCHAR", "Answer": "VARCHAR"},  # guessed, and asked for
        {"question": "VARCHAR", "answer": 'STRUCT("text" VARCHAR[])'},
        {"conversations": "VARCHAR"},
        {"conversations": "BIGINT[]"},
        {"conversation": 'STRUCT("speaker" VARCHAR, "line" VARCHAR)[]'},
        {"chosen": "VARCHAR", "rejected": "VARCHAR"},  # no prompt
        {"prompt": "BIGINT[]", "completion": "VARCHAR"},
    ],
)
def test_columns_that_may_mean_something_else_stay_a_table(columns: dict[str, str]) -> None:
    assert detect([{"name": name, "type": type_} for name, type_ in columns.items()]) == "table"


@pytest.mark.parametrize(
    ("names", "format_name", "used"),
    [
        (["instruction", "input", "output", "text"], "completion", {"instruction", "input", "output"}),
        (["prompt", "completion", "question", "answer"], "completion", {"prompt", "completion"}),
        (["instruction", "context", "response"], "completion", {"instruction", "context", "response"}),
        (["messages", "prompt", "chosen", "rejected"], "preference", {"prompt", "chosen", "rejected"}),
        (["messages", "question", "answer"], "chat", {"messages"}),
    ],
)
def test_of_several_shapes_the_one_that_says_most_is_taken(
    names: list[str], format_name: str, used: set[str]
) -> None:
    types = dict.fromkeys(names, "VARCHAR")
    assert detect([{"name": name, "type": type_} for name, type_ in types.items()]) == format_name
    found = choose(FORMATS[format_name].layouts, types)
    assert found is not None
    assert set(found[1].values()) == used


ASKED, ANSWERED = [user("q")], [said("a")]


@pytest.mark.parametrize(
    ("prompt", "completion", "learned"),
    [
        (ASKED, ANSWERED, [user("q"), said("a")]),
        ("q", ANSWERED, [user("q"), said("a")]),
        (ASKED, "a", [user("q"), said("a")]),
        (json.dumps(ASKED), json.dumps(ANSWERED), [user("q"), said("a")]),
        ([{"from": "human", "value": "q"}], [{"from": "gpt", "value": "a"}], [user("q"), said("a")]),
        ([system("s"), *ASKED], ANSWERED, [system("s"), user("q"), said("a")]),
        # only the completion's answers are learned
        ([user("q"), said("b"), user("r")], ANSWERED, [user("q"), said("b", weight=0), user("r"), said("a")]),
        (ASKED, [said("a"), user("r"), said("c")], [user("q"), said("a"), user("r"), said("c")]),
        # an answer may be JSON, of whatever keys
        ("q", {"role": "manager", "name": "Ann"}, [user("q"), said('{"role": "manager", "name": "Ann"}')]),
        ("q", '[{"role": "manager"}]', [user("q"), said('[{"role": "manager"}]')]),
        ("[1, 2]", '{"a": 1}', [user("[1, 2]"), said('{"a": 1}')]),
    ],
)
def test_prompt_and_completion_may_be_messages_each(prompt: Any, completion: Any, learned: Messages) -> None:
    row = {"prompt": prompt, "completion": completion}
    assert FORMATS["completion"].check_row(row) == []
    assert FORMATS["completion"].to_example(row) == ChatExample(learned)


WRONG_PAIRS = {
    "no answer": ({"prompt": ASKED, "completion": [user("q")]}, "completion has no message of the assistant"),
    "no content": ({"prompt": [{"role": "user"}], "completion": "a"}, "prompt[0].content is missing"),
    "a tool": (
        {"prompt": ASKED, "completion": [{"role": "tool", "content": "4"}, said("a")]},
        "completion[0].role is 'tool': tool calls cannot be trained yet",
    ),
    "an unknown role": (
        {"prompt": [{"role": "bot", "content": "hi"}, user("q")], "completion": "a"},
        "prompt[0].role 'bot' is not one of system, user, assistant",
    ),
    "an input behind messages": (
        {"prompt": ASKED, "completion": "a", "about": "x"},
        "about cannot follow prompt, which is a list of messages",
    ),
    "two system messages": (
        {"prompt": [system("s"), *ASKED], "completion": "a", "system": "t"},
        "system is given beside a system message in prompt",
    ),
    "empty": ({"prompt": ASKED, "completion": ""}, "completion is empty"),
}


@pytest.mark.parametrize("name", WRONG_PAIRS)
def test_a_wrong_prompt_or_completion_names_the_place(name: str) -> None:
    row, message = WRONG_PAIRS[name]
    mapping = {"prompt": "prompt", "completion": "completion", "input": "about", "system": "system"}
    (detail,) = FORMATS["completion"].check_row(row, mapping)
    assert f"{detail.field} {detail.message}".startswith(message)


@pytest.mark.parametrize(
    ("speaker", "message"),
    [
        ("robot", "conversations[0].from 'robot' is not one of system, human, user, gpt, assistant"),
        ("observation", "conversations[0].from is 'observation': tool calls cannot be trained yet"),
        (None, "conversations[0].from is missing"),
        (4, "conversations[0].from '4' is not one of"),
    ],
)
def test_an_unknown_speaker_is_refused_by_line(speaker: Any, message: str) -> None:
    turns = [{"from": speaker, "value": "hi"}, {"from": "gpt", "value": "a"}]
    details = FORMATS["chat"].check_row({"conversations": turns}, {"messages": "conversations"})
    assert f"{details[0].field} {details[0].message}".startswith(message)


@pytest.mark.parametrize("speaker", ["user", "human"])
def test_sharegpt_names_speakers_in_two_ways(speaker: str) -> None:
    turns = [{"from": speaker, "value": "q"}, {"from": "assistant", "value": "a", "weight": 0}]
    row = {"messages": turns}
    assert FORMATS["chat"].check_row(row) == []
    assert FORMATS["chat"].to_example(row) == ChatExample([user("q"), said("a", weight=0)])


CHOSEN = {"preferred_output": "chosen", "non_preferred_output": "rejected"}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (  # several turns before
            {
                "chosen": [user("q"), said("x"), user("r"), said("good")],
                "rejected": [user("q"), said("x"), user("r"), said("bad")],
            },
            PreferenceExample([user("q"), said("x"), user("r")], [said("good")], [said("bad")]),
        ),
        (  # the same answer twice
            {"chosen": [user("q"), said("a")], "rejected": [user("q"), said("a")]},
            PreferenceExample([user("q")], [said("a")], [said("a")]),
        ),
        (  # the prompt is given, too, as UltraFeedback has it
            {"prompt": "q", "chosen": [user("q"), said("good")], "rejected": [user("q"), said("bad")]},
            PreferenceExample([user("q")], [said("good")], [said("bad")]),
        ),
        (  # a system message stands before it in the answers only
            {
                "prompt": "q",
                "chosen": [system("s"), user("q"), said("good")],
                "rejected": [system("s"), user("q"), said("bad")],
            },
            PreferenceExample([system("s"), user("q")], [said("good")], [said("bad")]),
        ),
        (  # one message alone
            {"prompt": user("q"), "chosen": said("good"), "rejected": said("bad")},
            PreferenceExample([user("q")], [said("good")], [said("bad")]),
        ),
        (
            {"prompt": [user("q")], "chosen": "good", "rejected": [said("bad")]},
            PreferenceExample([user("q")], [said("good")], [said("bad")]),
        ),
    ],
)
def test_the_common_beginning_of_both_answers_is_the_prompt(row: Any, expected: PreferenceExample) -> None:
    mapping = CHOSEN | ({"input": "prompt"} if "prompt" in row else {})
    assert FORMATS["preference"].check_row(row, mapping) == []
    assert FORMATS["preference"].to_example(row, mapping) == expected


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"chosen": [user("q"), said("a")], "rejected": [user("r"), said("b")]},
            "rejected[0] differs from chosen[0]: both must begin with the same messages",
        ),
        (
            {
                "chosen": [user("q"), said("x"), user("r"), said("a")],
                "rejected": [user("q"), said("y"), user("r"), said("b")],
            },
            "rejected[1] differs from chosen[1]",
        ),
        ({"chosen": [user("q"), said("a")], "rejected": [said("b")]}, "rejected[0] differs from chosen[0]"),
        (
            {"chosen": [said("a")], "rejected": [said("b")]},
            "chosen holds only an answer: name the column of",
        ),
        ({"chosen": "a", "rejected": "b"}, "chosen holds only an answer: name the column of the prompt"),
        (
            {"prompt": "q", "chosen": [user("other"), said("a")], "rejected": [user("q"), said("b")]},
            "chosen begins with another conversation than prompt",
        ),
        ({"prompt": None, "chosen": "a", "rejected": "b"}, "prompt is missing"),
        ({"chosen": [user("q")], "rejected": [user("q"), said("b")]}, "chosen[0].role must be assistant"),
    ],
)
def test_prompts_that_differ_are_refused_with_what_to_do(row: dict[str, Any], message: str) -> None:
    mapping = CHOSEN | ({"input": "prompt"} if "prompt" in row else {})
    details = FORMATS["preference"].check_row(row, mapping)
    assert f"{details[0].field} {details[0].message}".startswith(message)


@pytest.mark.parametrize("text", ["[1, 2]", '{"a": 1}', "4", "null", '[{"a": 1}]', '"q"'])
def test_a_text_that_happens_to_be_json_is_a_text(text: str) -> None:
    row = {"input": text, "preferred_output": text, "non_preferred_output": text}
    assert FORMATS["preference"].check_row(row) == []
    assert FORMATS["preference"].to_example(row) == PreferenceExample(
        [user(text)], [said(text)], [said(text)]
    )
    pair = {"prompt": text, "completion": text}
    assert FORMATS["completion"].check_row(pair) == []
    assert FORMATS["completion"].to_example(pair) == ChatExample([user(text), said(text)])


@pytest.mark.parametrize("held", [ANSWERED, ANSWERED[0], json.dumps(ANSWERED), {"messages": ANSWERED}])
def test_messages_are_never_learned_as_their_json(held: Any) -> None:
    (detail,) = FORMATS["text"].check_row({"body": held}, {"text": "body"})
    assert detail.message.startswith("holds messages: map it as messages")
    assert FORMATS["text"].check_row({"text": '[{"a": 1}]'}) == []


def test_messages_as_json_are_opened_wherever_they_stand() -> None:
    row = {
        "input": json.dumps({"messages": ASKED, "tools": ["t"]}),
        "preferred_output": json.dumps(ANSWERED),
        "non_preferred_output": json.dumps([said("b", name="bot")]),
    }
    assert FORMATS["preference"].check_row(row) == []
    assert FORMATS["preference"].to_example(row) == PreferenceExample(ASKED, ANSWERED, [said("b")])
    assert FORMATS["preference"].left_out(row) == {"input.tools", "non_preferred_output[].name"}
    wrong = {**row, "input": json.dumps({"messages": [{"role": "user"}]})}
    assert FORMATS["preference"].check_row(wrong)[0].field == "input.messages[0].content"


def test_texts_among_lists_of_messages_are_read_without_their_quotes(tmp_path: Path) -> None:
    """A column of both is kept as JSON, and so a text in it in quotes."""
    rows = [
        {"prompt": 'say "q"', "completion": ANSWERED},
        {"prompt": ASKED, "completion": "a"},
        {"prompt": None, "completion": "a"},
    ]
    assert parquet_of(tmp_path, rows)[1][0]["type"] == "JSON"
    assert read(tmp_path, rows) == [
        ChatExample([user('say "q"'), said("a")]),
        ChatExample([user("q"), said("a")]),
        "prompt is empty",
    ]


def test_messages_of_several_keys_are_found_in_a_column_of_json(tmp_path: Path) -> None:
    """As an upload keeps them, whose objects do not all have the same keys."""
    rows = [
        {"chosen": [user("q"), said("a", name="bot")], "rejected": [user("q"), said("b")]},
        {"chosen": [user("q"), said("a")], "rejected": [user("q"), said("b")]},
    ]
    parquet, _ = parquet_of(tmp_path, rows)
    kept = tmp_path / "kept.parquet"
    duckdb.sql(f"SELECT to_json(chosen) AS chosen, rejected FROM '{parquet}'").write_parquet(str(kept))
    format_ = mapped([{"name": "chosen", "type": "JSON"}, {"name": "rejected", "type": "JSON"}], None)
    assert [example for _, example in read_examples(kept, format_)] == [
        PreferenceExample([user("q")], [said("a")], [said("b")])
    ] * 2


def test_what_a_version_was_made_as_holds_when_more_is_recognised_later() -> None:
    columns = [{"name": name, "type": "VARCHAR"} for name in ("instruction", "output", "text")]
    assert mapped(columns, None).name == "completion"
    assert mapped(columns, None, "text").name == "text"
    assert mapped(columns, None, "table").name == "completion"


KEYS = st.sampled_from(
    ["role", "content", "from", "value", "weight", "messages", "name", "tool_calls", "text", "type"]
)
WORDS = st.sampled_from(
    ["user", "assistant", "human", "gpt", "system", "tool", "text", "", " ", "q", "[", '[{"role": 1}]']
)
CELLS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.fixed_dictionaries({"role": WORDS, "content": inner})
        | inner.map(json.dumps)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "table"])
@settings(deadline=None)
@given(data=st.data())
def test_whatever_stands_in_a_cell_is_an_example_or_is_named(name: str, data: st.DataObject) -> None:
    format_ = FORMATS[name]
    row = {role.name: data.draw(CELLS, role.name) for role in format_.roles}
    mapping = {role.name: role.name for role in format_.roles}
    details = format_.check_row(row, mapping)
    assert all(detail.field.split("[")[0].split(".")[0] in row and detail.message for detail in details)
    assert all(isinstance(field, str) for field in format_.left_out(row, mapping))
    if details or name == "text":
        return
    example = format_.to_example(row, mapping)
    answers = [] if isinstance(example, ChatExample) else ["preferred", "non_preferred"]
    for part in ["messages", *answers]:
        messages = getattr(example, part)
        assert messages
        assert all(isinstance(m["content"], str) and m["content"].strip() for m in messages)
