"""No text of a user, a model, a file or a worker makes a page call another host, or breaks it.

Two things forbid it, and each is tested alone: what is drawn holds nothing that loads (the pages are clean,
also for a browser that heeds no policy), and the policy stops whatever loads all the same.
"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from core.config import ROOT
from tests.browser.conftest import App, Server, window
from tests.browser.leaks import SILENT, Listener, Planted, listening, plant
from tests.browser.rest import Rest
from tests.browser.server import serving
from tests.waiting import wait_until

# Whatever may load something by itself: not the links that a person clicks
LOADING = """port => [...document.querySelectorAll("*")].flatMap(one => [...one.attributes].filter(
  said => said.value.includes(":" + port) && (
    ["src", "srcset", "poster", "data", "xlink:href"].includes(said.name)
    || said.name === "href" && !["a", "A"].includes(one.tagName)
    || said.name === "style" && /url[(]/.test(said.value))
).map(said => one.tagName + " " + said.name + "=" + said.value))"""
# Calls of every kind, as if a script of theirs had got into the page
CALLS = """async to => {
  const add = (tag, given) => document.body.append(Object.assign(document.createElement(tag), given));
  add("img", {src: to + "/img"}); add("script", {src: to + "/script"});
  add("video", {src: to + "/video"}); add("object", {data: to + "/object"});
  add("embed", {src: to + "/embed"});
  add("link", {rel: "stylesheet", href: to + "/css"}); add("link", {rel: "prefetch", href: to + "/prefetch"});
  add("link", {rel: "preload", as: "image", href: to + "/preload"});
  add("link", {rel: "icon", href: to + "/icon"});
  add("style", {textContent: `@import "${to}/import"; @font-face {font-family: q; src: url(${to}/font)}`});
  add("div", {style: `background: url(${to}/background); font-family: q`, textContent: "x"});
  const tried = [
    () => fetch(to + "/fetch", {mode: "no-cors"}), () => import(to + "/module"),
    () => navigator.sendBeacon(to + "/beacon", "x"),
    () => new WebSocket(to.replace("http", "ws")), () => new EventSource(to + "/events"),
  ];
  for (const attempt of tried) { try { await attempt(); } catch {} }
}"""
VISITS = """to => {
  document.body.append(Object.assign(document.createElement("iframe"), {src: to + "/frame"}));
  const form = Object.assign(document.createElement("form"), {action: to + "/form", method: "post"});
  document.body.append(form); form.submit();
}"""
STOPPED = (
    "img",
    "script",
    "video",
    "object",
    "css",
    "prefetch",
    "preload",
    "icon",
    "import",
    "font",
    "background",
    "fetch",
    "module",
    "beacon",
    "events",
)


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as made:
        yield made


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Server]:
    """A server where everybody's things have such names: what is planted is planted in all rows."""
    with serving(tmp_path) as made:
        yield made


@pytest.fixture
def hers(theirs: Server) -> Rest:
    return Rest(theirs.url, "ada@example.com")


@pytest.fixture
def planted(
    theirs: Server, hers: Rest, listener: Listener, tmp_path_factory: pytest.TempPathFactory
) -> Planted:
    return plant(hers, theirs, listener.address, tmp_path_factory.mktemp("files"))


def pages(planted: Planted) -> list[str]:
    """Those with tabs are walked through, but for a view that is asked for by its address."""
    return [
        "/",
        "/datasets",
        f"/dataset?id={planted.dataset}",
        f"/dataset?id={planted.dataset}&row=1",
        f"/dataset?id={planted.chats}&row=1",
        f"/dataset?id={planted.chats}&view=Training+view",
        f"/diff?id={planted.dataset}",
        f"/edit?id={planted.dataset}",
        f"/review?id={planted.upload}",
        "/sql",
        "/fine_tuning",
        f"/fine_tuning?dataset={planted.dataset}",
        f"/job?id={planted.job}",
        f"/job?id={planted.paused}",
        f"/compare?ids={planted.job},{planted.paused}",
        f"/sweep?id={planted.sweep}",
        "/models",
        f"/model?id={planted.model}",
        f"/chat?id={planted.chat}",
        f"/chat?model={planted.model}&dataset={planted.dataset}",
        "/api_keys",
        "/usage",
        "/guide",
        "/alerts",
        "/settings",
        "/admin",
    ]


def test_every_page_is_in_the_list() -> None:
    opened = {urlsplit(path).path.strip("/") or "home" for path in pages(Planted(*[""] * 8))}
    assert opened == {page.stem for page in (ROOT / "pages").glob("*.py")}


@pytest.mark.parametrize("where", ["most", pytest.param("everywhere", marks=pytest.mark.long)])
def test_nothing_that_others_wrote_calls_another_host(
    theirs: Server, hers: Rest, chromium: Browser, listener: Listener, planted: Planted, where: str
) -> None:
    """``most``: each page in one of two looks, and the tabs of those that show most of what others wrote."""
    shown_most = ("/dataset?", "/review?", "/job?", "/model?", "/chat?")
    with window(chromium, theirs, user=hers) as app:
        for look in ("desktop-light", "phone-dark"):
            app.show(look)
            for number, path in enumerate(pages(planted)):
                if where == "most" and (number % 2 == 0) != (look == "desktop-light"):
                    continue
                app.open(path)
                for _ in tabs_of(app, all_of_them=where == "everywhere" or path.startswith(shown_most)):
                    loading = app.page.evaluate(LOADING, listener.port)
                    assert not loading, f"{path} would load {loading}"
                    app.fits(path)
                app.shoot(f"planted-{number:02}-{urlsplit(path).path.strip('/')}-{look}")
        app.show("desktop-light")
        app.open(f"/dataset?id={planted.dataset}&view=Versions&lineage=true")
        drawn_by_webassembly = app.page.get_by_test_id("stGraphVizChart").locator("svg").first
        expect(drawn_by_webassembly).to_be_visible()
        app.watch.check()
    with window(chromium, theirs, user=hers, bypass_csp=True) as unguarded:
        unguarded.open(f"/chat?id={planted.chat}").sees("flowchart TD")
        unguarded.settled().still()
        unguarded.shoot("chat-diagrams")
        assert unguarded.page.locator('[data-testid^="stMermaid"]').count() == 0
    assert listener.heard == []


def tabs_of(app: App, *, all_of_them: bool) -> Iterator[None]:
    """The page as it opens, then with each of its tabs."""
    app.settled().still()
    yield
    # what lies below a dialog cannot be pressed
    if not all_of_them or "view=" in app.page.url or app.page.get_by_role("dialog").count():
        return
    tabs = app.page.get_by_role("tab").filter(visible=True)
    for index in range(1, tabs.count()):
        tabs.nth(index).click()
        app.settled().still()
        yield


def test_the_policy_stops_what_a_script_in_the_page_would_call(visitor: App, listener: Listener) -> None:
    visitor.watch.stop_judging()
    visitor.open("/").page.locator(".st-key-gate").wait_for()
    visitor.page.evaluate(CALLS, listener.address)
    wait_until(lambda: missing(visitor, [f"/{kind}" for kind in STOPPED]), lambda left: not left)
    assert listener.heard == []
    visitor.page.evaluate(VISITS, listener.address)
    wait_until(lambda: missing(visitor, ["frame-src", "form-action"]), lambda left: not left)
    # Chromium opens a connection for a frame or a form before it asks the policy; no request goes through it.
    assert set(listener.heard) <= {SILENT}


def missing(app: App, words: list[str]) -> list[str]:
    """Those that no policy message has named so far."""
    told = " ".join(app.watch.so_far())
    return [word for word in words if word not in told]


def test_the_description_of_the_api_works_under_the_policy(visitor: App) -> None:
    visitor.page.goto(f"{visitor.server.url}/api/docs")
    expect(visitor.page.locator(".opblock").first).to_be_visible()
    visitor.page.locator(".opblock").first.click()
    expect(visitor.page.locator(".opblock-body").first).to_be_visible()
