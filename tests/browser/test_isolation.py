"""Bob, in the browser, at the addresses of Ada's things: for him they do not exist."""

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Server, sign_in, window
from tests.browser.rest import Rest
from tests.browser.test_screens import Things, pages, things  # noqa: F401

SECRETS = ["Helpdesk FAQ", "helpdesk-bot", "How do I return an item?", "ada@example.com", "nightly report"]


@pytest.mark.timeout(300)
def test_another_users_things_do_not_exist(server: Server, chromium: Browser, things: Things) -> None:  # noqa: F811
    ada = Rest(server.url, "ada@example.com", register=False)
    with window(chromium, server) as hers:
        sign_in(hers, "ada@example.com")
        hers.open("/admin")
        hers.by_key("registration").get_by_role("radio", name="Open").click()
        hers.settled()
    assert ada.get("/auth/me")["email"] == "ada@example.com"
    Rest(server.url, "bob@example.com")
    with window(chromium, server) as app:
        sign_in(app, "bob@example.com")
        for name, path in pages(things).items():
            app.open(path)
            text = app.page.inner_text("body")
            assert not [secret for secret in SECRETS if secret in text], f"{name} shows Bob something of Ada's"
            app.shoot(f"bob-{name}")
