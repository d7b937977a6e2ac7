"""The guide says everything that there is, can be searched, and opens where links point."""

import re

import pytest

from core import cli, guide
from core.alerts import ALERT_KINDS
from core.config import Settings
from core.formats import FORMATS
from core.people.api_keys import SCOPES
from core.people.users import User
from core.runners import RUNNERS
from core.training import METHODS, Hyperparameters
from tests.ui.conftest import Visit, text_of

WHOLE = guide.whole_text()
SERVER = [name for name in Settings.model_fields if name.startswith(("training_", "ray_"))]


@pytest.mark.parametrize("name", Hyperparameters.model_fields)
def test_every_setting_of_a_training_is_in_the_guide(name: str) -> None:
    field = Hyperparameters.model_fields[name]
    assert f"`{name}`" in WHOLE
    assert str(field.description) in WHOLE


@pytest.mark.parametrize("name", [*METHODS, *RUNNERS, *(n for n, f in FORMATS.items() if f.trainable)])
def test_every_member_of_a_registry_is_in_the_guide(name: str) -> None:
    assert f"`{name}`" in WHOLE


@pytest.mark.parametrize("name", cli.commands())
def test_every_command_is_in_the_guide_with_its_options(name: str) -> None:
    assert f"#### {name}\n" in WHOLE
    options = [
        flag
        for action in cli.commands()[name]._actions
        for flag in action.option_strings
        if flag.startswith("--")
    ]
    settings = {"--" + field.replace("_", "-") for field in Hyperparameters.model_fields}
    assert [flag for flag in options if flag not in settings and flag not in WHOLE] == []


@pytest.mark.parametrize("name", SERVER)
def test_every_setting_of_the_server_about_training_is_in_the_guide(name: str) -> None:
    assert f"`LUTHIER_{name.upper()}`" in WHOLE


@pytest.mark.parametrize("kind", ALERT_KINDS)
def test_every_alert_is_in_the_guide(kind: str) -> None:
    assert f"**{kind}**" in WHOLE


@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_is_in_the_guide_with_what_it_reaches(scope: str) -> None:
    (row,) = [line for line in guide.BLOCKS["scopes"]().splitlines() if line.startswith(f"| `{scope}`")]
    assert row in WHOLE
    reached = {"chat": "`/chat`", "finetune": "`/finetune`", "files": " `/datasets`", "query": "`/query`"}
    assert reached[scope] in row


def test_a_block_that_does_not_exist_is_noticed() -> None:
    assert "{{" not in WHOLE
    assert all(re.search(rf"\{{\{{ *{name} *\}}\}}", _source()) for name in guide.BLOCKS)


def test_links_within_the_guide_lead_somewhere() -> None:
    anchors = {one.anchor for chapter in guide.CHAPTERS for one in chapter.sections}
    assert len(anchors) == sum(len(chapter.sections) for chapter in guide.CHAPTERS), (
        "an anchor stands for one section"
    )
    assert set(re.findall(r"\]\(#([a-z0-9-]+)\)", WHOLE)) <= anchors


def test_search_finds_sections_with_all_words_titles_first() -> None:
    hits = guide.search("TOKEN ray")
    assert hits
    assert all("token" in f"{h.section.title} {h.section.text}".lower() for h in hits)
    assert guide.search("settings")[0].section.title.lower().find("settings") >= 0
    assert guide.search("  ") == []
    assert guide.search("zebra quagga") == []


def test_the_page_shows_a_chapter_and_its_sections(visit: Visit, ada: User) -> None:
    app = visit(ada, "guide")
    assert not app.exception
    assert [one.value for one in app.subheader] == [one.title for one in guide.CHAPTERS[0].sections]


def test_a_link_opens_one_section_of_a_chapter(visit: Visit, ada: User) -> None:
    app = visit(ada, "guide", chapter="devices", section="ports-and-safety")
    assert [one.value for one in app.subheader] == ["Ports and safety"]
    assert "8265" in text_of(app)
    app.button(key="guide_all").click().run()
    assert len(app.subheader) == len(guide.find("devices").sections)
    assert "section" not in app.query_params


def test_another_chapter_is_opened_and_in_the_address(visit: Visit, ada: User) -> None:
    app = visit(ada, "guide", chapter="devices", section="ports-and-safety")
    app.button_group(key="guide_chapter_devices").set_value("alerts").run()
    assert not app.exception
    assert [one.value for one in app.subheader] == [one.title for one in guide.find("alerts").sections]
    assert dict(app.query_params) == {"chapter": "alerts"}


def test_an_unknown_chapter_opens_the_first(visit: Visit, ada: User) -> None:
    app = visit(ada, "guide", chapter="<script>", section="nowhere")
    assert not app.exception
    assert [one.value for one in app.subheader] == [one.title for one in guide.CHAPTERS[0].sections]


def test_the_search_on_the_page(visit: Visit, ada: User) -> None:
    app = visit(ada, "guide")
    app.text_input(key="guide_search").set_value("RAY_AUTH_TOKEN").run()
    assert not app.exception
    assert "section" in text_of(app)
    app.button(key="guide_hit_a-ray-cluster-step-by-step").click().run()
    assert [one.value for one in app.subheader] == ["A Ray cluster, step by step"]
    assert app.text_input(key="guide_search").value == ""
    app.text_input(key="guide_search").set_value("zebra quagga").run()
    assert "Nothing found" in text_of(app)


def _source() -> str:
    return "\n".join(
        (guide.HERE / f"{chapter.name}.md").read_text(encoding="utf-8") for chapter in guide.CHAPTERS
    )
