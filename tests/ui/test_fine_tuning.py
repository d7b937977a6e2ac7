"""The list of jobs and the form that starts one."""

import pytest
from streamlit.testing.v1 import AppTest

from core import fine_tuning, formats
from core.fine_tuning import preview_process
from core.training import Hyperparameters
from core.ui import column_mapping
from core.ui import fine_tuning_form as form
from core.users import User
from tests.ui.conftest import Visit, text_of
from tests.ui.things import FakePreview, make_dataset, make_job, make_model

FAQ = [{"question": f"How many is {n}?", "answer": f"It is {n}."} for n in range(20)]


@pytest.fixture(autouse=True)
def preview_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real counting without its process; ``tests/core`` has the process."""
    monkeypatch.setattr(preview_process.shared, "get", FakePreview)


@pytest.fixture
def base() -> str:
    return make_model(None, "tiny-base", capabilities={"chat": True, "finetune": True})


def all_jobs(user: User) -> list[fine_tuning.Job]:
    return list(fine_tuning.list_jobs(user).items)


def test_empty_list_leads_to_the_first_job(ada: User, visit: Visit) -> None:
    app = visit(ada, "fine_tuning")
    assert not app.exception
    assert "No fine-tuning yet" in text_of(app)
    assert {"ft_new", "ft_first"} <= {button.key for button in app.button}


def test_list_shows_jobs_and_filters_by_state(ada: User, visit: Visit) -> None:
    make_job(ada, name="first")
    make_job(ada, "failed", name="second", error={"code": "x", "message": "The disk is full.", "line": None})
    app = visit(ada, "fine_tuning")
    assert not app.exception
    assert "The disk is full." in text_of(app)
    assert "step 50 / 100 · loss 1.250" in text_of(app)
    app.session_state["jobs_status"] = "succeeded"
    app.run()
    assert "No job is succeeded" in text_of(app)


def test_another_users_jobs_are_not_listed(ada: User, bob: User, visit: Visit) -> None:
    make_job(ada, name="secret")
    assert "secret" not in text_of(visit(bob, "fine_tuning"))


def test_without_a_dataset_the_form_leads_to_one(ada: User, base: str, visit: Visit) -> None:
    assert "No dataset yet" in text_of(visit(ada, "fine_tuning", new="1"))


def test_columns_are_guessed_and_rows_shown_as_a_conversation(ada: User, base: str, visit: Visit) -> None:
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, FAQ).dataset_id)
    assert not app.exception
    assert app.selectbox(key="ft_column_prompt").value == "question"
    assert app.selectbox(key="ft_column_completion").value == "answer"
    assert [message.markdown[0].value for message in app.chat_message] == ["How many is 0?", "It is 0."]
    assert "20 usable rows" in text_of(app)
    assert "20 examples · " in text_of(app)


def test_rows_are_held_back_only_where_there_are_many(ada: User, base: str, visit: Visit) -> None:
    small, large = make_dataset(ada, FAQ), make_dataset(ada, FAQ * 5, "large")
    app = visit(ada, "fine_tuning", dataset=small.dataset_id)
    assert app.get_by_key("ft_validation").value == form.NONE
    app = visit(ada, "fine_tuning", dataset=large.dataset_id)
    assert app.get_by_key("ft_validation").value == form.SHARE
    assert "90 examples · 10 held back" in text_of(app)


def test_recognised_format_needs_no_mapping(ada: User, base: str, visit: Visit) -> None:
    rows = [{"prompt": "a", "completion": "b"}] * 3
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, rows).dataset_id)
    assert not app.exception
    assert "nothing needs to be mapped" in text_of(app)
    assert not [box for box in app.selectbox if str(box.key).startswith("ft_column")]


def test_start_makes_one_job_with_what_was_chosen(ada: User, base: str, visit: Visit) -> None:
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, FAQ).dataset_id)
    app.number_input(key="ft_n_epochs").set_value(2).run()
    app.text_input(key="ft_name").set_value("faq-bot").run()
    app.button(key="ft_start").click().run()
    assert not app.exception
    (job,) = all_jobs(ada)
    assert (job.name, job.asked["n_epochs"], job.columns) == ("faq-bot", 2, {"prompt": "question", "completion": "answer"})
    assert app.query_params["id"] == job.id


def test_pressing_start_twice_makes_one_job(ada: User, base: str, visit: Visit) -> None:
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, FAQ).dataset_id)
    key = app.session_state["ft_idempotency_key"]
    app.button(key="ft_start").click().run()
    app.switch_page("../../pages/fine_tuning.py")
    app.session_state["ft_idempotency_key"] = key  # as when the second press arrives before the first has ended
    app.query_params["new"] = "1"
    app.run()
    app.button(key="ft_start").click().run()
    assert len(all_jobs(ada)) == 1


def test_rows_that_cannot_be_learned_block_the_start(ada: User, base: str, visit: Visit) -> None:
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, [*FAQ, {"question": "", "answer": "lonely"}]).dataset_id)
    assert not app.exception
    assert "20 of 21 rows usable" in text_of(app)
    assert "1 row cannot be learned" in [expander.label for expander in app.expander]
    assert "`question` is empty" in text_of(app)
    app.button(key="ft_look_wrong_0").click().run()
    assert app.number_input(key="ft_row").value == 21
    assert {"ft_fix_wrong_0", "ft_row_open"} <= {button.key for button in app.button}
    assert app.button(key="ft_start").disabled


def test_three_rows_are_enough_to_try_and_too_few_are_told(ada: User, base: str, visit: Visit) -> None:
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, FAQ[:3]).dataset_id)
    assert not app.exception
    assert not app.button(key="ft_start").disabled
    assert "very few" in text_of(app)
    lonely = visit(ada, "fine_tuning", dataset=make_dataset(ada, FAQ[:1], "one").dataset_id)
    assert lonely.button(key="ft_start").disabled
    assert "at least 2 are needed" in text_of(lonely)


def test_another_users_dataset_cannot_be_reached(ada: User, bob: User, base: str, visit: Visit) -> None:
    app = visit(bob, "fine_tuning", dataset=make_dataset(ada, FAQ).dataset_id)
    assert not app.exception
    assert "How many" not in text_of(app)


def test_every_setting_is_in_the_form(ada: User, base: str, visit: Visit) -> None:
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, FAQ).dataset_id)
    app.get_by_key("ft_tuning").set_value("lora").run()
    keys = {str(widget.key) for kind in ("number_input", "text_input", "button_group", "selectbox") for widget in app.get(kind)}
    applying = [name for name, field in Hyperparameters.model_json_schema()["properties"].items() if name != "beta"]
    assert {f"ft_{name}" for name in applying} <= keys
    assert "ft_beta" not in keys


def test_failed_job_can_be_tried_again_with_its_settings(ada: User, base: str, visit: Visit) -> None:
    data = make_dataset(ada, FAQ)
    asked = {"n_epochs": 7, "tuning": "lora"}
    job_id = make_job(
        ada, "failed", hyperparameters=asked, base_model_id=base, dataset_id=data.dataset_id, dataset_version_id=data.id
    )
    app = visit(ada, "fine_tuning", job=job_id)
    assert not app.exception
    assert app.number_input(key="ft_n_epochs").value == 7
    assert app.get_by_key("ft_tuning").value == "lora"


@pytest.mark.parametrize(
    ("names", "format_name", "columns"),
    [
        (["question", "answer"], "completion", {"prompt": "question", "completion": "answer"}),
        (["Answer", "Question", "id"], "completion", {"prompt": "Question", "completion": "Answer"}),
        (["system", "instruction", "output"], "completion", {"prompt": "instruction", "completion": "output", "system": "system"}),
        (["id", "body"], "text", {"text": "body"}),
        (["conversations", "id"], "chat", {"messages": "conversations"}),
        (["x", "y"], "completion", {}),
    ],
)
def test_columns_are_guessed_by_name(names: list[str], format_name: str, columns: dict[str, str]) -> None:
    format_ = column_mapping.guess_format(names)
    assert format_ is formats.FORMATS[format_name]
    assert column_mapping.guess_columns(format_, names) == columns


def test_unguessable_columns_are_asked_for(ada: User, base: str, visit: Visit) -> None:
    app: AppTest = visit(ada, "fine_tuning", dataset=make_dataset(ada, [{"x": "a", "y": "b"}, {"x": "c", "y": "d"}]).dataset_id)
    assert not app.exception
    assert "Choose the column of the" in text_of(app)
    app.selectbox(key="ft_column_prompt").select("x").run()
    app.selectbox(key="ft_column_completion").select("y").run()
    assert "2 usable rows" in text_of(app)
