"""What a download cannot hold is said at its button, by the types of the columns."""

import pytest

from core.ui.datasets.download_words import help_of


@pytest.mark.parametrize(
    ("form", "type_", "said"),
    [
        ("jsonl", "DOUBLE", "`x`: NaN and infinity become null."),
        ("jsonl", "STRUCT(a FLOAT[])", "`x`: NaN and infinity become null."),
        ("jsonl", "DECIMAL(38,2)", "`x`: numbers that a reader would round become text."),
        ("jsonl", "DECIMAL(9,2)", None),
        ("jsonl", "BLOB", "`x`: bytes as Base64."),
        ("jsonl", "VARCHAR", None),
        ("csv", "MAP(VARCHAR, BIGINT)", "`x`: written as JSON."),
        ("csv", "BLOB[]", "`x`: written as JSON. `x`: bytes as Base64."),
        ("csv", "DOUBLE", None),
        ("parquet", "DOUBLE", None),
        ("original", "BLOB", None),
    ],
)
def test_what_becomes_of_a_column(form: str, type_: str, said: str | None) -> None:
    assert help_of(form, [{"name": "id", "type": "BIGINT"}, {"name": "x", "type": type_}]) == said


def test_many_columns_are_counted() -> None:
    columns = [{"name": f"c{n}", "type": "DOUBLE"} for n in range(1006)]
    assert help_of("jsonl", columns) == "`c0`, `c1`, `c2`, `c3` and 1,002 more: NaN and infinity become null."
