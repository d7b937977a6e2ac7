"""The list of datasets: empty, searched, sorted, with samples, with conversions that run or failed."""

from collections.abc import Callable

from core import datasets
from core.datasets import Dataset, DatasetList
from core.users import User
from tests.ui.conftest import Visit, jsonl, text_of

Make = Callable[..., Dataset]


def test_the_empty_list_offers_samples(visit: Visit, ada: User) -> None:
    app = visit(ada, "datasets")
    assert not app.exception
    assert "No datasets yet" in text_of(app)
    assert app.button(key=f"sample_{datasets.samples()[0].name}")


def test_adding_a_sample_opens_it(visit: Visit, ada: User) -> None:
    app = visit(ada, "datasets")
    sample = datasets.samples()[0]
    app.button(key=f"sample_{sample.name}").click().run()
    assert not app.exception
    made = datasets.list_datasets(ada, DatasetList()).items[0]
    assert made.num_rows == sample.num_rows
    assert app.query_params["id"] == made.id
    assert app.title[0].value == made.name.replace("_", "\\_")


def test_the_list_tells_size_rows_and_kind(visit: Visit, ada: User, dataset_of: Make) -> None:
    dataset_of(ada, "faq", jsonl({"prompt": "q", "completion": "a"}, {"prompt": "r", "completion": "b"}))
    app = visit(ada, "datasets")
    assert "2 rows · 2 columns" in text_of(app)
    assert "Prompt → completion" in text_of(app)
    assert [link.label for link in app.page_link if link.label == "faq"] == ["faq"]


def test_search_is_literal_and_says_when_nothing_matches(visit: Visit, ada: User, dataset_of: Make) -> None:
    dataset_of(ada, "hundred%", jsonl({"a": 1}))
    dataset_of(ada, "other", jsonl({"a": 1}))
    app = visit(ada, "datasets")
    app.text_input(key="datasets_q").set_value("%").run()
    assert {"hundred%"} == {link.label for link in app.page_link} & {"hundred%", "other"}
    app.text_input(key="datasets_q").set_value("nowhere").run()
    assert "Nothing matches" in text_of(app)


def test_the_list_has_pages(visit: Visit, ada: User, dataset_of: Make) -> None:
    for n in range(22):
        dataset_of(ada, f"set {n:02}", jsonl({"a": n}))
    app = visit(ada, "datasets")
    app.selectbox(key="datasets_sort").set_value("name").run()
    assert sum(link.label.startswith("set ") for link in app.page_link) == 20
    app.get_by_key("datasets_page").set_value(2).run()
    assert [link.label for link in app.page_link if link.label.startswith("set ")] == ["set 20", "set 21"]
    app.text_input(key="datasets_q").set_value("set 0").run()
    assert not app.exception
    assert "set 00" in [link.label for link in app.page_link]


def test_a_name_is_never_markdown(visit: Visit, ada: User, dataset_of: Make) -> None:
    dataset_of(ada, "**bold** :red[x] $y$ [l](http://e.x) 🎻", jsonl({"a": 1}))
    app = visit(ada, "datasets")
    assert not app.exception
    assert r"\*\*bold\*\* \:red\[x\] \$y\$ \[l\](http\://e.x) 🎻" in [link.label for link in app.page_link]


def test_others_datasets_are_not_listed(visit: Visit, ada: User, bob: User, dataset_of: Make) -> None:
    dataset_of(ada, "adas-own", jsonl({"a": 1}))
    assert "adas-own" not in text_of(visit(bob, "datasets"))
