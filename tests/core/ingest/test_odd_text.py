"""Delimited text and JSON as people write it: each kind of oddness with its near neighbours, which must be
read otherwise."""

import json
from typing import Any

import pytest

from core import datasets
from core.datasets import Dataset
from core.errors import UnreadableFile
from core.people.users import User
from tests.core.uploads.shared import in_process, rows, stage, types, upload

pytestmark = pytest.mark.usefixtures("in_process")
__all__ = ["in_process"]


def names(dataset: Dataset) -> list[str]:
    return [column["name"] for column in dataset.columns]


def text_of(user: User, dataset: Dataset, kind: Any) -> str:
    return b"".join(datasets.open_content(user, dataset.id, as_=kind).chunks).decode()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("gene,101,102\nA,1.5,2.5\nB,0.1,0.2\n", ["gene", "101", "102"]),
        ("x,1\ny,2\nz,3\n", ["column0", "column1"]),  # the first of a row of numbers
        ("id,2020,2021\n1,5,6\n2,7,8\n", ["id", "2020", "2021"]),  # a word above whole numbers
        ("name,1990,1991\na,5,6\nb,7,8\n", ["name", "1990", "1991"]),
        ("1,2\n3,4\n", ["column0", "column1"]),
        ("bob,5\nann,7\nbob,900\n", ["column0", "column1"]),  # bob stands below as well
        ("a,b\nc,d\n", ["a", "b"]),
        (",a\n0,1\n1,2\n", ["column1", "a"]),  # an index without a name
    ],
)
def test_a_first_row_names_the_columns_or_is_data(ada: User, content: str, expected: list[str]) -> None:
    assert names(upload(ada, "t.csv", content)) == expected


def test_a_header_that_may_be_data_is_a_question(ada: User) -> None:
    unclear = upload(ada, "t.csv", "name,2\nx,5\ny,7\n")
    assert any("may be data: name, 2" in note for note in unclear.notes)
    assert upload(ada, "t.csv", "name,n\nx,5\ny,7\n").notes == []


@pytest.mark.parametrize("chosen", ["BOOLEAN", "DATE", "TIMESTAMP", "JSON", "DOUBLE", "BIGINT"])
def test_a_chosen_type_leaves_the_header(ada: User, chosen: str) -> None:
    dataset = upload(ada, "t.csv", "id,seen\n1,\n2,\n", types={"seen": chosen})
    assert (names(dataset), dataset.num_rows) == (["id", "seen"], 2)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ja nein", [True, False]),
        ("Yes NO", [True, False]),
        ("y n", [True, False]),
        ("1 0", [True, False]),
        ("oui non", [True, False]),
    ],
)
def test_words_for_true_and_false_when_chosen(ada: User, words: str, expected: list[bool]) -> None:
    first, second = words.split()
    dataset = upload(ada, "t.csv", f"a;b\n1;{first}\n2;{second}\n", types={"b": "BOOLEAN"})
    assert [row["b"] for row in rows(ada, dataset)] == expected


@pytest.mark.parametrize(
    ("values", "type_", "written"),
    [
        (["1.9", "1.10"], "VARCHAR", ["1.9", "1.10"]),
        (["1", "2.0"], "DOUBLE", ["1.0", "2.0"]),
        (["12.50", "7.00"], "DECIMAL(18,2)", ["12.50", "7.00"]),
        (["12.50", "-0.25"], "DECIMAL(18,2)", ["12.50", "-0.25"]),
        (["12.50", "-0.00"], "VARCHAR", ["12.50", "-0.00"]),
        (["1.5", "2.25"], "DOUBLE", ["1.5", "2.25"]),
        (["1.0", "2.25"], "DOUBLE", ["1.0", "2.25"]),  # as other programs write floating point
        (["123456789012345678901.10", "1.20"], "DECIMAL(38,2)", ["123456789012345678901.10", "1.20"]),
        (["1.5e+20", "2.50e-3"], "DOUBLE", ["1.5e+20", "0.0025"]),
    ],
)
def test_zeros_behind_the_point_come_back(
    ada: User, values: list[str], type_: str, written: list[str]
) -> None:
    dataset = upload(ada, "t.csv", "k,v\n" + "".join(f"x,{value}\n" for value in values))
    assert types(dataset)["v"] == type_
    assert [line.split(",")[1] for line in text_of(ada, dataset, "csv").splitlines()[1:]] == written


