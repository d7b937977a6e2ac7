"""Before a fine-tuning: method, preset, what the model sees, memory and time, settings as a file, start."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import App, Server, register, sign_in, upload_file, window

EMAIL = "before@example.com"
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
def files(tmp_path: Path) -> dict[str, Path]:
    found = {}
    for name, lines in (("support", [*FAQ, LONG]), ("pairs", PAIRS)):
        found[name] = tmp_path / f"{name}.jsonl"
        found[name].write_text("\n".join(lines) + "\n")
    return found


@pytest.mark.timeout(900)
def test_before_the_run(
    app: App, server: Server, chromium: Browser, files: dict[str, Path], tmp_path: Path
) -> None:
    register(app, EMAIL)
    upload_file(app, files["support"])
    app.open("/fine_tuning?new=1")
    see_tokens(app)
    choose_settings(app)
    measure(app)
    app.shoot("before-plan")
    recipe = download(app, tmp_path)
    upload_file(app, files["pairs"])
    app.open("/fine_tuning?new=1")
    see_pairs(app)
    look_everywhere(chromium, server)
    load(app, recipe)
    start(app)


def see_tokens(app: App) -> None:
    app.sees("What the model sees").sees("Longest row", timeout=120)
    tokens = app.page.locator(".st-key-ft_tokens_row .token, .st-key-ft_tokens_row >> css=.token")
    expect(tokens.first).to_be_visible(timeout=120_000)
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
    app.sees(re.compile("Measured on"), timeout=120).settled()


def download(app: App, folder: Path) -> Path:
    with app.page.expect_download() as download_:
        app.by_key("ft_yaml").locator("button").first.click()
    path = folder / "recipe.yaml"
    download_.value.save_as(path)
    assert "max_steps: 60" in path.read_text()
    return path


def see_pairs(app: App) -> None:
    app.sees("Preferred answer", timeout=90).sees("Other answer").sees("Beta").settled()
    assert app.by_key("ft_method").get_by_text("Preference tuning (DPO)").first.is_visible()
    app.shoot("before-pairs")


SIZES = (("light", False, False), ("phone-dark", True, True))
PARTS = {
    "top": "ft_data",
    "settings": "ft_model",
    "sees": "ft_sees",
    "totals": "ft_totals",
    "plan": "ft_plan",
}


def look_everywhere(chromium: Browser, server: Server) -> None:
    for name, phone, dark in SIZES:
        with window(chromium, server, phone=phone, dark=dark) as other:
            sign_in(other, EMAIL, path="/fine_tuning?new=1")
            other.open("/fine_tuning?new=1").sees("What the model sees").sees(
                "Longest row", timeout=90
            ).settled()
            expect(other.page.locator(".st-key-ft_tokens_preferred").first).to_be_visible()
            wide = other.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert wide <= 0, f"{name} scrolls sideways"
            for part, key in PARTS.items():
                other.by_key(key).evaluate("e => e.scrollIntoView({block: 'start'})")
                other.page.wait_for_timeout(400)
                other.shoot(f"before-{name}-{part}")


def load(app: App, recipe: Path) -> None:
    app.open("/fine_tuning?new=1")
    app.by_key("ft_load").locator("button").first.click()
    app.page.locator("input[type=file]").first.set_input_files(recipe)
    app.sees("The settings are loaded").settled()
    expect(app.by_key("ft_max_steps").locator("input")).to_have_value("60")
    app.sees("Supervised fine-tuning")


def start(app: App) -> None:
    app.click("ft_start")
    app.reaches(r"/job\?id=ftj_")
