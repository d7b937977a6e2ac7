"""The quality of a version: each check finds what it should,
and where, leaves look-alikes alone, and shows nothing whole."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from core.reports import profile, quality
from core.reports.quality import near, personal
from core.reports.quality import texts as quality_texts

Examine = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture
def examine(tmp_path: Path) -> Examine:
    """``examine(column=[…], …)``: the findings of that table by their keys."""

    def run(**columns: Sequence[Any] | pa.Array) -> dict[str, dict[str, Any]]:
        target = tmp_path / "t.parquet"
        parquet.write_table(
            pa.table({name: pa.array(cells) for name, cells in columns.items()}), target, row_group_size=700
        )
        with duckdb.connect() as connection:
            rows = connection.execute(f"DESCRIBE FROM '{target}'").fetchall()
            described = [{"name": row[0], "type": row[1]} for row in rows]
            profiled = profile.compute(connection, target, described)
            found = quality.examine(connection, target, described, profiled=profiled)
        return {finding["key"]: finding for finding in found["findings"]}

    return run


def unlike(count: int) -> list[str]:
    """Texts that no check minds."""
    return [f"w{n * 7919 % 10007}" for n in range(count)]


PEOPLE = {
    "email": [
        "ada@example.com",
        "Write to a.b+c@mail.example.co.uk.",
        "<max.mustermann@firma.de>",
        "JOHN_DOE99@UNI.EDU",
    ],
    "phone": [
        "+49 30 901820",
        "call +1 415-555-2671 now",
        "(415) 555-2671",
        "415-555-2671",
        "+44 (0)20 7946 0958",
        "+33 1 42 68 53 00",
    ],
    "card": [
        "4111 1111 1111 1111",
        "card 5555-5555-5555-4444.",
        "pay with 378282246310005",
        "6011111111111117 was declined",
    ],
    "iban": [
        "DE89 3704 0044 0532 0130 00",
        "to GB29NWBK60161331926819, thanks",
        "IBAN FR14 2004 1010 0505 0001 3M02 606 AND MORE",
    ],
    "ip": [
        "93.184.216.34",
        "from 151.101.1.69:443",
        "GET / 200 81.2.69.142",
        "2606:2800:220:1:248:1893:25c8:1946",
    ],
}
LOOK_ALIKES = {
    "email": [
        "@ada", "ada@home", "icon@2x.png", "user@localhost", "a @ b.com", "pkg@1.2.3", "10 apples @ 3.50",
        "x..y@@z.de",
    ],
    "phone": [
        "4155552671", "order 415 555 2671 7", "+12.345678", "48.858370, 2.294481", "+48.858370123",
        "2024-01-01 10:00:00", "2+4155552671", "000-000-0000", "123-456-7890", "978-3-16-148410-0",
        "192.168.100.100", "1.234.567.890", "12-34-5678", "+0200", "555-2671", "415-555-26711",
        "1234567890123", "(12) 345", "A415-555-2671B",
    ],
    "card": [
        "4111 1111 1111 1112", "4111111111111111000000", "1234 5678 9012 3456", "0000 0000 0000 0000",
        "1609459200000", "id-4111111111111111", "4111.1111111111111", "4111 11 11 1111 1111 1",
        "9007199254740993", "ISBN 9783161484100", "4111111111111111.5",
    ],
    "iban": [
        "DE89 3704 0044 0532 0130 01", "AB12CDEF3456GHIJ7890", "XX00 1234 5678 9012", "GB29NWBK601613319268",
        "DE44 only words",
    ],
    "ip": [
        "1.2.3.4", "version 10.45.120.3", "v81.2.69.142", "192.168.1.1", "127.0.0.1", "10.20.30.40",
        "256.1.1.1", "1.2.3", "12:30:45", "81.2.69.142.5", "std::vector", "aa:bb:cc:dd:ee:ff", "a::b",
        "93.184.216.034x", "§ 93.184.216.34", "224.0.0.251",
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", list(PEOPLE))
def test_personal_data_is_found_in_its_rows_and_never_shown_whole(examine: Examine, kind: str) -> None:
    found = examine(text=[*unlike(3), *PEOPLE[kind], None])
    assert list(found) == [f"{kind}.0"]
    finding = found[f"{kind}.0"]
    assert (finding["num_rows"], finding["lines"]) == (
        len(PEOPLE[kind]),
        list(range(4, 4 + len(PEOPLE[kind]))),
    )
    assert finding["examples"]
    for example in finding["examples"]:
        assert "•" in example
        assert personal.masked(example) == example


@pytest.mark.parametrize("kind", list(LOOK_ALIKES))
def test_look_alikes_are_no_personal_data(examine: Examine, kind: str) -> None:
    found = examine(text=[*unlike(30), *LOOK_ALIKES[kind]])
    assert [key for key in found if key.partition(".")[0] in PEOPLE] == []


def test_bare_digits_are_cards_only_where_the_column_is_one_of_cards(examine: Examine) -> None:
    numbers = [str(4000000000000000 + n * 9973) for n in range(500)]
    valid = [number for number in numbers if personal.is_card(number)]
    assert 30 < len(valid) < 70  # one in ten of these by chance
    assert "card.0" not in examine(order=numbers)
    assert "card.0" not in examine(order=[int(number) for number in numbers])
    assert examine(paid_with=valid)["card.0"]["num_rows"] == len(valid)
    assert examine(paid_with=[int(number) for number in valid])["card.0"]["num_rows"] == len(valid)


def test_bare_digits_are_phones_only_where_the_column_says_so(examine: Examine) -> None:
    digits = [f"415555{n:04}" for n in range(2000, 2100)]
    assert examine(order_number=digits) == {}
    found = examine(phone=digits)["phone.0"]
    assert found["num_rows"] == 100
    assert "4155552" not in "".join(found["examples"])


def test_personal_data_deep_in_chats_is_found(examine: Examine) -> None:
    def chat(text: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": text}, {"role": "assistant", "content": "Fine."}]

    found = examine(
        messages=[
            chat("Hello"),
            chat("I am ada@example.com and bob@example.com"),
            None,
            chat("call +49 30 901820"),
        ]
    )
    assert {key: finding["lines"] for key, finding in found.items()} == {"email.0": [2], "phone.0": [4]}
    as_json = pa.array(['{"mail": "ada@example.com"}', "{}"], pa.json_())
    assert examine(config=as_json)["email.0"]["lines"] == [1]
    assert examine(deep=[{"a": [{"b": "ada@example.com"}]}, {"a": None}])["email.0"]["lines"] == [1]


def test_a_row_counts_once_and_the_first_thousand_lines_are_kept(examine: Examine) -> None:
    found = examine(text=[f"a{n}@b.org c{n}@d.org" for n in range(1500)])["email.0"]
    assert (found["num_rows"], found["lines"], found["share"]) == (1500, list(range(1, 1001)), 1.0)


def test_garbled_characters(examine: Examine) -> None:
    broken = ["François".encode().decode("cp1252"), "itâ€™s", "lost \ufffd here"]
    fine = [
        "François",
        "Ünïcode",
        "naïve café",
        "Straße",
        "SÃO PAULO",
        "日本語",
        "Ελλάδα",
        "emoji 🎉",
        "“quotes” – dashes…",
    ]
    found = examine(text=[*fine, *broken])
    assert found["mojibake.0"]["lines"] == [10, 11, 12]
    assert any("François" in example for example in found["mojibake.0"]["examples"])


def test_nulls_spelled_five_ways(examine: Examine) -> None:
    cells = [*unlike(20), "N/A", "n/a", "-", "null", "None", "N/A", None, "nan"]
    found = examine(text=cells)["null_words.0"]
    assert (found["num_rows"], found["lines"], found["severity"]) == (7, [21, 22, 23, 24, 25, 26, 28], "warn")
    assert "N/A (2)" in found["examples"]
    assert "7 ways" in found["title"]


@pytest.mark.parametrize(
    "cells",
    [
        ["NA", "DE", "US", "FR", "GB", "IT"] * 10,  # Namibia
        ["None", "Minor", "Substantial", "Minor"] * 10,  # an answer
        ["no", "nothing", "annul", "n", "a", "0", "nay", "Nancy", "-1", "--flag"],
    ],
)
def test_words_that_are_no_nulls(examine: Examine, cells: list[str]) -> None:
    assert "null_words.0" not in examine(text=cells)


def test_blanks_around_values(examine: Examine) -> None:
    found = examine(text=["Berlin", "Berlin ", "\tRome", "New York", "a  b", "Oslo\u00a0", "\ufeffid", ""])[
        "blanks.0"
    ]
    assert found["lines"] == [2, 3, 6, 7]
    assert "Berlin␣" in found["examples"]


def test_dates_written_in_several_ways(examine: Examine) -> None:
    found = examine(day=["2024-01-02"] * 6 + ["13/02/2024", "Jan 5, 2024", None, "02.03.2024"])[
        "mixed_dates.0"
    ]
    assert (found["num_rows"], found["lines"]) == (3, [7, 8, 10])
    assert found["examples"][0].startswith("2024-12-31 (6)")
    both = examine(day=["13/02/2024"] * 4 + ["02/13/2024"] * 3 + ["03/04/2024"])["mixed_dates.0"]
    assert (both["num_rows"], both["lines"]) == (3, [5, 6, 7])


@pytest.mark.parametrize(
    "cells",
    [
        ["13/02/2024", "03/04/2024", "01/01/2023"],
        ["2024-01-02", "2024-01-02 10:00:00", "2024-1-3"],
        ["2024-01-02", "word", "other", "more", "13/02/2024"],  # no column of dates
        ["1/2", "3/4", "10-20", "1.2.3"],
    ],
)
def test_one_way_to_write_dates_is_no_finding(examine: Examine, cells: list[str]) -> None:
    assert "mixed_dates.0" not in examine(day=cells)


def test_numbers_written_in_several_ways(examine: Examine) -> None:
    found = examine(price=["1,234.50", "12.5", "7", "€ 3.10", "1.234,50", "0,5"])["mixed_numbers.0"]
    assert found["lines"] == [5, 6]
    assert examine(rate=["5%", "7 %", "0.05", "0.5"])["mixed_percent.0"]["num_rows"] == 2


@pytest.mark.parametrize(
    "cells",
    [
        ["1,234", "5,678", "12"],
        ["1.234", "0.5", "12"],
        ["1,5", "2,25", "3"],
        ["5%", "6%"],
        ["1.2.3", "v1", "2,3"],
    ],
)
def test_one_way_to_write_numbers_is_no_finding(examine: Examine, cells: list[str]) -> None:
    assert not {"mixed_numbers.0", "mixed_percent.0"} & set(examine(price=cells))


def test_exact_copies_are_counted_beyond_the_first(examine: Examine) -> None:
    found = examine(n=[1, 2, 1, 3, 1, None, None], deep=[["a"], ["a"], ["a"], [], ["a"], None, None])[
        "duplicates"
    ]
    assert (found["num_rows"], found["lines"], found["column"]) == (3, [3, 5, 7], None)
    assert found["examples"][0] == "row 3 repeats row 1"
    assert "duplicates" not in examine(n=[1, 1, 2], s=["a", "b", "a"])


SENTENCE = (
    "the quick brown fox jumps over the lazy dog while {} other animals of the forest look on in silent "
    "amazement at number {}"
)


def test_column_names_are_only_names(examine: Examine) -> None:
    names = ["h", "line", "first", "count(*)", "a.b", 'we"ird', "t", "cell", "1"]
    found = examine(**{name: ["ada@example.com or a much longer text", "x", "x"] for name in names})
    assert found["duplicates"]["lines"] == [3]
    assert [finding["column"] for finding in found.values() if finding["kind"] == "email"] == names


def test_near_duplicates_are_found_and_copies_are_not_among_them(examine: Examine) -> None:
    words = [" ".join(f"w{(n * 31 + i * i * 7) % 9973}" for i in range(25)) for n in range(40)]
    texts = [*words, SENTENCE.format("many", 1), SENTENCE.format("many", 2), SENTENCE.format("many", 1)]
    found = examine(id=[*range(40), 40, 41, 40], text=texts)
    assert found["near_duplicates.1"]["lines"] == [42]
    assert found["near_duplicates.1"]["examples"][0].startswith("row 42 is 91% like row 41")
    assert found["duplicates"]["lines"] == [43]


def test_what_is_meant_to_repeat_is_no_near_duplicate(examine: Examine) -> None:
    found = examine(
        id=list(range(50)),
        system=["You are a helpful assistant of the town library."] * 25
        + ["You are a pirate on a ship."] * 25,
    )
    assert "near_duplicates.1" not in found


def test_columns_that_say_nothing(examine: Examine) -> None:
    found = examine(
        id=[1, 2], gone=pa.nulls(2, pa.string()), blank=["", None], same=["x", "x"], half=["x", None]
    )
    assert {key: finding["column"] for key, finding in found.items()} == {
        "empty.1": "gone",
        "empty.2": "blank",
        "constant.3": "same",
    }
    assert examine(one=["x"]) == {}


def test_a_clean_table_has_no_findings(examine: Examine) -> None:
    assert examine(id=list(range(100)), word=unlike(100), price=[n / 7 for n in range(100)]) == {}


def test_examples_of_every_kind_hide_personal_data(examine: Examine) -> None:
    text = SENTENCE.format("ada@example.com and", "{}")
    found = examine(id=[1, 2, 3], text=[text.format("one"), text.format("two"), " ada@example.com "])
    assert {"near_duplicates.1", "blanks.1", "email.1"} <= set(found)
    assert not [e for finding in found.values() for e in finding["examples"] if "ada@example.com" in e]


def test_of_a_large_table_row_groups_spread_over_it_are_looked_at(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "SCANNED_CELLS", 1400)
    found = examine(text=[f"a{n}@b.org" for n in range(2800)])["email.0"]  # four row groups, two of them fit
    assert (found["num_rows"], found["lines"][699:701]) == (1400, [700, 1401])


def test_pairs_within_and_across() -> None:
    texts = [SENTENCE.format("many", n) for n in range(3)] + [
        "something else entirely, with no word in common whatsoever",
        "",
        None,
    ]
    signed = near.signatures(texts)
    assert {pair[:2] for pair in near.pairs(signed)} == {(0, 1), (1, 2), (0, 2)}
    assert {pair[:2] for pair in near.pairs(signed[:1], signed)} == {(0, 0), (0, 1), (0, 2)}
    assert near.pairs(near.signatures([]), signed) == []


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ("a b c d", "A, b. C! d", 1.0),
        ("a b c d", "e f g h", 0.0),
        ("a b c d", "a b c e", 1 / 3),
        ("我喜欢学习", "我喜欢学校", 0.5),
        ("", "", 1.0),
    ],
)
def test_similarity_is_the_share_of_runs_of_three_words(one: str, other: str, share: float) -> None:
    assert near.similarity(one, other) == pytest.approx(share)


def test_signatures_do_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [SENTENCE.format(n, n * n) for n in range(50)]
    whole = near.signatures(texts)
    monkeypatch.setattr(near, "CHUNK_BYTES", 100)
    assert (near.signatures(texts) == whole).all()


def test_texts_are_found_however_deep() -> None:
    cells = pa.array(
        [{"m": [{"role": "user", "content": "hi"}, {"role": "a", "content": None}]}, None, {"m": []}]
    )
    found = quality_texts.texts_of(cells, 10)
    texts = found.values.take(pa.array(found.at)).to_pylist()
    assert sorted(zip(texts, found.lines.tolist(), strict=True)) == [("a", 10), ("hi", 10), ("user", 10)]
    assert quality_texts.texts_of(cells, 10, without=("role",)).values.to_pylist() == ["hi"]
    pairs = pa.array([[("k", "v")], None], pa.map_(pa.string(), pa.string()))
    assert sorted(quality_texts.texts_of(pairs, 1).values.to_pylist()) == ["k", "v"]