def test_a_late_zero_decides_in_any_order(ada: User) -> None:
    body = [f"x,{n}.5\n" for n in range(30_000)]
    for at in (0, 15_000, 30_000):
        lines = [*body[:at], "x,1.50\n", *body[at:]]
        assert types(upload(ada, "t.csv", "k,v\n" + "".join(lines)))["v"] == "VARCHAR"


def test_digits_that_no_number_holds_are_told(ada: User) -> None:
    dataset = upload(ada, "t.csv", "k,v\na,0.1234567890123456789012345\nb,0.5\n")
    assert types(dataset)["v"] == "DOUBLE"
    assert any("no more than 17 digits: v" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        (["1,234.50", "7"], {}, [1234.5, 7.0]),
        (["1,234,567", "7"], {}, [1234567.0, 7.0]),
        (["10 237.65", "7"], {}, [10237.65, 7.0]),
        (["1'234", "7"], {}, [1234.0, 7.0]),
        (["12,000", "7"], {"thousands": ","}, [12000.0, 7.0]),
        (["1.234,50", "+2"], {"decimal": ","}, [1234.5, 2.0]),
        (["1 234,50", "2"], {"decimal": ","}, [1234.5, 2.0]),
        (["12.5%", "7 %"], {}, [12.5, 7.0]),
        (["$5", "-$7.10"], {}, [5.0, -7.1]),
        (["5 €", "7 EUR"], {}, [5.0, 7.0]),
        (["1e3", "nan"], {}, [1000.0, None]),
    ],
)
def test_numbers_with_marks_and_units_when_chosen(
    ada: User, values: list[str], options: dict[str, Any], expected: list[float]
) -> None:
    content = "k;v\n" + "".join(f"x;{value}\n" for value in values)
    dataset = upload(ada, "t.csv", content, types={"v": "DOUBLE"}, **options)
    assert [row["v"] for row in rows(ada, dataset)] == expected


@pytest.mark.parametrize("value", ["12,000", "1,2", "1.2.3", "12:30", "5 apples", "--5"])
def test_what_is_unclear_as_a_number_is_refused_by_its_line(ada: User, value: str) -> None:
    with pytest.raises(UnreadableFile, match="Line 2: column 'v'"):
        upload(ada, "t.csv", f"k;v\nx;{value}\ny;7\n", types={"v": "DOUBLE"})


def test_a_decimal_takes_no_more_digits_than_it_has(ada: User) -> None:
    assert rows(ada, upload(ada, "t.csv", "v\n1.5\n2\n", types={"v": "DECIMAL(18,2)"})) == [
        {"v": 1.5},
        {"v": 2},
    ]
    with pytest.raises(UnreadableFile, match="at most 2 digits behind the point"):
        upload(ada, "t.csv", "v\n1.505\n", types={"v": "DECIMAL(18,2)"})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("# made by x\n# unit, mm\na,b\n1,2\n# more\n3,4\n", {"a": [1, 3], "b": [2, 4]}),
        ("#id,name\n1,x\n2,y\n", {"#id": [1, 2], "name": ["x", "y"]}),  # its first line names the columns
        ("tag,n\n#a,1\n#b,2\n", {"tag": ["#a", "#b"], "n": [1, 2]}),
        ('# x\na,b\n1,"p\n# q"\n', {"a": [1], "b": ["p\n# q"]}),  # inside quotes it is no remark
        ("Title,,\n,,\na,b,c\n1,2,3\n", {"a": [1], "b": [2], "c": [3]}),
        ("Title\n\na;b\n1;2\n3;4\n", {"a": [1, 3], "b": [2, 4]}),
        ("\n\nname\nx\ny\n", {"name": ["x", "y"]}),
    ],
)
def test_what_stands_above_or_between_is_no_row(ada: User, content: str, expected: dict[str, Any]) -> None:
    found = rows(ada, upload(ada, "t.csv", content))
    assert {name: [row[name] for row in found] for name in found[0]} == expected


def test_comments_keep_the_numbers_of_lines(ada: User) -> None:
    with pytest.raises(UnreadableFile) as caught:
        upload(ada, "t.csv", "# x\na,b\n1,2\n# y\n3,4,5\n")
    assert caught.value.lines[0][0] == 5


def test_lines_of_comments_are_kept_when_the_user_says_so(ada: User) -> None:
    content = "# a,b\ntime,depth\n1,10.5\n2,11.0\n"
    dataset = upload(ada, "t.csv", content)
    assert (names(dataset), len(dataset.notes)) == (["time", "depth"], 1)
    assert names(upload(ada, "t.csv", content, skip_lines=0)) == ["# a", "b"]


