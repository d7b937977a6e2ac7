"""Sums of what was used are numbers, whatever the database gives."""

from dataclasses import asdict
from decimal import Decimal

from core.people import usage


def test_sums_are_whole_numbers_where_they_count_and_floats_where_they_last() -> None:
    """PostgreSQL gives sums of whole numbers as decimals; in JSON those would be texts."""
    line = usage._line("mdl_x", None, *[Decimal(n) for n in range(1, 8)])
    numbers = {name: value for name, value in asdict(line).items() if name not in ("group", "label")}
    assert {name: type(value) for name, value in numbers.items()} == {
        name: float if name.endswith("_seconds") else int for name in numbers
    }
    assert list(numbers.values()) == [1, 2, 3, 4, 5, 6, 7]
    assert (line.group, line.label) == ("mdl_x", "mdl_x")
