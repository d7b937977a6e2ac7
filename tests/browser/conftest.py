"""A real server in its own process and data folder, and a real Chromium that drives it.

Both start once for all tests of a pytest worker. ``rest`` is an account of a file's own, so that what other
files made does not exist there; ``app`` is a new tab in which it is signed in; ``visitor`` is a browser that
nobody has signed in to. ``App`` knows how Streamlit shows things, so that the tests read like a user's story.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Locator,
    Page,
    Request,
    expect,
    sync_playwright,
)

from core.config import ROOT
from core.people import sessions, users
from tests.browser.rest import PASSWORD, Rest
from tests.browser.server import Server, serving
from tests.waiting import wait_until

SAMPLE = ROOT / "data" / "samples" / "support_faq.jsonl"
SCREENSHOTS = Path(__file__).parent / "screenshots"
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
    "--js-flags=--no-opt --no-maglev",  # optimizing takes longer than it saves on pages that live for seconds
]
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
LOOKS = {
    "desktop-light": (DESKTOP, "light"),
    "desktop-dark": (DESKTOP, "dark"),
    "phone-light": (PHONE, "light"),
    "phone-dark": (PHONE, "dark"),
}
# Each file has its own account, transfers come in many pieces, and a training repeats to the last digit
SETTINGS = {
    "LUTHIER_REGISTRATION": "open",
    "LUTHIER_REGISTRATIONS_PER_HOUR": "1000",
    "LUTHIER_UPLOAD_CHUNK_MB": "1",
    "LUTHIER_TRAINING_THREADS": "1",
}
POLICY_MESSAGE = re.compile("content.security.policy|policy directive", re.IGNORECASE)
STILL = """([quiet, most]) => new Promise(done => {
  let rest = setTimeout(done, quiet);
  setTimeout(done, most);
  new MutationObserver(() => { clearTimeout(rest); rest = setTimeout(done, quiet); })
    .observe(document.body, {childList: true, subtree: true});
})"""
TELL_VIOLATIONS = """document.addEventListener("securitypolicyviolation", broken => console.error(
  `Content-Security-Policy broken: ${broken.violatedDirective} ${broken.blockedURI} ${broken.sourceFile}`))"""
LONGEST = 1500  # seconds of a test with its fixtures: a training takes minutes on a very busy machine
PATIENCE = 120  # seconds: far more than anything takes, because the machine may be busy
expect.set_options(timeout=PATIENCE * 1000)
only_short = False  # whether what is long for a reason is left out


def pytest_configure(config: pytest.Config) -> None:
    global only_short
    only_short = "not long" in config.option.markexpr


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(LONGEST))


def pytest_exception_interact(node: pytest.Item) -> None:
    """What the browser showed when a test failed."""
    for value in getattr(node, "funcargs", {}).values():
        if isinstance(value, App):
            SCREENSHOTS.mkdir(exist_ok=True)
            name = f"failed-{re.sub(r'[^a-z0-9]+', '-', node.name.lower())}"
            value.page.screenshot(path=SCREENSHOTS / f"{name}.png")
            (SCREENSHOTS / f"{name}.txt").write_text(value.page.inner_text("body"), encoding="utf-8")


@dataclass
class Watch:
    """What the pages of one browser did against the policy, and which other hosts they called."""

    home: str
    context: BrowserContext
    broken: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    is_judging: bool = True

    def __post_init__(self) -> None:
        self.context.add_init_script(TELL_VIOLATIONS)
        self.context.on("console", self._hear)
        self.context.on("request", self._see)

    def so_far(self) -> list[str]:
        """``broken`` once the browser has told what it knows:
        events arrive only while it is asked something."""
        for page in self.context.pages:
            with contextlib.suppress(Error):  # a page that was closed by the test
                page.evaluate("new Promise(done => setTimeout(done, 50))")
        return self.broken

    def check(self) -> None:
        """Fails for what was heard since the last check."""
        broken, foreign = list(self.so_far()), list(self.foreign)
        self.broken.clear()
        self.foreign.clear()
        if not self.is_judging:
            return
        assert not broken, f"against the Content-Security-Policy: {broken[:5]}"
        assert not foreign, f"requests to other hosts: {foreign[:5]}"

    def stop_judging(self) -> None:
        """For a test that breaks the policy on purpose:
        the browser may tell of it late, and more than once."""
        self.is_judging = False

    def _hear(self, message: ConsoleMessage) -> None:
        if POLICY_MESSAGE.search(message.text):
            self.broken.append(f"{message.page.url if message.page else '?'}: {message.text[:400]}")

    def _see(self, request: Request) -> None:
        parts = urlsplit(request.url)
        is_call = parts.scheme in ("http", "https", "ws", "wss")
        if is_call and parts.netloc != urlsplit(self.home).netloc:
            self.foreign.append(f"{request.resource_type} {request.url[:200]}")


@dataclass
class App:
    """One tab of a browser, of one user."""

    page: Page
    server: Server
    watch: Watch
    scheme: str = "light"

    def open(self, path: str = "/") -> "App":
        self.page.goto(self.server.url + path)
        return self.settled().still(quiet=0.2, most=1)

    def settled(self, timeout: float = PATIENCE) -> "App":
        """Wait until the page's script has run to its end."""
        self.page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(
            timeout=timeout * 1000
        )
        return self

    def still(self, *, quiet: float = 0.3, most: float = 2) -> "App":
        """Wait until nothing on the page has changed for ``quiet`` seconds, or ``most`` have passed: what
        still moves is missed by the mouse, and a page with a clock never rests."""
        with contextlib.suppress(Error):  # it is being replaced by another page
            self.page.evaluate(STILL, [quiet * 1000, most * 1000])
        return self

    def by_key(self, key: str) -> Locator:
        return self.page.locator(f".st-key-{key}").first

    def click(self, key: str) -> "App":
        self.by_key(key).locator("button, a").first.click()
        return self

    def fill(self, key: str, text: str) -> "App":
        entry = self.by_key(key).locator("input, textarea").first
        entry.fill(text)
        entry.blur()
        return self

    def choose(self, key: str, option: str) -> "App":
        """Pick an option of a select box by (part of) its text."""
        self.by_key(key).locator('[data-baseweb="select"], input').first.click()
        self.page.get_by_role("option", name=re.compile(re.escape(option))).first.click()
        return self

    def sees(self, text: str | re.Pattern[str], timeout: float = PATIENCE) -> "App":
        expect(self.page.get_by_text(text).filter(visible=True).first).to_be_visible(timeout=timeout * 1000)
        return self

    def reaches(self, pattern: str, timeout: float = PATIENCE) -> "App":
        """Wait until the address matches: Streamlit changes it without loading a page."""
        wait_until(
            lambda: str(self.page.evaluate("location.href")),
            lambda url: bool(re.search(pattern, url)),
            seconds=timeout,
        )
        return self.settled()

    def show(self, look: str) -> "App":
        """The same page in a window of another size or colour; ``look``: one of :data:`LOOKS`."""
        size, scheme = LOOKS[look]
        if size == self.page.viewport_size and scheme == self.scheme:
            return self
        self.scheme = scheme
        self.page.set_viewport_size(size)
        self.page.emulate_media(color_scheme=scheme)
        return self if self.page.url == "about:blank" else self.settled().still()

    def fits(self, name: str) -> "App":
        """The page is never wider than its window; wide tables scroll inside themselves."""
        wide_and_room = "[document.documentElement.scrollWidth, window.innerWidth]"
        wait_until(
            lambda: self.page.evaluate(wide_and_room),
            lambda widths: widths[0] <= widths[1],
            told=lambda: f"pixels wide in so many of the window: {name}",
        )
        return self

    def shoot_in(self, name: str, *looks: str, at: str = "") -> "App":
        """A screenshot in each look, scrolled so that what has the key ``at`` is at the top of the window.

        Ends in the look of ``app``'s beginning, the only one of the short tests.
        """
        for look in ("desktop-light",) if only_short else looks:
            self.show(look)
            if at:
                self.by_key(at).evaluate("part => part.scrollIntoView({block: 'start'})")
                self.still()
            self.fits(f"{name}-{look}").shoot(f"{name}-{look}")
        return self.show("desktop-light")

    def shoot(self, name: str) -> Path:
        """A screenshot to look at; also the proof that no traceback is on the page."""
        assert self.page.get_by_text("Traceback").count() == 0, f"a traceback is on the page {self.page.url}"
        assert self.page.locator('[data-testid="stException"]').count() == 0, (
            f"an exception is on the page {self.page.url}"
        )
        SCREENSHOTS.mkdir(exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=path)
        return path


