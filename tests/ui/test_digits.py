"""Numbers in tables: written alike in a column, and never another number than there is."""

import ast
import random
from decimal import Decimal

import pyarrow as pa
import pytest

from core.config import ROOT
from core.ui import digits


@pytest.mark.parametrize(
    ("column", "texts", "shown"),
    [
        ("gdp", ["40476168953", "7"], ["40,476,168,953", "7"]),
        ("score", ["6.77", "6.5", "7", None], ["6.77", "6.50", "7.00", None]),
        ("n", ["9999", "-12"], ["9999", "-12"]),
        ("n", ["10000", "-1234567.5"], ["10,000.0", "-1,234,567.5"]),
        ("user_id", ["40476168953"], ["40476168953"]),
        ("userId", ["1234567"], ["1234567"]),
        ("year", ["12024"], ["12024"]),
        ("paid", ["1234567"], ["1,234,567"]),
        ("x", ["1e+20", "NaN", "1.5", "∞"], ["1e+20", "NaN", "1.5", "∞"]),
        ("x", ["0.1234567891234", "2"], ["0.1234567891234", "2"]),
        ("x", [], []),
    ],
)
def test_a_column_is_written_alike(column: str, texts: list[str | None], shown: list[str | None]) -> None:
    assert digits.aligned(column, texts) == shown


def test_a_decimal_shows_the_places_of_its_type() -> None:
    places = digits.scale_of("DECIMAL(5,2)")
    assert digits.aligned("price", ["12.5", "7"], places=places) == ["12.50", "7.00"]
    assert [digits.scale_of(type_) for type_ in ("BIGINT", "DECIMAL(18, 0)", "DOUBLE")] == [0, 0, 0]


@pytest.mark.parametrize("seed", range(20))
def test_no_digit_is_lost(seed: int) -> None:
    dice = random.Random(seed)
    texts: list[str | None] = [
        str(round(dice.uniform(-1, 1) * 10 ** dice.randint(0, 12), dice.randint(0, 12))) for _ in range(30)
    ]
    texts += [str(dice.randint(-(10**25), 10**25)), None, "NaN"]
    shown = digits.aligned(dice.choice(["price", "order_id"]), texts)
    for before, after in zip(texts, shown, strict=True):
        if before in (None, "NaN") or "e" in str(before):
            assert after == before
        else:
            assert Decimal(str(after).replace(",", "")) == Decimal(str(before))


def test_a_table_of_arrow_gets_formats_for_its_numbers() -> None:
    table = pa.table(
        {
            "gdp": [40476168953, 7],
            "small": [1, 2],
            "order_id": [123456, 2],
            "score": [6.77, 7.0],
            "large": [2**60, 1],
            "tiny": [1e-9, 1.0],
            "word": ["a", "b"],
            "empty": pa.array([None, None], pa.float64()),
        }
    )
    found = {name: config["type_config"]["format"] for name, config in digits.formats(table).items()}
    assert found == {"gdp": "%,d", "small": "%d", "order_id": "%d", "score": "%.2f"}


def test_every_table_says_null_for_a_missing_value() -> None:
    calls = [
        (path.name, call)
        for path in (ROOT / "core/ui").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ("st.dataframe", "st.data_editor")
    ]
    assert len(calls) > 15
    told = {name for name, call in calls if "placeholder" in {word.arg for word in call.keywords}}
    assert {name for name, _ in calls} == told
