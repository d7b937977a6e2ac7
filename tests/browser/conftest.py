"""A real server in its own process and data folder, and a real Chromium that drives it.

``server`` is shared by a module's tests; ``app`` is a fresh, signed-out browser; ``App`` knows how Streamlit
shows things, so that the tests read like a user's story.
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

from tests.browser.server import Server, serving
from tests.waiting import wait_until

SCREENSHOTS = Path(__file__).parent / "screenshots"
PASSWORD = "correct horse battery"
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
POLICY_MESSAGE = re.compile("content.security.policy|policy directive", re.IGNORECASE)
STILL = """([quiet, most]) => new Promise(done => {
  let rest = setTimeout(done, quiet);
  setTimeout(done, most);
  new MutationObserver(() => { clearTimeout(rest); rest = setTimeout(done, quiet); })
    .observe(document.body, {childList: true, subtree: true});
})"""
TELL_VIOLATIONS = """document.addEventListener("securitypolicyviolation", broken => console.error(
  `Content-Security-Policy broken: ${broken.violatedDirective} ${broken.blockedURI} ${broken.sourceFile}`))"""
expect.set_options(timeout=30_000)  # Playwright's 5 s are short on a busy machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.browser)


def pytest_exception_interact(node: pytest.Item) -> None:
    """What the browser showed when a test failed."""
    for value in getattr(node, "funcargs", {}).values():
        if isinstance(value, App):
            SCREENSHOTS.mkdir(exist_ok=True)
            value.page.screenshot(
                path=SCREENSHOTS / f"failed-{re.sub(r'[^a-z0-9]+', '-', node.name.lower())}.png"
            )


@dataclass
class Watch:
    """What the pages of one window did against the policy, and which other hosts they called."""

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
                page.wait_for_timeout(50)
        return self.broken

    def check(self) -> None:
        self.so_far()
        if not self.is_judging:
            return
        assert not self.broken, f"against the Content-Security-Policy: {self.broken[:5]}"
        assert not self.foreign, f"requests to other hosts: {self.foreign[:5]}"

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
    """One browser window of one user."""

    page: Page
    server: Server
    watch: Watch

    def open(self, path: str = "/") -> "App":
        self.page.goto(self.server.url + path)
        return self.settled().still(quiet=0.2, most=1)

    def settled(self, timeout: float = 30) -> "App":
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

    def sees(self, text: str | re.Pattern[str], timeout: float = 30) -> "App":
        expect(self.page.get_by_text(text).filter(visible=True).first).to_be_visible(timeout=timeout * 1000)
        return self

    def reaches(self, pattern: str, timeout: float = 60) -> "App":
        """Wait until the address matches: Streamlit changes it without loading a page."""
        wait_until(
            lambda: str(self.page.evaluate("location.href")),
            lambda url: bool(re.search(pattern, url)),
            seconds=timeout,
        )
        return self.settled()

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
    """Create an account by the form; on a server that is fresh or open."""
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


def sign_in(app: App, email: str, *, path: str = "/") -> App:
    app.open(path)
    form = app.page.locator(".st-key-gate")
    form.get_by_label("E-mail").filter(visible=True).first.fill(email)
    form.get_by_label("Password", exact=True).filter(visible=True).first.fill(PASSWORD)
    form.get_by_role("button", name="Sign in").filter(visible=True).last.click()
    return _signed_in(app)


def _signed_in(app: App) -> App:
    app.page.locator(".st-key-account").first.wait_for(state="attached", timeout=30_000)
    return app.settled()


def upload_file(app: App, path: Path) -> App:
    """Bring a file in as a user does: choose it, look at the review, import it as it was detected.

    Ends on the dataset's page.
    """
    review_file(app, path)
    app.click("review_import")
    return app.reaches(r"/dataset\?.*id=ds_", timeout=120)


def review_file(app: App, path: Path) -> App:
    """Choose a file on the datasets page; ends on its review, which offers to import it."""
    app.open("/datasets")
    app.page.locator(".st-key-upload input[type=file]").set_input_files(path)
    app.reaches(r"/review\?.*id=upl_", timeout=90)
    expect(app.by_key("review_import").locator("button")).to_be_enabled(timeout=60_000)
    return app


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "The browser tests need Chromium: ./test.sh installs it, or set CHROMIUM to its path."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as made:
        yield made


@pytest.fixture(autouse=True)
def keeps_the_policy(request: pytest.FixtureRequest) -> Iterator[None]:
    """A window that several tests share tells which of them broke it."""
    yield
    for value in (request.node.funcargs or {}).values():
        if isinstance(value, App):
            value.watch.check()


@pytest.fixture
def app(chromium: Browser, server: Server) -> Iterator[App]:
    with window(chromium, server) as made:
        yield made


@contextlib.contextmanager
def window(
    chromium: Browser,
    server: Server,
    *,
    like: App | None = None,
    phone: bool = False,
    dark: bool = False,
    bypass_csp: bool = False,
) -> Iterator[App]:
    """A browser with its own cookies, or with a copy of those of ``like``:
    that user is signed in from its first page on.

    What it does against the policy, or beyond our host, fails the test.
    """
    context = chromium.new_context(
        storage_state=like.page.context.storage_state() if like else None,
        viewport=PHONE if phone else DESKTOP,
        color_scheme="dark" if dark else "light",
        accept_downloads=True,
        bypass_csp=bypass_csp,
    )
    watch = Watch(server.url, context)
    try:
        yield App(context.new_page(), server, watch)
        watch.check()
    finally:
        context.close()
