"""The Training view tab: format, mapping, verdict, errors
that open their row, examples; and the way into the form."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core import datasets
from core.datasets import Dataset
from core.people.users import User
from tests.ui.conftest import Visit, jsonl, text_of

Make = Callable[..., Dataset]
TALK = {
    "messages": [
        {"role": "user", "content": "How many?"},
        {"role": "assistant", "content": "Four strings in all."},
    ]
}
STRANGE = {"messages": [{"role": "robot", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}


def open_view(visit: Visit, user: User, made: Dataset, **query: str) -> AppTest:
    app = visit(user, "dataset", id=made.id, view="Training view", **query)
    assert not app.exception
    return app


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def test_a_recognised_format_is_said_and_drawn(visit: Visit, ada: User, dataset_of: Make) -> None:
    app = open_view(visit, ada, dataset_of(ada, "talks", jsonl(*[TALK] * 7)))
    assert app.get_by_key("training_as").value == "chat"
    assert "Trains as conversations" in text_of(app)
    assert metrics(app) == {
        "Examples": "7",
        "Cannot be learned": "0",
        "Empty rows": "none",
        "Very short answers": "none",
    }
    assert [message.name for message in app.chat_message][:2] == ["user", "assistant"]
    assert len(app.chat_message) == 10  # five rows
    app.get_by_key("training_page").set_value(2).run()
    assert len(app.chat_message) == 4


def test_errors_name_row_and_field_and_open_the_row(visit: Visit, ada: User, dataset_of: Make) -> None:
    app = open_view(visit, ada, dataset_of(ada, "talks", jsonl(TALK, STRANGE, TALK)))
    text = text_of(app)
    assert "1 row cannot be learned" in text
    assert "`messages[0].role`" in text
    assert "is not one of system, user, assistant" in text
    app.button(key="training_error_row_0").click().run()
    assert not app.exception
    assert app.query_params["row"] in ("2", ["2"])
    assert app.session_state["view"] == "Rows"


def test_a_table_is_mapped_with_a_preview_and_the_mapping_goes_along(
    visit: Visit, ada: User, dataset_of: Make
) -> None:
    rows = [
        {"id": n, "Question": f"How many is {n}?", "answer": "" if n == 3 else "Just so many as there are."}
        for n in range(8)
    ]
    app = open_view(visit, ada, dataset_of(ada, "faq", jsonl(*rows)))
    assert app.selectbox(key="training_completion_prompt").value == "Question"
    assert metrics(app)["Examples"] == "7"
    assert "row 4" in text_of(app).lower()
    app.selectbox(key="training_completion_completion").select("Question").run()
    assert "One column cannot play two roles" in app.warning[0].value
    app.get_by_key("training_as").set_value("text").run()
    app.selectbox(key="training_text_text").select("Question").run()
    assert "Trains as plain text" in text_of(app)
    app.button(key="training_fine_tune").click().run()
    assert json.loads(app.query_params["columns"]) == {"text": "Question"}
    assert app.get_by_key("ft_shape").value.name == "text"
    assert app.selectbox(key="ft_column_text").value == "Question"


def test_what_is_chosen_is_in_the_address(visit: Visit, ada: User, dataset_of: Make) -> None:
    made = dataset_of(ada, "notes", jsonl({"a": "one two three", "b": "x"}))
    app = open_view(visit, ada, made, training_as="Plain text", training_text_text="b")
    assert app.selectbox(key="training_text_text").value == "b"
    assert metrics(app)["Very short answers"] == "100%"
    app = open_view(visit, ada, made, training_as="nonsense", training_text_text="gone")
    assert "Choose the column" in text_of(app)


@pytest.mark.parametrize(
    "row", [{"a": None}, {"x": "1", "messages": "no JSON"}, {"prompt": 1, "completion": [1]}]
)
def test_any_table_has_a_training_view(
    visit: Visit, ada: User, dataset_of: Make, row: dict[str, Any]
) -> None:
    made = dataset_of(ada, "odd", jsonl(row, row))
    for shape in ("Conversations", "Questions and answers", "Plain text", "Preferences"):
        open_view(visit, ada, made, training_as=shape)


def test_preferences_are_drawn_side_by_side_and_train(visit: Visit, ada: User, dataset_of: Make) -> None:
    said = [{"role": "assistant", "content": "This one is better."}]
    row = {
        "input": {"messages": TALK["messages"][:1]},
        "preferred_output": said,
        "non_preferred_output": said,
    }
    app = open_view(visit, ada, dataset_of(ada, "pairs", jsonl(row)))
    assert "Trains as preferences" in text_of(app)
    assert not app.button(key="training_fine_tune").disabled
    assert len(app.chat_message) == 3


def test_a_long_version_is_judged_by_its_first_rows_under_a_mapping(ada: User, dataset_of: Make) -> None:
    rows = [{"q": f"question {n}", "a": "" if n == 70 else "an answer of some length"} for n in range(100)]
    made = dataset_of(ada, "long", jsonl(*rows))
    mapping = {"prompt": "q", "completion": "a"}
    first = datasets.view_for_training(ada, made.latest_version_id or "", mapping, sample=50)
    assert (first.num_rows, first.num_checked, first.num_bad, first.ok) == (100, 50, 0, True)
    whole = datasets.view_for_training(ada, made.latest_version_id or "", mapping)
    assert (whole.num_checked, whole.num_bad, whole.num_empty, whole.errors[0]["line"]) == (100, 1, 1, 71)
    page = datasets.training_preview(ada, made.latest_version_id or "", mapping, 3, offset=69)
    assert [line for line, _ in page] == [70, 71, 72]
    assert isinstance(page[1][1], list)


def test_what_is_not_learned_is_told(visit: Visit, ada: User, dataset_of: Make) -> None:
    rows = [{"prompt": "How many?", "completion": "Four strings.", "label": False, "id": n} for n in range(3)]
    text = text_of(open_view(visit, ada, dataset_of(ada, "kto", jsonl(*rows))))
    assert "3 of 3 rows are labelled false, and they would be learned as good answers" in text
    assert "The column id is not learned from." in text


def test_an_input_is_mapped_behind_the_prompt(visit: Visit, ada: User, dataset_of: Make) -> None:
    rows = [{"Instruction": "Translate", "Input": "word", "Output": "Wort"}] * 3
    app = open_view(visit, ada, dataset_of(ada, "alpaca", jsonl(*rows)))
    assert app.selectbox(key="training_completion_input").value == "Input"
    assert [message.markdown[0].value for message in app.chat_message][:2] == ["Translate\n\nword", "Wort"]
    app.selectbox(key="training_completion_input").select_index(0).run()
    assert app.chat_message[0].markdown[0].value == "Translate"