def register(app: App, email: str) -> App:
    """Create an account by the form, on a server that is fresh or open."""
    app.open("/")
    form = app.page.locator(".st-key-gate")
    if form.get_by_role("tab", name="Create account").count():
        form.get_by_role("tab", name="Create account").click()
    for label, text in {
        "First name": "Ada",
        "Last name": "Lovelace",
        "E-mail": email,
        "Password": PASSWORD,
    }.items():
        form.get_by_label(label, exact=True).filter(visible=True).fill(text)
    form.get_by_label("Repeat password").fill(PASSWORD)
    form.get_by_role("button", name="Create account").filter(visible=True).click()
    return _signed_in(app)


def fill_in_sign_in(app: App, email: str, *, path: str = "/") -> App:
    """Sign in by the form; ends on the page of ``path``."""
    app.open(path)
    form = app.page.locator(".st-key-gate")
    form.get_by_label("E-mail").filter(visible=True).first.fill(email)
    form.get_by_label("Password", exact=True).filter(visible=True).first.fill(PASSWORD)
    form.get_by_role("button", name="Sign in").filter(visible=True).last.click()
    return _signed_in(app)


def _signed_in(app: App) -> App:
    app.page.locator(".st-key-account").first.wait_for(state="attached")
    return app.settled()


def upload_file(app: App, path: Path) -> App:
    """Bring a file in as a user does: choose it, look at the review, import it as it was detected.

    Ends on the dataset's page.
    """
    review_file(app, path)
    app.click("review_import")
    return app.reaches(r"/dataset\?.*id=ds_")