@pytest.mark.parametrize("content", ["a::b\n1::2\n", "a~b\n1~2\n"])
def test_one_column_with_a_mark_in_every_line_is_a_question(ada: User, content: str) -> None:
    dataset = upload(ada, "t.csv", content)
    assert dataset.num_columns == 1
    assert any("It was read as one column" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("values", "type_", "first"),
    [
        (["2024-01-05", "2024-02-06"], "DATE", "2024-01-05"),
        (["2024-01-05T10:00:00Z", "2024-01-06T10:00:00Z"], "TIMESTAMP WITH TIME ZONE", None),
        (["2024-01-05 10:00:00", "2024-01-06 10:00:00"], "TIMESTAMP", "2024-01-05T10:00:00"),
        (["01-02-2024", "03-04-2024"], "VARCHAR", "01-02-2024"),
        (["01-02-2024", "13-04-2024"], "DATE", "2024-02-01"),  # only one order fits
        (["01-02-24", "13-04-24"], "VARCHAR", "01-02-24"),
        (["2024-01-05", "soon"], "VARCHAR", "2024-01-05"),
        (["2024-01-05T10:00:00.123456789Z"], "VARCHAR", "2024-01-05T10:00:00.123456789Z"),
    ],
)
def test_a_string_of_json_is_a_date_where_all_have_one_form(
    ada: User, values: list[str], type_: str, first: str | None
) -> None:
    dataset = upload(ada, "t.jsonl", "".join(json.dumps({"d": value}) + "\n" for value in values))
    assert types(dataset)["d"] == type_
    assert first is None or rows(ada, dataset)[0]["d"] == first


@pytest.mark.parametrize("at", [0, 25_000, 50_000])
def test_one_late_date_of_another_form_leaves_the_column_text(ada: User, at: int) -> None:
    lines = ['{"d": "2024-01-05"}\n'] * 50_000
    lines.insert(at, '{"d": "05-01-2024"}\n')
    assert types(upload(ada, "t.jsonl", "".join(lines)))["d"] == "VARCHAR"


def test_a_stated_date_format_holds_for_json(ada: User) -> None:
    content = '{"d": "01-02-2024", "e": "x"}\n{"d": "03-04-2024", "e": "y"}\n'
    dataset = upload(ada, "t.jsonl", content, date_format="%d-%m-%Y")
    assert [row["d"] for row in rows(ada, dataset)] == ["2024-02-01", "2024-04-03"]
    assert types(dataset)["e"] == "VARCHAR"


@pytest.mark.parametrize(
    ("record", "taught"),
    [
        ({"instruction": "When?", "input": "", "output": "1.50"}, ["output"]),
        ({"input": "price?", "output": "2024-01-05"}, ["output"]),
        ({"question": "q", "answer": "10:30"}, ["answer"]),
        ({"query": "2024-01-05", "answer": "1.50"}, ["query", "answer"]),
        ({"prompt": "p", "chosen": "2024-01-05", "rejected": "2024-01-06"}, ["chosen", "rejected"]),
        ({"output": "2024-01-05"}, []),
    ],
)
def test_what_is_taught_stays_as_it_was_written(ada: User, record: dict[str, str], taught: list[str]) -> None:
    csv = ",".join(record) + "\n" + ",".join(record.values()) + "\n" + ",".join(record.values()) + "\n"
    for dataset in (upload(ada, "t.csv", csv), upload(ada, "t.jsonl", json.dumps(record) + "\n")):
        row = rows(ada, dataset)[0]
        assert {name: row[name] for name in taught} == {name: record[name] for name in taught}
        assert [types(dataset)[name] for name in taught] == ["VARCHAR"] * len(taught)
        assert types(dataset).get("output", "") == "DATE" or taught


def test_measured_inputs_and_outputs_are_numbers(ada: User) -> None:
    assert types(upload(ada, "t.csv", "input,output\n1.5,2.5\n3.5,4.25\n")) == dict.fromkeys(
        ["input", "output"], "DOUBLE"
    )


