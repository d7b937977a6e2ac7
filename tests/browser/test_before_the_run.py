"""Before a fine-tuning: method, preset, what the model sees, memory and time, settings as a file, start."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import App
from tests.browser.rest import Rest

FAQ = [
    f'{{"prompt": "Wie heißt Nummer {n}? 漢字 🙂", "completion": "Sie heißt <b>{n}</b>, sagt man."}}'
    for n in range(40)
]
PAIRS = [
    f'{{"input": "What is {n}?", "preferred_output": "It is {n}.", "non_preferred_output": "No idea."}}'
    for n in range(12)
]
LONG = '{"prompt": "' + "Tell me everything. " * 60 + '", "completion": "No."}'


@pytest.fixture
def datasets(rest: Rest, tmp_path: Path) -> dict[str, str]:
    found = {}
    for name, lines in (("support", [*FAQ, LONG]), ("pairs", PAIRS)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join(lines) + "\n")
        found[name] = str(rest.upload(path)["id"])
    return found


def test_before_the_run(app: App, datasets: dict[str, str], tmp_path: Path) -> None:
    app.open(f"/fine_tuning?dataset={datasets['support']}")
    see_tokens(app)
    choose_settings(app)
    measure(app)
    app.shoot("before-plan")
    recipe = download(app, tmp_path)
    app.open(f"/fine_tuning?dataset={datasets['pairs']}")
    see_pairs(app)
    look_everywhere(app)
    load(app, recipe)
    start(app)


def see_tokens(app: App) -> None:
    app.sees("What the model sees").sees("Longest row")
    tokens = app.page.locator(".st-key-ft_tokens_row .token, .st-key-ft_tokens_row >> css=.token")
    expect(tokens.first).to_be_visible()
    learned = app.page.locator(".st-key-ft_tokens_row >> css=.token.learned").all_text_contents()
    assert "".join(learned).startswith("Sie heißt <b>0</b>, sagt man.")
    assert "�" not in "".join(tokens.all_text_contents())
    app.click("ft_row_next").settled()
    app.by_key("ft_boundaries").locator("label").first.click()
    app.settled().shoot("before-tokens")


def choose_settings(app: App) -> None:
    app.by_key("ft_preset").get_by_text("Quick look").click()
    app.settled().sees("At most 60 steps")
    expect(app.by_key("ft_n_epochs").locator("input")).to_have_value("1")


def measure(app: App) -> None:
    app.click("ft_measure")
    app.sees(re.compile("Measured on")).settled()


def download(app: App, folder: Path) -> Path:
    with app.page.expect_download() as download_:
        app.by_key("ft_yaml").locator("button").first.click()
    path = folder / "recipe.yaml"
    download_.value.save_as(path)
    assert "max_steps: 60" in path.read_text()
    return path


def see_pairs(app: App) -> None:
    app.sees("Preferred answer").sees("Other answer").sees("Beta").settled()
    assert app.by_key("ft_method").get_by_text("Preference tuning (DPO)").first.is_visible()
    app.shoot("before-pairs")


PARTS = {
    "top": "ft_data",
    "settings": "ft_model",
    "sees": "ft_sees",
    "totals": "ft_totals",
    "plan": "ft_plan",
}


def look_everywhere(app: App) -> None:
    app.sees("What the model sees").sees("Longest row").settled()
    expect(app.page.locator(".st-key-ft_tokens_preferred").first).to_be_visible()
    for part, key in PARTS.items():
        app.shoot_in(f"before-{part}", "desktop-light", "phone-dark", at=key)


def load(app: App, recipe: Path) -> None:
    app.by_key("ft_load").locator("button").first.click()
    app.page.locator("input[type=file]").first.set_input_files(recipe)
    app.sees("The settings are loaded").settled()
    expect(app.by_key("ft_max_steps").locator("input")).to_have_value("60")
    app.sees("Supervised fine-tuning")


def start(app: App) -> None:
    app.click("ft_start")
    app.reaches(r"/job\?id=ftj_")