def review_file(app: App, path: Path) -> App:
    """Choose a file on the datasets page; ends on its review, which offers to import it."""
    app.open("/datasets")
    app.page.locator(".st-key-upload input[type=file]").set_input_files(path)
    app.reaches(r"/review\?.*id=upl_")
    expect(app.by_key("review_import").locator("button")).to_be_enabled()
    return app


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "The browser tests need Chromium: ./test.sh installs it, or set CHROMIUM to its path."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), **SETTINGS) as made:
        yield made


@pytest.fixture(scope="session")
def ada(server: Server) -> Rest:
    """The first account of the server, so its admin."""
    return Rest(server.url, "ada@example.com")


@pytest.fixture(scope="module")
def rest(request: pytest.FixtureRequest, server: Server, ada: Rest) -> Iterator[Rest]:
    """An account of this file's own. At the end none of its jobs takes the only place for trainings."""
    name = request.module.__name__.rpartition(".")[2].removeprefix("test_")
    made = Rest(server.url, f"{name}@example.com")
    yield made
    made.cancel_all()


@dataclass(frozen=True)
class Tuned:
    """What a finished training of Ada's left: ids."""

    dataset: str
    job: str
    model: str


@pytest.fixture(scope="session")
def tuned(ada: Rest, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """A LoRA over the starter that knows its few rows by heart: where two words are about equally likely, 16
    bits may well choose the other one, and such an export is not offered."""
    few = tmp_path_factory.mktemp("few") / "faq.jsonl"
    few.write_text("\n".join(SAMPLE.read_text(encoding="utf-8").splitlines()[:12]) + "\n", encoding="utf-8")
    dataset = ada.upload(few, name="Helpdesk FAQ")["id"]
    settings = {"n_epochs": 40, "batch_size": 4, "learning_rate": 0.005, "tuning": "lora", "lora_rank": 8}
    job = ada.finish(ada.train(dataset, "helpdesk-bot", settings, seed=7))
    return Tuned(dataset, job["id"], job["model_id"])


@pytest.fixture(scope="session")
def tab(chromium: Browser, server: Server) -> Iterator[tuple[BrowserContext, Watch]]:
    """One browser for all tests: Streamlit's scripts are loaded and compiled once."""
    context = chromium.new_context(
        viewport=DESKTOP, color_scheme="light", reduced_motion="reduce", accept_downloads=True
    )
    context.set_default_timeout(PATIENCE * 1000)
    yield context, Watch(server.url, context)
    context.close()


@pytest.fixture
def app(server: Server, tab: tuple[BrowserContext, Watch], rest: Rest) -> Iterator[App]:
    """A new tab, in which the account of this file is signed in.

    What it does against the policy, or beyond our host, fails the test.
    """
    context, watch = tab
    sign_in(context, server, rest)
    made = App(context.new_page(), server, watch)
    try:
        yield made
        watch.check()
    finally:
        made.page.close()


@pytest.fixture
def visitor(chromium: Browser, server: Server) -> Iterator[App]:
    """A browser that nobody has signed in to."""
    with window(chromium, server) as made:
        yield made


@contextlib.contextmanager
def window(
    chromium: Browser, server: Server, *, user: Rest | None = None, bypass_csp: bool = False
) -> Iterator[App]:
    """Another browser, with its own cookies; ``user`` is signed in there, None: nobody.

    What it does against the policy, or beyond our host, fails the test.
    """
    context = chromium.new_context(
        viewport=DESKTOP,
        color_scheme="light",
        reduced_motion="reduce",
        accept_downloads=True,
        bypass_csp=bypass_csp,
    )
    context.set_default_timeout(PATIENCE * 1000)
    watch = Watch(server.url, context)
    try:
        if user:
            sign_in(context, server, user)
        yield App(context.new_page(), server, watch)
        watch.check()
    finally:
        context.close()


def sign_in(context: BrowserContext, server: Server, user: Rest) -> None:
    """As the form does in the end: a session, and its token as a cookie."""
    with server.database():
        token = sessions.claim_ticket(sessions.issue_ticket(users.get(user.get("/auth/me")["id"])))
    context.clear_cookies()
    context.add_cookies([{"name": sessions.COOKIE, "value": token, "url": server.url}])
