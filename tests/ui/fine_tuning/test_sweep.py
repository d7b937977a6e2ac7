"""Sweeps: started from the form, listed, followed, taken up."""

from typing import Any

import pytest

from core import fine_tuning
from core.fine_tuning import sweeps
from core.people.users import User
from core.ui.fine_tuning import sweep_charts, sweep_form, sweep_view
from tests.ui.conftest import Visit, text_of
from tests.ui.things import make_dataset, make_model, make_sweep

FAQ = [{"prompt": f"How many is {n}?", "completion": f"It is {n}."} for n in range(20)]
GRID = [{"learning_rate": rate, "batch_size": size} for rate in (0.0001, 0.001) for size in (4, 8)]


@pytest.fixture
def base() -> str:
    return make_model(None, "tiny-base", capabilities={"chat": True, "finetune": True})


def test_the_form_starts_a_sweep(ada: User, base: str, visit: Visit) -> None:
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, FAQ).dataset_id)
    app.toggle(key="ft_sweep").set_value(True).run()
    assert "3 jobs" in text_of(app)
    app.multiselect(key="ft_sweep_settings").set_value(["learning_rate", "tuning"]).run()
    app.text_input(key="ft_sweep_learning_rate").set_value("1e-3, 0.002; 0.003").run()
    app.multiselect(key="ft_sweep_tuning").set_value(["full", "lora"]).run()
    assert app.button(key="ft_start").label == "Start 6 jobs"
    app.button(key="ft_start").click().run()
    assert not app.exception
    (made,) = sweeps.list_sweeps(ada).items
    assert (made.num_jobs, app.query_params["id"]) == (6, made.id)
    assert sweeps.get(ada, made.id).trials[5].values == {"learning_rate": 0.003, "tuning": "lora"}


def test_a_random_search_takes_ranges(ada: User, base: str, visit: Visit) -> None:
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, FAQ).dataset_id)
    app.toggle(key="ft_sweep").set_value(True).run()
    app.get_by_key("ft_sweep_kind").set_value("random").run()
    app.number_input(key="ft_sweep_count").set_value(4).run()
    app.button(key="ft_start").click().run()
    assert not app.exception
    (made,) = sweeps.list_sweeps(ada).items
    assert (made.kind, made.num_jobs, made.space["learning_rate"]["scale"]) == ("random", 4, "log")


def test_what_cannot_be_tried_blocks_the_start_and_says_which_value(
    ada: User, base: str, visit: Visit
) -> None:
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, FAQ).dataset_id)
    app.toggle(key="ft_sweep").set_value(True).run()
    app.text_input(key="ft_sweep_learning_rate").set_value("0.001, seven").run()
    assert not app.exception
    assert "Learning rate, value 2: must be a number" in text_of(app)
    assert app.button(key="ft_start").disabled


def test_every_setting_can_be_chosen_for_a_sweep(ada: User, base: str, visit: Visit) -> None:
    app = visit(ada, "fine_tuning", dataset=make_dataset(ada, FAQ).dataset_id)
    app.toggle(key="ft_sweep").set_value(True).run()
    for name in sweep_form._fields():
        app.multiselect(key="ft_sweep_settings").set_value([name]).run()
        assert not app.exception, name


def test_a_sweep_shows_its_best_its_plot_and_its_jobs(ada: User, visit: Visit) -> None:
    sweep_id = make_sweep(ada, GRID)
    app = visit(ada, "sweep", id=sweep_id)
    assert not app.exception
    text = text_of(app)
    assert "Every combination of learning rate, batch size · 4 jobs" in text
    assert "validation loss 1.3000" in text
    assert len(app.get("vega_lite_chart")) == 1
    table = app.dataframe[0].value
    assert list(table["best"]) == ["", "", "", "★"]
    assert list(table["learning_rate"]) == [0.0001, 0.0001, 0.001, 0.001]
    assert table["job"][0].endswith("#support-sweep-0")
    app.button(key="sweep_use_best").click().run()
    assert app.query_params["job"] == sweeps.get(ada, sweep_id).best_job_id


