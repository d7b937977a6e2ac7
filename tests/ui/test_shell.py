"""The shell of every page: the sign-in gate, the first account,
navigation, and what is drawn when something fails."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.clock import now
from core.config import ROOT
from core.errors import RateLimited
from core.people import sessions, users
from core.people.users import User
from core.ui import menu, places, session, show
from tests.conftest import PASSWORD
from tests.ui.conftest import Visit, text_of

PAGES = sorted(path.stem for path in (ROOT / "pages").glob("*.py"))


def fill(app: AppTest, **values: str) -> AppTest:
    for label, value in values.items():
        next(one for one in app.text_input if one.label == label.replace("_", " ")).set_value(value)
    return app


def press(app: AppTest, label: str) -> AppTest:
    next(one for one in app.button if one.label == label).click()
    return app.run()


@pytest.mark.parametrize("page", PAGES)
def test_nobody_sees_a_page_without_signing_in(visit: Visit, ada: User, page: str) -> None:
    app = visit(None, page, id="ds_x")
    assert not app.exception
    assert [one.label for one in app.text_input] == ["E-mail", "Password"]
    assert not app.title
    assert not app.sidebar.children


@pytest.mark.parametrize("page", PAGES)
def test_a_page_run_without_the_entry_script_asks_to_sign_in(
    ada: User, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "current_user", lambda: None)
    app = AppTest.from_file(ROOT / "pages" / f"{page}.py", default_timeout=20).run()
    assert not app.exception
    assert [one.label for one in app.text_input] == ["E-mail", "Password"]


def test_the_entry_script_is_not_beside_pages() -> None:
    assert not (ROOT / "core" / "ui" / "pages").exists()  # Streamlit would serve them without the gate
    assert not (ROOT / "core" / "pages").exists()


def test_a_cookie_that_is_no_text_signs_nobody_in(ada: User) -> None:
    app = AppTest.from_file(
        ROOT / "core" / "ui" / "main.py", default_timeout=20
    ).run()  # identity not patched: cookies are mocks
    assert not app.title
    assert [one.label for one in app.text_input] == ["E-mail", "Password"]


def test_a_fresh_server_says_that_the_first_account_is_the_admin(visit: Visit) -> None:
    app = visit(None, "home")
    assert "admin" in app.info[0].value
    fill(
        app,
        First_name="Ada",
        Last_name="Lovelace",
        **{"E-mail": "ada@example.com"},
        Password=PASSWORD,
        Repeat_password=PASSWORD,
    )
    press(app, "Create account")
    assert "/session/claim" in app.html[0].value
    assert [(user.email, user.name, user.role) for user in users.list_all(_admin())] == [
        ("ada@example.com", "Ada Lovelace", "admin")
    ]


def _admin() -> User:
    return User(id="usr_x", email="x@example.com", name="", role="admin", created_at=now())


GOOD = {"E-mail": "ada@example.com", "Password": PASSWORD, "Repeat password": PASSWORD}
SHORT = {"Password": "short", "Repeat password": "short"}


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"E-mail": "nobody"}, {"E-mail": "Must be an e-mail address such as ada"}),
        ({"E-mail": ""}, {"E-mail": "e-mail address"}),
        (SHORT, {"Password": "10"}),
        ({"Repeat password": PASSWORD + "x"}, {"Repeat password": "The two passwords differ."}),
        ({"First name": "x" * 101}, {"First name": "100"}),
        (
            {"E-mail": "nobody", "Password": "short"},
            {"E-mail": "e-mail address", "Password": "10", "Repeat password": "differ"},
        ),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    visit: Visit, typed: dict[str, str], told: dict[str, str]
) -> None:
    app = press(fill(visit(None, "home"), **(GOOD | typed)), "Create account")
    assert not app.exception
    assert not users.has_any()
    said = errors_by_field(app)
    assert said.keys() == told.keys()
    assert all(part in said[label] for label, part in told.items()), said
    assert [one.value for one in app.text_input if one.label in typed] == list(typed.values()), "kept"


def test_a_taken_address_is_said_at_the_address(visit: Visit, ada: User) -> None:
    invitation = users.invite(ada).token or ""
    app = visit(None, "home", invitation=invitation)
    create = {one.label: one for one in app.text_input if one.form_id == "register"}
    for label, value in GOOD.items():
        create[label].set_value(value)
    press(app, "Create account")
    assert "already an account" in errors_by_field(app)["E-mail"]


def test_what_is_about_no_field_stands_below_the_form(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    app = visit(None, "home")

    def refuse(*_args: object, **_more: object) -> None:
        raise RateLimited(retry_after=60)

    monkeypatch.setattr(users, "register", refuse)
    press(fill(app, **GOOD), "Create account")
    assert list(errors_by_field(app)) == ["Create account"]
    assert "Try again in 1 min" in errors_by_field(app)["Create account"]


def errors_by_field(app: AppTest) -> dict[str, str]:
    """Each error by the label of the field, or button, that stands before it in the form to register."""
    found, last = {}, ""
    for one in app.main:
        if one.type in ("text_input", "button") and getattr(one, "form_id", "") == "register":
            last = one.label
        elif one.type == "error":
            found[last] = one.value
    return found


def test_signing_in_hands_the_browser_a_ticket_that_opens_a_session(visit: Visit, ada: User) -> None:
    app = press(fill(visit(None, "datasets"), **{"E-mail": " ADA@example.com"}, Password=PASSWORD), "Sign in")
    script = app.html[0].value
    ticket = script.split('"ticket": "')[1].split('"')[0]
    assert sessions.user_for(sessions.claim_ticket(ticket)) == ada


def test_a_wrong_password_is_a_sentence_and_no_ticket(visit: Visit, ada: User) -> None:
    app = press(
        fill(visit(None, "home"), **{"E-mail": "ada@example.com"}, Password="wrong but long"), "Sign in"
    )
    assert "wrong" in app.error[0].value
    assert not app.html


def test_too_many_wrong_passwords_say_how_long_to_wait(visit: Visit, ada: User) -> None:
    app = visit(None, "home")
    for _ in range(6):
        press(fill(app, **{"E-mail": "ada@example.com"}, Password="wrong but long"), "Sign in")
    assert "Try again in" in app.error[0].value


def test_without_an_invitation_there_is_no_form_to_register(visit: Visit, ada: User) -> None:
    app = visit(None, "home")
    assert "Create account" not in [one.label for one in app.button]
    assert "Ask an admin" in text_of(app)


def test_an_invitation_link_lets_one_person_register(visit: Visit, ada: User) -> None:
    token = users.invite(ada).token or ""
    app = visit(None, "home", invitation=token)
    fill(app, First_name="Bob", Repeat_password=PASSWORD)
    create = [one for one in app.text_input if one.form_id == "register"]
    create[2].set_value("bob@example.com")
    create[3].set_value(PASSWORD)
    press(app, "Create account")
    assert "/session/claim" in app.html[0].value
    assert "has been used" in visit(None, "home", invitation=token).warning[0].value


@pytest.mark.parametrize(
    ("page", "list_page"),
    [("job", "fine_tuning"), ("model", "models"), ("dataset", "datasets"), ("sweep", "fine_tuning")],
)
@pytest.mark.parametrize("bad", ["", "ftj_aaaaaaaaaaaaaaaaaaaaaaaa", "nonsense", "a\x00b"])
def test_an_address_that_names_nothing_leads_to_the_list(
    visit: Visit, ada: User, page: str, list_page: str, bad: str
) -> None:
    app = visit(ada, page, **({"id": bad} if bad else {}))
    assert not app.exception
    assert f"There is no such {page}" in text_of(app)
    assert list_page in [link.proto.page for link in app.get("page_link")]


def test_a_session_that_ends_under_an_open_page_loads_it_anew(
    visit: Visit, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = visit(ada, "settings")
    monkeypatch.setattr(session, "current_user", lambda: None)
    app.run()
    assert not app.exception
    assert "location.reload" in app.html[0].value
    assert not app.title


def test_every_page_is_in_the_list_of_the_menu() -> None:
    assert sorted(entry.name for entry in menu.ENTRIES) == PAGES


def test_the_menu_shows_the_admin_page_to_admins_only(ada: User, bob: User) -> None:
    admin = next(entry for entry in menu.ENTRIES if entry.name == "admin")
    assert [menu.is_visible(admin, user) for user in (ada, bob, None)] == [True, False, False]


def test_an_unexpected_error_is_a_sentence_without_a_traceback() -> None:
    def script() -> None:
        from core.ui import show

        show.problem(ZeroDivisionError("division by zero in /srv/secret.py"))

    app = AppTest.from_function(script).run()
    assert "Something went wrong" in app.error[0].value
    assert "secret" not in app.error[0].value


def test_a_database_that_is_away_is_said_to_be_so_and_is_no_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def script() -> None:
        import sqlite3

        from sqlalchemy.exc import OperationalError

        from core.ui import show

        away = sqlite3.OperationalError("unable to open database file")
        show.problem(OperationalError("SELECT", {}, away))

    app = AppTest.from_function(script).run()
    assert "database cannot be reached" in app.error[0].value
    assert not [record for record in caplog.records if record.exc_info]


def test_errors_list_the_fields_that_are_wrong() -> None:
    def script() -> None:
        from core.errors import Detail, RateLimited, ValidationError
        from core.ui import show

        with show.guarded():
            raise ValidationError(
                "Some fields are not right.", details=[Detail("name", "at most 100 characters")]
            )
        with show.guarded():
            raise RateLimited(retry_after=90)

    first, second = AppTest.from_function(script).run().error
    assert "name: at most 100 characters" in first.value
    assert "1 min 30 s" in second.value


def test_guarded_lets_other_errors_through() -> None:
    with pytest.raises(KeyError):
        with show.guarded():
            raise KeyError("x")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "just now"),
        (90, "1 min ago"),
        (7200, "2 h ago"),
        (86_400 * 1.5, "yesterday"),
        (86_400 * 3, "3 days ago"),
    ],
)
def test_ago(seconds: float, said: str) -> None:
    assert show.ago(now() - timedelta(seconds=seconds)) == said


@pytest.mark.parametrize(
    ("n", "said"),
    [(0, "0 B"), (812, "812 B"), (1_400_000, "1.4 MB"), (2_147_483_648, "2.15 GB"), (None, "–")],
)
def test_bytes(n: int | None, said: str) -> None:
    assert show.bytes_(n) == said


@pytest.mark.parametrize(
    ("n", "said"), [(0, "0 s"), (65, "1 min 5 s"), (3_600, "1 h"), (11_400, "3 h 10 min"), (None, "–")]
)
def test_duration(n: float | None, said: str) -> None:
    assert show.duration(n) == said


def test_plain_text_stays_plain() -> None:
    assert show.plain("*a* [x](y) $z$ :red[b]") == r"\*a\* \[x\](y) \$z\$ \:red\[b\]"


def test_plain_text_cannot_turn_around_what_stands_after_it() -> None:
    assert show.plain("\u202ecod.exe \u2066x") == "cod.exe x"
    assert show.plain("שלום") == "שלום"


@pytest.mark.parametrize(
    ("text", "said"), [("a", "`a`"), ("a`b", "`` a`b ``"), ("```", "```` ``` ````"), ("\u202ea", "`a`")]
)
def test_code_holds_any_text(text: str, said: str) -> None:
    assert show.code(text) == said


def test_an_address_in_the_sidebar_is_no_link(visit: Visit, ada: User) -> None:
    nameless = replace(ada, name="")
    assert [one.value for one in visit(nameless, "home").sidebar.text] == [ada.email]


def test_only_another_page_is_scrolled_to_its_top(visit: Visit, ada: User) -> None:
    app = visit(ada, "home")
    assert not [one for one in app.html if "scrollTo" in one.value]
    app.switch_page(places.path("usage")).run()
    assert [one for one in app.html if "scrollTo" in one.value]
    assert not [one for one in app.run().html if "scrollTo" in one.value]


def test_fonts_lie_beside_their_licences() -> None:
    static = Path(session.__file__).parent / "static"
    used = [
        line.split('"')[1]
        for line in (ROOT / ".streamlit" / "config.toml").read_text().splitlines()
        if line.startswith("url = ")
    ]
    assert used
    assert all((static / url.removeprefix("app/static/")).is_file() for url in used)
    assert {path.name for path in static.glob("*OFL.txt")} == {"inter-OFL.txt", "jetbrains-mono-OFL.txt"}
