"""The list of models and the page of one."""

import pytest
from streamlit.testing.v1 import AppTest

from core import models
from core.errors import NotFound
from core.models import NewAlias, NewModel
from core.people.users import User
from core.ui.models import model_view
from tests.ui.conftest import Visit, text_of
from tests.ui.things import make_job, make_model


def open_tab(app: AppTest, name: str) -> AppTest:
    app.session_state["model_tabs"] = name
    return app.run()


def test_without_any_model_the_page_explains_what_one_is(ada: User, visit: Visit) -> None:
    assert "A model is what answers" in text_of(visit(ada, "models"))


def test_another_users_model_looks_missing(ada: User, bob: User, visit: Visit) -> None:
    model_id = make_model(ada, "secret-bot")
    theirs, missing = visit(bob, "model", id=model_id), visit(bob, "model", id="mdl_aaaaaaaaaaaaaaaaaaaaaaaa")
    assert text_of(theirs) == text_of(missing)


def test_versions_show_metrics_and_the_job_they_come_from(ada: User, visit: Visit) -> None:
    model_id = make_model(ada, versions=2, job_id=make_job(ada, "succeeded", name="first-try"))
    app = visit(ada, "model", id=model_id)
    assert not app.exception
    said = text_of(app)
    assert "training loss 0.250 · validation loss 0.300" in said
    assert "first-try" in said


def test_base_cannot_be_changed_or_deleted(ada: User, visit: Visit) -> None:
    app = visit(ada, "model", id=make_model(None, "tiny-base"))
    keys = {button.key for button in app.button}
    assert "model_delete" not in keys
    assert "model_save" not in keys
    assert "model_custom" in keys


def test_code_names_the_model_and_each_alias(ada: User, visit: Visit) -> None:
    model_id = make_model(ada, versions=2)
    models.set_alias(ada, model_id, "production", NewAlias(version=1))
    app = visit(ada, "model", id=model_id, view="call")
    assert app.selectbox(key="model_call_name").options == ["support-bot", "support-bot@production"]
    app.selectbox(key="model_call_name").select("support-bot@production").run()
    assert any('model="support-bot@production"' in code.value for code in app.code)


@pytest.mark.parametrize("name", ["it's", 'say "hi"', "Größe 🎻", "a\nb"])
def test_code_survives_any_name(name: str) -> None:
    _, python = model_view.build_snippets(name, "http://127.0.0.1:8501")["Python"]
    compile(python, "snippet", "exec")


def test_alias_is_set_and_moved_by_the_form(ada: User, visit: Visit) -> None:
    model_id = make_model(ada, versions=2)
    app = visit(ada, "model", id=model_id)
    app.text_input(key="alias_name").set_value("production")
    app.selectbox(key="alias_version").set_value(1)
    app.button(key="alias_set").click().run()
    assert models.get(ada, model_id).aliases == {"production": 1}
    app.text_input(key="alias_name").set_value("production")
    app.selectbox(key="alias_version").set_value(2)
    app.button(key="alias_set").click().run()
    assert not app.exception
    assert "needed to move production from version 1 to version 2" in text_of(app)
    app.text_input(key="alias_reason").set_value("Fewer *wrong* refunds")
    app.button(key="alias_set").click().run()
    assert models.get(ada, model_id).aliases == {"production": 2}
    app.button(key="alias_drop_production").click().run()
    app.button(key="alias_drop_production_yes").click().run()
    assert models.get(ada, model_id).aliases == {}
    (moves,) = [table.value for table in app.dataframe if "Reason" in table.value.columns]
    shown = moves[["Alias", "From", "To", "Reason", "Who"]].values.tolist()
    assert shown == [
        ["production", "version 2", "removed", "–", "Ada"],
        ["production", "version 1", "version 2", "Fewer *wrong* refunds", "Ada"],
        ["production", "–", "version 1", "–", "Ada"],
    ]


def test_wrong_alias_is_refused_with_a_reason(ada: User, visit: Visit) -> None:
    app = visit(ada, "model", id=make_model(ada))
    app.text_input(key="alias_name").set_value("not an alias")
    app.button(key="alias_set").click().run()
    assert not app.exception
    assert "letters, digits" in text_of(app)


def test_settings_are_saved(ada: User, visit: Visit) -> None:
    model_id = make_model(ada)
    app = visit(ada, "model", id=model_id)
    app.text_area(key="model_prompt").set_value("Be brief.")
    app.number_input(key="model_temperature").set_value(0.5)
    app.button(key="model_save").click().run()
    saved = models.get(ada, model_id)
    assert (saved.system_prompt, saved.parameters) == ("Be brief.", {"temperature": 0.5})


def test_delete_asks_and_then_returns_to_the_list(ada: User, visit: Visit) -> None:
    model_id = make_model(ada)
    app = visit(ada, "model", id=model_id)
    app.button(key="model_delete").click().run()
    assert models.get(ada, model_id).name == "support-bot"
    app.button(key="model_delete_yes").click().run()
    with pytest.raises(NotFound):
        models.get(ada, model_id)


def test_custom_model_tells_what_it_stands_on(ada: User, visit: Visit) -> None:
    base = make_model(None, "tiny-base")
    custom = models.create_custom(
        ada, NewModel(name="helpdesk", base_model_id=base, system_prompt="Be kind.")
    )
    app = visit(ada, "model", id=custom.id)
    assert not app.exception
    assert "on tiny" in text_of(app)


def test_starter_and_what_is_built_on_it_say_so(ada: User, visit: Visit) -> None:
    starter = make_model(None, models.STARTER)
    tuned = make_model(ada, base_model_id=starter)
    assert "tiny demonstration model" in text_of(visit(ada, "model", id=tuned))