def test_a_running_sweep_can_be_cancelled_and_then_deleted(ada: User, visit: Visit) -> None:
    sweep_id = make_sweep(ada, GRID, statuses=("queued",))
    app = visit(ada, "sweep", id=sweep_id)
    assert "0 of 4 jobs ended" in app.get("progress")[0].proto.text
    app.button(key="sweep_cancel").click().run()
    app.button(key="sweep_cancel_yes").click().run()
    assert sweeps.get(ada, sweep_id).statuses == {"cancelled": 4}
    app.button(key="sweep_delete").click().run()
    app.button(key="sweep_delete_yes").click().run()
    assert not app.exception
    assert fine_tuning.list_jobs(ada).total == sweeps.list_sweeps(ada).total == 0
    assert "support-sweep is deleted" in text_of(app)


def test_without_measurements_the_plot_says_what_it_waits_for(ada: User, visit: Visit) -> None:
    nothing = {"train_loss": None, "valid_loss": None, "best_loss": None}
    app = visit(ada, "sweep", id=make_sweep(ada, GRID, statuses=("queued",), **nothing))
    assert not app.exception
    assert "once two jobs have measured a loss" in text_of(app)


def test_sweeps_have_their_list(ada: User, bob: User, visit: Visit) -> None:
    make_sweep(ada, GRID)
    for user, words in ((ada, "support-sweep"), (bob, "No sweep yet")):
        app = visit(user, "fine_tuning")
        app.session_state["ft_tabs"] = "Sweeps"
        app.run()
        assert not app.exception
        assert words in text_of(app)


def test_another_users_sweep_looks_missing(ada: User, bob: User, visit: Visit) -> None:
    theirs, missing = (
        visit(bob, "sweep", id=make_sweep(ada, GRID)),
        visit(bob, "sweep", id="swp_aaaaaaaaaaaaaaaaaaaaaaaa"),
    )
    assert text_of(theirs) == text_of(missing)
    assert "support-sweep" not in text_of(theirs)


def test_axes_are_logarithmic_where_values_span_much() -> None:
    axis = sweep_charts.build_axis("Rate", [1e-4, 1e-3, 1e-2])
    assert axis.places == pytest.approx([0, 0.5, 1])
    assert axis.title == "Rate (log)"
    assert sweep_charts.build_axis("Batch", [4, 8, 16]).places == pytest.approx([0, 1 / 3, 1])
    assert sweep_charts.build_axis("Batch", [4, 8, 16], is_log=True).places == pytest.approx([0, 0.5, 1])


def test_words_stand_side_by_side_and_one_value_in_the_middle() -> None:
    assert sweep_charts.build_axis("Tuning", ["lora", "full", None]).places == [1.0, 0.0, None]
    assert sweep_charts.build_axis("Packing", [True, True]).ticks == [(0.5, "on")]
    assert sweep_charts.build_axis("Epochs", [3, 3]).places == [0.5, 0.5]
    assert sweep_charts.build_axis("Batch", ["auto", 8]).ticks == [(0.0, "8"), (1.0, "auto")]


def test_many_values_get_few_ticks() -> None:
    axis = sweep_charts.build_axis("Rate", [n / 1000 for n in range(1, 16)])
    assert len(axis.ticks) == sweep_charts.TICKS
    assert [place for place, _ in axis.ticks] == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_ticks_whose_labels_would_touch_are_left_out() -> None:
    assert [label for _, label in sweep_charts.build_axis("Loss", [5.85, 5.9, 7.56, 7.94]).ticks] == [
        "5.85",
        "7.56",
        "7.94",
    ]


def test_a_job_is_one_line_across_all_axes(ada: User) -> None:
    sweep: Any = sweeps.get(ada, make_sweep(ada, GRID))
    axes = sweep_charts.build_axes(sweep, sweep.trials)
    lines = sweep_charts.build_lines(axes, sweep.trials, sweep.measure)
    assert [axis.title for axis in axes] == ["Learning rate", "Batch size", "Validation loss"]
    assert len(lines) == 12
    assert list(lines[lines["job"] == "support-sweep-3"]["axis"]) == [axis.title for axis in axes]
    assert sweep_view.build_table(sweep).shape == (4, 8)
