"""Which names of columns are said to be others."""

import pytest

from core.readers.sql import clean_names, renamings

TAKEN = "Their names were taken, where A and a count as one: "


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a", "b"], []),
        ([" a ", "b\n"], []),
        (["a", "a", "a_1"], [TAKEN + "a (column 2) is called a_1, a_1 (column 3) is called a_1_1."]),
        (["file_row_number"], [TAKEN + "file_row_number (column 1) is called file_row_number_1."]),
        (["", "\x01", "c"], ["Columns without a name: column1, column2."]),
        (["x" * 201], ["Names of more than 200 characters were cut: xxxxxxxxxxxxxxxxxxxx…."]),
    ],
)
def test_what_is_said(names: list[str], said: list[str]) -> None:
    assert renamings(names) == said
    assert len(set(map(str.lower, clean_names(names)))) == len(names)