@pytest.mark.parametrize(
    "records",
    [
        [{"o": {"a": 1}}, {"o": {"b": 2}}],
        [{"o": {"a": 1, "b": None}}, {"o": {"a": 2}}],
        [{"l": [{"a": 1}, {"b": [{"c": None}, {}]}]}],
        [{"o": {"a": {"b": 1}}}, {"o": {"a": {}}}],
        [{"o": {"x/y": {"~": 1}}}, {"o": {"x/y": {"z": 1}}}],
        [{"v": [9007199254740993, 1.5]}],
        [{"v": {"n": 12345678901234567}}, {"v": {"n": 0.5}}],
        [{"v": 5}, {"v": "five"}, {"v": [5]}],
        [{"v": {"a": 1}}, {"v": "text"}, {"v": None}],
        [{"v": []}, {"v": []}],
        [{"v": {}}],
        [{"v": [[1, 2], []]}, {"v": []}],
        [{"v": [True, None, False]}],
        [{"v": [1, -1, 2**62]}],
        [{"t": "  x\ny", "u": "\u2028", "e": ""}],
    ],
    ids=str,
)
def test_rows_of_json_come_back_as_they_were(ada: User, records: list[dict[str, Any]]) -> None:
    content = "".join(json.dumps(record) + "\n" for record in records)
    for filename in ("t.jsonl", "t.json"):
        dataset = upload(ada, filename, content if filename == "t.jsonl" else json.dumps(records))
        back = [json.loads(line) for line in text_of(ada, dataset, "jsonl").split("\n") if line]
        assert back == records


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"data": [{"a": 1}, {"a": 2}], "page": 1}, [{"a": 1}, {"a": 2}]),
        ({"a": {"0": 1, "1": 2}, "b": {"0": "x", "1": "y"}}, [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        ({"0": {"a": 1}, "1": {"a": 2}}, [{"a": 1}, {"a": 2}]),
        ({"columns": ["a"], "index": [0, 1], "data": [[1], [2]]}, [{"a": 1}, {"a": 2}]),
    ],
)
def test_a_document_that_means_a_table_becomes_its_rows(
    ada: User, document: dict[str, Any], expected: list[dict[str, Any]]
) -> None:
    dataset = upload(ada, "t.json", json.dumps(document))
    assert rows(ada, dataset) == expected
    assert dataset.notes


@pytest.mark.parametrize(
    "document", [{"messages": [{"role": "user", "content": "x"}]}, {"a": 1, "b": {"c": 2}}]
)
def test_a_document_of_one_row_stays_one_row(ada: User, document: dict[str, Any]) -> None:
    assert upload(ada, "t.json", json.dumps(document)).num_rows == 1


def test_an_append_takes_the_types_of_its_version(ada: User) -> None:
    first = upload(ada, "t.jsonl", '{"m": [{"role": "user", "name": "x"}], "p": "2024-01-05"}\n')
    assert "STRUCT" in types(first)["m"]
    more = b'{"m": [{"role": "user"}, {"role": "assistant", "name": null}], "p": "2024-01-06"}\n'
    datasets.append_rows(ada, first.id, file=stage(more), filename="t.jsonl")
    assert types(datasets.get(ada, first.id)) == types(first)
    other = b'{"m": [{"role": "user", "weight": 0}, {"role": "x"}], "p": "2024-01-06"}\n'
    with pytest.raises(UnreadableFile, match="column 'm'"):
        datasets.append_rows(ada, first.id, file=stage(other), filename="t.jsonl")


def test_an_append_to_decimals_takes_numbers_of_any_look(ada: User) -> None:
    first = upload(ada, "t.csv", "k,v\na,12.50\nb,7.00\n")
    datasets.append_rows(ada, first.id, file=stage(b"k,v\nc,1.5\nd,2\n"), filename="t.csv")
    assert [row["v"] for row in rows(ada, first)] == [12.5, 7, 1.5, 2]
    assert types(datasets.get(ada, first.id))["v"] == "DECIMAL(18,2)"


@pytest.mark.parametrize("skip", [False, True])
def test_a_damaged_header_is_not_skipped(ada: User, skip: bool) -> None:
    content = b"n\xe4,wert\n" + "\u00e9,1\n".encode() * 99
    with pytest.raises(UnreadableFile, match=r"Line 1: a byte that is not UTF-8.*cannot be skipped"):
        upload(ada, "t.csv", content, skip_bad_rows=skip)
    assert names(upload(ada, "t.csv", content, skip_bad_rows=True, header=False)) == ["column0", "column1"]


def test_a_file_that_is_read_twice_tells_once(ada: User) -> None:
    """Mixed line ends send it through the slow way."""
    content = 'question,answer\nq,2024-01-05\r\nr,2024-01-06\n"s\nt",2024-01-07\r\n'
    (told,) = [
        note for note in upload(ada, "t.csv", content, skip_bad_rows=True).notes if "models learn" in note
    ]
    assert told.endswith(": answer.")
