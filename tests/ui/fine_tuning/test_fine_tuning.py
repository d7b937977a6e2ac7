"""The list of jobs and the form that starts one."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core import fine_tuning, formats, hardware, models
from core.fields import parse
from core.fine_tuning import NewJob, recipes, sources
from core.fine_tuning.before import process as preview_process
from core.hardware import Gpu, Machine
from core.people.users import User
from core.training import METHODS, Hyperparameters
from core.training.methods import OWN_SETTINGS
from core.ui import places
from core.ui.datasets import column_mapping
from core.ui.fine_tuning import form, form_data
from tests.ui.conftest import Visit, kept_from_the_browser, text_of
from tests.ui.things import FakePreview, make_dataset, make_job, make_model

FAQ = [{"question": f"How many is {n}?", "answer": f"It is {n}."} for n in range(20)]
TABLE = [{"Question": row["question"], "Answer": row["answer"]} for row in FAQ]  # is guessed, not recognised


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


def test_without_a_dataset_the_form_leads_to_one(ada: User, base: str, visit: Visit) -> None:
    assert "No dataset yet" in text_of(visit(ada, "fine_tuning", new="1"))


def test_columns_are_guessed_and_rows_shown_as_a_conversation(ada: User, base: str, visit: Visit) -> None:
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, TABLE).dataset_id)
    assert not app.exception
    assert app.selectbox(key="ft_column_prompt").value == "Question"
    assert app.selectbox(key="ft_column_completion").value == "Answer"
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
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, TABLE).dataset_id)
    app.number_input(key="ft_n_epochs").set_value(2).run()
    app.text_input(key="ft_name").set_value("faq-bot").run()
    app.button(key="ft_start").click().run()
    assert not app.exception
    (job,) = all_jobs(ada)
    assert (job.name, job.asked["n_epochs"], job.columns) == (
        "faq-bot",
        2,
        {"prompt": "Question", "completion": "Answer"},
    )
    assert app.query_params["id"] == job.id


@pytest.mark.parametrize("validation", [0, 1])
def test_base_and_rows_are_looked_up_once_per_run(
    ada: User, base: str, visit: Visit, monkeypatch: pytest.MonkeyPatch, validation: int
) -> None:
    asked: Counter[str] = Counter()

    def counting(look_up: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **named: Any) -> Any:
            asked[look_up.__name__] += 1
            return look_up(*args, **named)

        return counted

    for look_up in (sources.find_base, sources.find_rows):
        monkeypatch.setattr(sources, look_up.__name__, counting(look_up))
    data, other = make_dataset(ada, FAQ), make_dataset(ada, FAQ, "other")
    app = visit(ada, "fine_tuning", dataset=data.dataset_id)
    assert asked == {"find_base": 1, "find_rows": 1}
    if validation:
        app.get_by_key("ft_validation").set_value(form.OTHER).run()
        asked.clear()
        app.selectbox(key="ft_validation_dataset").set_value(other.dataset_id).run()
    else:
        asked.clear()
        app.number_input(key="ft_n_epochs").set_value(2).run()
    assert not app.exception
    assert "20 examples" in text_of(app)
    assert asked == {"find_base": 1, "find_rows": 1 + validation}


def test_what_was_looked_up_is_handed_on_once(ada: User, base: str) -> None:
    data = make_dataset(ada, FAQ)
    columns = {"prompt": "question", "completion": "answer"}
    new = parse(NewJob, base_model_id=base, dataset_id=data.dataset_id, columns=columns)
    handed = form_data.Handed(form_data.look_up(ada, new, sources.find_base(ada, base)))
    assert handed.take() is not None
    assert handed.take() is None, "a fragment that runs again looks up anew"


def test_pressing_start_twice_makes_one_job(ada: User, base: str, visit: Visit) -> None:
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, FAQ).dataset_id)
    key = app.session_state["ft_idempotency_key"]
    app.button(key="ft_start").click().run()
    app.switch_page("../../pages/fine_tuning.py")
    # as when the second press arrives before the first has ended
    app.session_state["ft_idempotency_key"] = key
    app.query_params["new"] = "1"
    app.run()
    app.button(key="ft_start").click().run()
    assert len(all_jobs(ada)) == 1


def test_rows_that_cannot_be_learned_block_the_start(ada: User, base: str, visit: Visit) -> None:
    app = visit(
        ada, "fine_tuning", dataset=make_dataset(ada, [*FAQ, {"question": "", "answer": "lonely"}]).dataset_id
    )
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
    keys = {
        str(widget.key)
        for kind in ("number_input", "text_input", "button_group", "selectbox")
        for widget in app.get(kind)
    }
    settings = set(Hyperparameters.model_json_schema()["properties"])
    of_others = set(OWN_SETTINGS) - {setting.name for setting in METHODS["supervised"].settings}
    assert {f"ft_{name}" for name in settings - of_others} <= keys
    assert not {f"ft_{name}" for name in of_others} & keys


@pytest.mark.parametrize("has_gpu", [False, True])
def test_qlora_is_a_choice_only_where_it_works(
    ada: User, base: str, visit: Visit, monkeypatch: pytest.MonkeyPatch, has_gpu: bool
) -> None:
    gpus = (Gpu("GPU", 80 * 2**30, 70 * 2**30, True),) if has_gpu else ()
    monkeypatch.setattr(hardware, "gpus", lambda: gpus)
    monkeypatch.setattr(hardware, "_is_installed", lambda package: True)
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, FAQ).dataset_id)
    field = app.selectbox(key="ft_tuning")
    assert ("QLoRA" in field.options) is has_gpu
    assert ("QLoRA needs a CUDA GPU, and this machine has none" in field.help) is not has_gpu


def test_qlora_of_a_job_that_is_tried_again_stays_and_the_plan_says_why_it_cannot_be(
    ada: User, base: str, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "gpus", lambda: ())
    data = make_dataset(ada, FAQ)
    of_data = {"dataset_id": data.dataset_id, "dataset_version_id": data.id}
    job = make_job(ada, "failed", hyperparameters={"tuning": "qlora"}, base_model_id=base, **of_data)
    app = visit(ada, "fine_tuning", job=job)
    assert app.selectbox(key="ft_tuning").value == "qlora"
    assert "QLoRA needs a CUDA GPU" in text_of(app)
    assert app.button(key="ft_start").disabled


@pytest.fixture
def failed_job(ada: User, base: str) -> str:
    """The id of one that can be tried again, with settings of its own."""
    data = make_dataset(ada, FAQ)
    return make_job(
        ada,
        "failed",
        hyperparameters={"n_epochs": 7, "tuning": "lora"},
        base_model_id=base,
        dataset_id=data.dataset_id,
        dataset_version_id=data.id,
    )


def test_failed_job_can_be_tried_again_with_its_settings(ada: User, failed_job: str, visit: Visit) -> None:
    app = visit(ada, "fine_tuning", job=failed_job)
    assert not app.exception
    assert app.number_input(key="ft_n_epochs").value == 7
    assert app.get_by_key("ft_tuning").value == "lora"
    assert kept_from_the_browser(app) == {}
    assert app.number_input(key="ft_n_epochs").value == 7


def test_settings_of_a_job_are_there_again_when_one_comes_back_to_them(
    ada: User, failed_job: str, visit: Visit
) -> None:
    app = visit(ada, "fine_tuning", job=failed_job)
    app.switch_page(places.path("datasets")).run()
    app.switch_page(places.path("fine_tuning"))
    app.query_params["job"] = failed_job
    app.run()
    assert app.number_input(key="ft_n_epochs").value == 7


def test_a_new_form_has_nothing_of_the_one_before(ada: User, failed_job: str, visit: Visit) -> None:
    app = visit(ada, "fine_tuning", job=failed_job)
    app.text_input(key="ft_name").set_value("typed").run()
    app.query_params.clear()
    app.run()
    app.query_params["new"] = "1"
    app.run()
    assert not app.exception
    assert app.number_input(key="ft_n_epochs").value is None
    assert not app.text_input(key="ft_name").value
    app.query_params.clear()
    app.run()
    app.query_params["job"] = failed_job
    app.run()
    assert app.number_input(key="ft_n_epochs").value == 7


@pytest.mark.parametrize("rows", [FAQ, FAQ * 6])
def test_form_that_reached_no_browser_is_drawn_as_it_is(
    ada: User, base: str, visit: Visit, rows: list[dict[str, str]]
) -> None:
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, rows).dataset_id)
    assert kept_from_the_browser(app) == {}


@pytest.mark.parametrize(
    ("names", "format_name", "columns"),
    [
        (["question", "answer"], "completion", {"prompt": "question", "completion": "answer"}),
        (["Answer", "Question", "id"], "completion", {"prompt": "Question", "completion": "Answer"}),
        (
            ["system", "instruction", "output"],
            "completion",
            {"prompt": "instruction", "completion": "output", "system": "system"},
        ),
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
    app: AppTest = visit(
        ada, "fine_tuning", dataset=make_dataset(ada, [{"x": "a", "y": "b"}, {"x": "c", "y": "d"}]).dataset_id
    )
    assert not app.exception
    assert "Choose the column of the" in text_of(app)
    app.selectbox(key="ft_column_prompt").select("x").run()
    app.selectbox(key="ft_column_completion").select("y").run()
    assert "2 usable rows" in text_of(app)


PAIR = {"prompt": "What is it?", "chosen": "It is this.", "rejected": "No idea."}


def test_the_method_follows_what_is_in_a_row(ada: User, base: str, visit: Visit) -> None:
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, FAQ).dataset_id)
    fitting = [method.title for method in METHODS.values() if "chat" in method.formats]
    assert (app.radio(key="ft_method").options, app.radio(key="ft_method").value) == (fitting, "supervised")
    assert METHODS["dpo"].title not in fitting
    app = visit(
        ada, "fine_tuning", dataset=make_dataset(ada, [{"text": "Once upon a time."}] * 5, "tales").dataset_id
    )
    assert app.radio(key="ft_method").value == "continued"
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, [PAIR] * 5, "pairs").dataset_id)
    assert not app.exception
    assert app.radio(key="ft_method").value == "dpo"
    assert "Recognised as **preferences** (prompt, chosen and rejected)" in text_of(app)
    assert app.number_input(key="ft_beta").placeholder == "auto: 0.1"
    assert "ft_loss_on" not in {str(widget.key) for widget in app.get("button_group")}


def test_a_known_shape_is_named_and_what_it_leaves_out_is_told(ada: User, base: str, visit: Visit) -> None:
    rows = [{"instruction": f"Say {n}", "input": "x", "output": "yes", "id": str(n)} for n in range(20)]
    dataset = make_dataset(ada, rows)
    text = text_of(visit(ada, "fine_tuning", dataset=dataset.dataset_id))
    assert "Recognised as **questions and answers** (Alpaca): nothing needs to be mapped." in text
    assert "The column id is not learned from." in text
    app = visit(
        ada, "fine_tuning", dataset=dataset.dataset_id, columns='{"prompt": "id", "completion": "output"}'
    )
    assert not app.exception
    assert app.selectbox(key="ft_column_input").value is None, "what was chosen is not guessed anew"
    assert "The column input is not learned from, in 20 of 20 rows" in " ".join(
        warning.value for warning in app.warning
    )
    app.selectbox(key="ft_column_input").select("input").run()
    assert "not learned from" not in " ".join(warning.value for warning in app.warning)


def test_equal_answers_are_warned_of_and_their_rows_listed(ada: User, base: str, visit: Visit) -> None:
    rows = [{"prompt": f"q {n}", "chosen": "a", "rejected": "a" if n < 2 else "b"} for n in range(12)]
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, rows, "pairs").dataset_id)
    assert not app.exception
    assert any("Both answers are the same in 2 of 12 rows" in one.value for one in app.warning)
    assert "2 rows with twice the same answer" in [expander.label for expander in app.expander]
    assert not app.button(key="ft_start").disabled


def test_rows_that_would_all_be_cut_away_are_refused_once_they_are_counted(
    ada: User, base: str, visit: Visit
) -> None:
    rows = [{"prompt": "word " * 40, "completion": f"{n}"} for n in range(12)]
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, rows).dataset_id)
    app.number_input(key="ft_max_length").set_value(32).run()
    app.run()
    assert not app.exception
    assert "Only 0 of 12 rows have something to learn" in " ".join(one.value for one in app.error)
    assert app.button(key="ft_start").disabled


OF_FORMAT = {
    "chat": FAQ,
    "completion": FAQ,
    "text": [{"text": "Once upon a time."}] * 5,
    "preference": [PAIR] * 5,
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_offered_with_the_settings_that_it_has(
    ada: User, base: str, visit: Visit, name: str
) -> None:
    method = METHODS[name]
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, OF_FORMAT[method.formats[0]]).dataset_id)
    assert method.title in app.radio(key="ft_method").options
    app.radio(key="ft_method").set_value(name).run()
    assert not app.exception
    assert method.help in str(app.radio(key="ft_method").proto.captions)
    keys = {str(widget.key) for kind in WIDGETS for widget in app.get(kind)}
    own = {f"ft_{setting.name}" for setting in method.settings}
    others = {f"ft_{setting}" for setting in OWN_SETTINGS} - own
    assert own <= keys
    assert not keys & (others | {f"ft_{fixed}" for fixed in method.fixed})
    app.button(key="ft_start").click().run()
    (job,) = all_jobs(ada)
    assert job.method == name


WIDGETS = ("number_input", "text_input", "selectbox", "button_group")


def test_presets_fill_the_fields_and_a_change_makes_them_ones_own(ada: User, base: str, visit: Visit) -> None:
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, FAQ * 10).dataset_id)
    app.get_by_key("ft_preset").set_value("low_memory").run()
    assert not app.exception
    assert app.selectbox(key="ft_tuning").value == "lora"
    assert app.number_input(key="ft_gradient_accumulation").value == 8
    app.number_input(key="ft_batch_size").set_value(2).run()
    assert "Your own settings." in text_of(app)
    app.get_by_key("ft_preset").set_value("balanced").run()
    app.button(key="ft_start").click().run()
    (job,) = all_jobs(ada)
    assert set(job.asked.values()) == {"auto"}


def test_what_goes_along_is_stored_with_the_job(ada: User, base: str, visit: Visit) -> None:
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, FAQ).dataset_id)
    app.text_area(key="ft_prompts").set_value("Who are you?\n\n What is 2? ").run()
    app.text_area(key="ft_notes").set_value("first try").run()
    app.get_by_key("ft_priority").set_value(1).run()
    app.number_input(key="ft_seed").set_value(11).run()
    app.button(key="ft_start").click().run()
    (job,) = all_jobs(ada)
    assert (job.sample_prompts, job.notes, job.priority, job.seed) == (
        ["Who are you?", "What is 2?"],
        "first try",
        1,
        11,
    )


def test_a_loaded_file_fills_the_whole_form(ada: User, base: str, visit: Visit) -> None:
    make_dataset(ada, [{"text": "other"}] * 3, "newer")
    data, other = make_dataset(ada, FAQ), make_dataset(ada, FAQ, "held out")
    new = parse(
        NewJob,
        base_model_id=base,
        dataset_id=data.dataset_id,
        validation_dataset_id=other.dataset_id,
        columns={"prompt": "answer", "completion": "question"},
        method="continued",
        name="loaded",
        hyperparameters={"n_epochs": 4, "packing": True, "schedule": "linear"},
        sample_prompts=["Hello?"],
        tags=["x"],
        seed=5,
    )
    app = visit(ada, "home")
    app.session_state[form.FILE] = recipes.from_yaml(recipes.to_yaml(new))
    app.switch_page(places.path("fine_tuning"))
    app.query_params["new"] = "1"
    app.run()
    assert not app.exception
    app.button(key="ft_start").click().run()
    (job,) = all_jobs(ada)
    assert (job.name, job.method, job.seed, job.tags, job.columns) == (
        "loaded",
        "continued",
        5,
        ["x"],
        new.columns,
    )
    assert (job.validation_dataset_id, job.sample_prompts) == (other.dataset_id, ["Hello?"])
    assert {name: value for name, value in job.asked.items() if value != "auto"} == {
        "n_epochs": 4,
        "packing": True,
        "schedule": "linear",
    }


def test_an_adapter_is_a_base_and_a_custom_model_is_none(ada: User) -> None:
    able = {"chat": True, "finetune": True}
    adapter = models.get(ada, make_model(ada, "adapter", capabilities=able))
    assert form.can_be_tuned(replace(adapter, kind="adapter"))
    assert not form.can_be_tuned(replace(adapter, type="custom"))


def test_too_little_memory_offers_settings_that_fit(
    ada: User, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.ensure_starter()
    monkeypatch.setattr(hardware, "look", lambda: Machine(2**30, 620 * 2**20, ()))
    app = visit(
        ada,
        "fine_tuning",
        dataset=make_dataset(ada, [{"prompt": "q" * 900, "completion": "a"}] * 200).dataset_id,
    )
    assert not app.exception
    assert "This would not fit" in text_of(app)
    app.button(key="ft_way_0").click().run()
    assert not app.exception
    assert "This would not fit" not in text_of(app)


def test_settings_of_adapters_that_are_hidden_again_decide_nothing(
    ada: User, base: str, visit: Visit
) -> None:
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, FAQ).dataset_id)
    app.selectbox(key="ft_tuning").set_value("lora").run()
    app.number_input(key="ft_lora_rank").set_value(4).run()
    app.selectbox(key="ft_tuning").set_value("full").run()
    app.run()
    assert not app.exception
    assert not app.error
    assert "ft_lora_rank" not in [field.key for field in app.number_input]
    app.selectbox(key="ft_tuning").set_value("auto").run()
    assert not app.error
    assert "Your own settings." not in text_of(app)
