"""The Export tab of a model's page."""

import pytest
from streamlit.testing.v1 import AppTest

from core import exports, models
from core.errors import NotFound
from core.people.users import User
from core.ui.exports import export_snippets, export_view
from tests.ui.conftest import Visit, text_of
from tests.ui.things import make_export, make_model


@pytest.fixture
def starter(ada: User) -> str:
    models.ensure_starter()
    return models.list_models(ada, models.ModelList(type="base")).items[0].id


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception
    return app


def test_cards_say_size_and_use_before_anything_is_made(ada: User, starter: str, visit: Visit) -> None:
    app = visit(ada, "model", id=starter, view="export")
    assert not app.exception
    said = text_of(app)
    assert "llama.cpp, Ollama and LM Studio" in said
    assert "Nothing exported yet" in said
    offers = {offer.kind: offer for offer in exports.list_offers(ada, starter)}
    assert f"**{offers['gguf-q8_0'].size_bytes / 1e6:.3g} MB** :gray[Q8_0]" in said
    assert "This version is a whole model" in said
    assert app.button(key="export_adapter").disabled


def test_one_press_asks_for_it_and_the_card_says_so(ada: User, starter: str, visit: Visit) -> None:
    app = press(visit(ada, "model", id=starter, view="export"), "export_gguf-f16")
    asked = exports.list_exports(ada, starter).items
    assert [(export.kind, export.status) for export in asked] == [("gguf-f16", "waiting")]
    assert "export_gguf-f16" not in {button.key for button in app.button}
    assert [bar.proto.text for bar in app.get("progress")] == ["Waiting for its turn"]


def test_merged_asks_for_the_precision_with_its_size(ada: User, starter: str, visit: Visit) -> None:
    app = press(visit(ada, "model", id=starter, view="export"), "export_merged")
    assert "in bfloat16" in text_of(app)
    app.selectbox(key="export_precision").set_value("float32")
    press(app, "export_submit")
    assert exports.list_exports(ada, starter).items[0].target == "float32"


def test_a_push_needs_a_repository_and_keeps_no_token(ada: User, starter: str, visit: Visit) -> None:
    app = press(visit(ada, "model", id=starter, view="export"), "export_hub")
    app.text_input(key="export_token").set_value("hf_secret")
    press(app, "export_submit")
    assert exports.list_exports(ada, starter).total == 0
    press(app, "export_hub")
    app.text_input(key="export_repository").set_value("acme/bot")
    app.text_input(key="export_token").set_value("hf_secret")
    press(app, "export_submit")
    export = exports.list_exports(ada, starter).items[0]
    assert (export.target, export.facts["private"]) == ("acme/bot", True)
    assert "hf_secret" not in str(export)
    exports.delete_export(ada, export.id)


def test_a_ready_one_shows_its_checks_and_how_to_load_it(ada: User, visit: Visit) -> None:
    model_id = make_model(ada)
    make_export(
        ada,
        model_id,
        "gguf-q8_0",
        facts={
            "filename": "support-bot-v1-q8_0.gguf",
            "precision": "Q8_0",
            "checked_by": "transformers",
            "sha256": "abc123",
        },
    )
    app = visit(ada, "model", id=model_id, view="export")
    said = text_of(app)
    assert "9 of 10 answers the same, loaded by transformers" in said
    assert "ollama create support-bot" in said
    assert "abc123" in said
    table = next(frame.value for frame in app.dataframe if "Registry" in frame.value.columns)
    assert list(table[table.columns[0]]).count("✗ different") == 1


def test_a_failed_one_says_why_and_shows_the_answers(ada: User, visit: Visit) -> None:
    model_id = make_model(ada)
    make_export(ada, model_id, status="failed", error="Only 9 of 10 answers are the same.")
    app = visit(ada, "model", id=model_id, view="export")
    assert "Only 9 of 10 answers" in text_of(app)
    assert any("Registry" in frame.value.columns for frame in app.dataframe)


def test_delete_asks_first(ada: User, visit: Visit) -> None:
    model_id = make_model(ada)
    export_id = make_export(ada, model_id)
    app = press(visit(ada, "model", id=model_id, view="export"), f"export_delete_{export_id}")
    assert exports.get_export(ada, export_id).status == "ready"
    press(app, f"export_delete_{export_id}_yes")
    with pytest.raises(NotFound):
        exports.get_export(ada, export_id)


def test_others_see_only_their_own_exports_of_a_base(
    ada: User, bob: User, starter: str, visit: Visit
) -> None:
    make_export(ada, starter)
    assert "Nothing exported yet" in text_of(visit(bob, "model", id=starter, view="export"))


@pytest.mark.parametrize("kind", exports.KINDS)
def test_every_kind_has_a_look_and_snippets_that_are_code(ada: User, kind: exports.Kind) -> None:
    export = exports.get_export(
        ada, make_export(ada, make_model(ada, 'say "hi"'), kind, target="acme/bot" if kind == "hub" else "")
    )
    assert kind in export_view.LOOKS
    for snippet in export_snippets.build_snippets(export, model_name='say "hi"', base_name="tiny"):
        if snippet.language == "python":
            compile(snippet.code, snippet.title, "exec")
