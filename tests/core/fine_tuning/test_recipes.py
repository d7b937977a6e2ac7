"""A fine-tuning as YAML and back."""

from typing import Any

import pytest

from core import fine_tuning
from core.errors import ValidationError
from core.fields import parse
from core.fine_tuning import NewJob, recipes
from core.people.users import User
from core.tables import JobRow
from core.training import Hyperparameters

REQUEST: dict[str, Any] = {
    "base_model_id": "mdl_base",
    "dataset_id": "ds_data",
    "columns": {"prompt": "Frage", "completion": "yes"},
    "name": "null",
    "method": "dpo",
    "validation_fraction": 0.1,
    "sample_prompts": ["Who are you?", "Zeile eins\nZeile zwei: # kein Kommentar", "🙂 \u2028 \x7f"],
    "notes": "  leading, 'quoted' and \"quoted\"\n\nthird\t",
    "tags": ["1", "true", "a: b"],
    "seed": 7,
    "hyperparameters": {
        "n_epochs": 3,
        "learning_rate": 1e-5,
        "tuning": "lora",
        "packing": False,
        "lora_targets": "q_proj, v_proj",
    },
}
SMALLEST = "base_model_id: mdl_base\ndataset_id: ds_data\n"


def test_a_request_comes_back_as_it_was() -> None:
    new = parse(NewJob, **REQUEST)
    assert recipes.from_yaml(recipes.to_yaml(new)) == new


def test_every_setting_stands_in_the_file_under_its_help() -> None:
    text = recipes.to_yaml(parse(NewJob, base_model_id="a", dataset_id="b"))
    words = " ".join(line.strip().removeprefix("# ") for line in text.splitlines())
    for name, field in Hyperparameters.model_fields.items():
        assert f"\n  {name}: auto\n" in text
        assert field.description
        assert field.description in words
    assert "idempotency_key" not in text


def test_what_is_left_out_is_automatic_and_numbers_may_be_written_either_way() -> None:
    new = recipes.from_yaml(SMALLEST + "hyperparameters:\n  learning_rate: 1e-4\n")
    assert (new.hyperparameters.learning_rate, new.hyperparameters.n_epochs, new.method) == (
        1e-4,
        "auto",
        "supervised",
    )


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("dataset_id: ds_data\n", "base_model_id", "is required"),
        (SMALLEST + "colour: red\n", "colour", "no such setting (line 3)"),
        (
            SMALLEST + "hyperparameters:\n  n_epochs: 3\n  epochs: 3\n",
            "hyperparameters.epochs",
            "no such setting (line 5)",
        ),
        (
            SMALLEST + "hyperparameters:\n\n  n_epochs: 99\n",
            "hyperparameters.n_epochs",
            "at most 50 (line 5)",
        ),
        (SMALLEST + "hyperparameters:\n  n_epochs: many\n", "hyperparameters.n_epochs", "(line 4)"),
        (SMALLEST + "method: magic\n", "method", "must be one of supervised, dpo, continued (line 3)"),
        (SMALLEST + "tags: [a, 1]\n", "tags[1]", "must be text (line 3)"),
        (SMALLEST + "seed: 1\nseed: 2\n", "seed", "stands twice, in lines 3 and 4"),
        (SMALLEST + "idempotency_key: k\n", "idempotency_key", "no such setting"),
        (SMALLEST + "hyperparameters: fast\n", "hyperparameters", "must be an object (line 3)"),
        ("a: &x [1]\nb: *x\n", "file", "aliases"),
        ("a: [1\n", "file", "is not YAML: line 2"),
        ("a: !!python/object/apply:os.getcwd []\n", "file", "is not YAML: line 1"),
        ("just words", "file", "must be a list of settings"),
        ("", "file", "must be a list of settings"),
        ("{" * 21, "file", "must not nest more than 20 levels deep"),
        ("{" * 100_000, "file", "must not nest more than 20 levels deep"),
        ("a: " + "[" * 20 + "]" * 20 + "\n", "file", "must not nest more than 20 levels deep"),
        (SMALLEST + "tags: " + "[" * 19 + "]" * 19 + "\n", "tags[0]", "must be text (line 3)"),
        ("x" * 100_001, "file", "longer than"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, field: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        recipes.from_yaml(text)
    assert [detail.field for detail in caught.value.details] == [field]
    assert said in caught.value.details[0].message


def test_a_job_can_be_written_down_and_started_again(ada: User, make_job: Any) -> None:
    row: JobRow = make_job(ada, hyperparameters={"n_epochs": 4, "gone_setting": 1}, tags=["x"], notes="hm")
    again = recipes.from_yaml(recipes.to_yaml(recipes.of_job(fine_tuning.get(ada, row.id))))
    assert (again.seed, again.hyperparameters.n_epochs, again.tags, again.notes) == (7, 4, ["x"], "hm")
    assert (again.dataset_version_id, again.base_model_id) == (row.dataset_version_id, row.base_model_id)
