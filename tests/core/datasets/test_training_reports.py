"""From an upload on a version says which shape its rows have, and what of them is not learned."""

from pathlib import Path
from typing import Any

import pytest

from core import datasets, formats
from core.people.users import User
from tests.core.uploads.shared import in_process, upload

pytestmark = pytest.mark.usefixtures("in_process")
__all__ = ["in_process"]
ROWS = Path(__file__).parents[1] / "formats" / "rows"
# file -> format, whether it trains, fields of what is not learned
FILES: dict[str, tuple[str, bool, list[str]]] = {
    "alpaca": ("completion", True, []),
    "dpo_fullconv": ("preference", True, []),
    "dpo_prompt_msgs": ("preference", True, []),
    "dpo_strings": ("preference", True, []),
    "extra_toolsempty": ("chat", True, ["parallel_tool_calls"]),
    "messages_string": ("chat", True, []),
    "names": ("chat", True, ["messages[].name"]),
    "prompt_completion_msgs": ("completion", True, []),
    "qresp": ("completion", True, []),
    "same_pref": ("preference", True, ["answers"]),
    "sharegpt": ("chat", True, []),
    "tool_calls": ("chat", False, ["messages[].tool_call_id", "tools"]),
    "weight0_all": ("chat", True, ["weight"]),
}


@pytest.mark.parametrize("name", FILES)
def test_an_upload_is_recognised_and_its_report_says_what_is_left_out(ada: User, name: str) -> None:
    format_, ok, fields = FILES[name]
    dataset = upload(ada, f"{name}.jsonl", (ROWS / f"{name}.jsonl").read_bytes())
    report: Any = dataset.training
    assert (dataset.format, report["format"], report["ok"]) == (format_, format_, ok)
    assert [one["field"] for one in report["remarks"]] == fields
    assert all(one["message"].endswith(".") for one in report["remarks"])
    version_id = str(dataset.latest_version_id)
    assert datasets.training_report(ada, version_id).remarks == report["remarks"]
    # what was stored is what is seen when it is read again
    assert datasets.view_for_training(ada, version_id).remarks == report["remarks"]
    names = [column["name"] for column in datasets.version_of(ada, dataset.id).columns]
    own = formats.FORMATS[format_].own_mapping(datasets.version_of(ada, dataset.id).columns)
    assert own is not None
    assert set(own.values()) <= set(names)
    view = datasets.view_for_training(ada, version_id, own)
    assert (view.format, view.remarks) == (format_, report["remarks"])


def test_a_mapping_changes_what_is_left_out(ada: User) -> None:
    dataset = upload(ada, "alpaca.jsonl", (ROWS / "alpaca.jsonl").read_bytes())
    mapping = {"prompt": "instruction", "completion": "output"}
    (remark,) = datasets.training_report(ada, str(dataset.latest_version_id), mapping).remarks
    assert (remark["field"], remark["rows"], remark["level"]) == ("input", 2, "warn")


def test_only_the_first_rows_are_counted_of_a_long_version(ada: User) -> None:
    row = '{"q": [{"role": "user", "content": "x", "name": "ann"}], "a": "y"}\n'
    dataset = upload(ada, "long.jsonl", row * 30)
    mapping = {"prompt": "q", "completion": "a"}
    view = datasets.view_for_training(ada, str(dataset.latest_version_id), mapping, sample=20)
    assert "in 20 of the first 20 rows" in view.remarks[0]["message"]


def test_a_csv_of_questions_and_responses_keeps_its_words_and_trains(ada: User) -> None:
    dataset = upload(ada, "qr.csv", "query,response,id\nhow much?,1.50,1\nwhen?,2024-01-05,2\n")
    assert dataset.format == "completion"
    version_id = str(dataset.latest_version_id)
    examples: Any = [example for _, example in datasets.training_preview(ada, version_id)]
    answers = [example.messages[-1]["content"] for example in examples]
    assert answers == ["1.50", "2024-01-05"]
