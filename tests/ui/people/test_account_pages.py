"""API keys, usage, settings and the admin page."""

from pathlib import Path

from core import storage
from core.db import writing
from core.people import api_keys, passwords, sessions, usage, users
from core.people.api_keys import ApiKey, KeyList, NewKey
from core.people.users import Credentials, User
from core.security import new_id
from core.storage import trash
from core.tables import ApiKeyRow
from tests.conftest import PASSWORD
from tests.ui.conftest import Visit, text_of

LONG_EMOJI_NAME = "🎻" * 100


def test_without_keys_the_page_says_what_they_are_for(visit: Visit, ada: User) -> None:
    app = visit(ada, "api_keys")
    assert not app.exception
    assert "No keys yet" in text_of(app)
    assert "/v1" in app.code[0].value


def test_a_new_key_is_shown_once_with_code_that_uses_it(visit: Visit, ada: User) -> None:
    app = visit(ada, "api_keys")
    app.button(key="new_key").click().run()
    app.text_input(key="key_name").set_value("nightly *report*")
    app.button(key="new_key_form_submit").click().run()
    assert not app.exception
    secret = app.code[0].value
    assert api_keys.identify(secret).user == ada
    assert secret in app.code[1].value
    app.button(key="key_stored").click().run()
    assert secret not in text_of(app)
    assert secret not in text_of(visit(ada, "api_keys"))


def test_a_new_key_asks_and_reads_unless_more_is_ticked(visit: Visit, ada: User) -> None:
    app = visit(ada, "api_keys")
    app.button(key="new_key").click().run()
    said = {box.key: box.label for box in app.checkbox}
    assert "Run SQL and read datasets" in said["key_scope_query"]
    app.text_input(key="key_name").set_value("first")
    app.button(key="new_key_form_submit").click().run()
    app = visit(ada, "api_keys")
    app.button(key="new_key").click().run()
    app.text_input(key="key_name").set_value("second")
    for scope in ("chat", "query"):
        app.checkbox(key=f"key_scope_{scope}").uncheck()
    app.checkbox(key="key_scope_finetune").check()
    app.number_input(key="key_limit").set_value(5000)
    app.button(key="new_key_form_submit").click().run()
    assert not app.exception
    assert f'/api/finetune -H "Authorization: Bearer {app.code[0].value}"' in app.code[1].value
    made = {key.name: (key.scopes, key.monthly_token_limit, key.reaches_api) for key in keys_of(ada)}
    assert made == {"first": (["chat", "query"], None, True), "second": (["finetune"], 5000, True)}


def test_a_key_without_a_scope_is_refused(visit: Visit, ada: User) -> None:
    app = visit(ada, "api_keys")
    app.button(key="new_key").click().run()
    app.text_input(key="key_name").set_value("x")
    for scope in ("chat", "query"):
        app.checkbox(key=f"key_scope_{scope}").uncheck()
    app.button(key="new_key_form_submit").click().run()
    assert not app.exception
    assert keys_of(ada) == []


def keys_of(user: User) -> list[ApiKey]:
    return list(api_keys.list_keys(user, KeyList(limit=100)).items)


def test_a_key_is_changed(visit: Visit, ada: User) -> None:
    new = NewKey(name="ci", scopes=["chat"], models=["gone"], monthly_token_limit=9, expires_in_days=7)
    made, _ = api_keys.create(ada, new)
    app = visit(ada, "api_keys")
    app.button(key=f"change_key_{made.id}").click().run()
    assert app.multiselect(key=f"edit_{made.id}_models").value == ["gone"]
    app.button(key=f"change_{made.id}_submit").click().run()
    assert keys_of(ada) == [made]  # nothing was changed
    app = visit(ada, "api_keys")
    app.button(key=f"change_key_{made.id}").click().run()
    app.text_input(key=f"edit_{made.id}_name").set_value("nightly *report*")
    app.checkbox(key=f"edit_{made.id}_scope_files").check()
    app.number_input(key=f"edit_{made.id}_limit").set_value(100)
    app.multiselect(key=f"edit_{made.id}_models").set_value([])
    app.selectbox(key=f"edit_{made.id}_expiry").set_value(0)
    app.button(key=f"change_{made.id}_submit").click().run()
    assert not app.exception
    (changed,) = keys_of(ada)
    assert (changed.name, changed.scopes) == ("nightly *report*", ["chat", "files"])
    assert (changed.models, changed.monthly_token_limit, changed.expires_at) == (None, 100, None)
    assert "for chat, files" in text_of(app)


def test_a_change_without_a_name_is_refused(visit: Visit, ada: User) -> None:
    made, _ = api_keys.create(ada, NewKey(name="ci"))
    app = visit(ada, "api_keys")
    app.button(key=f"change_key_{made.id}").click().run()
    app.text_input(key=f"edit_{made.id}_name").set_value("  ")
    app.button(key=f"change_{made.id}_submit").click().run()
    assert not app.exception
    assert keys_of(ada) == [made]


def test_a_key_from_before_says_that_it_reaches_v1_only_until_its_scopes_are_set(
    visit: Visit, ada: User
) -> None:
    made, _ = api_keys.create(ada, NewKey(name="old"))
    with writing() as session:
        session.get_one(ApiKeyRow, made.id).reaches_api = False
    app = visit(ada, "api_keys")
    assert "reaches `/v1` and nothing else" in text_of(app)
    app.button(key=f"change_key_{made.id}").click().run()
    app.text_input(key=f"edit_{made.id}_name").set_value("older")
    app.button(key=f"change_{made.id}_submit").click().run()
    assert [(key.name, key.reaches_api) for key in keys_of(ada)] == [("older", False)]
    app = visit(ada, "api_keys")
    app.button(key=f"change_key_{made.id}").click().run()
    app.checkbox(key=f"edit_{made.id}_api").check()
    app.button(key=f"change_{made.id}_submit").click().run()
    assert not app.exception
    assert keys_of(ada)[0].reaches_api
    assert "nothing else" not in text_of(app)


def test_a_key_without_a_name_is_refused_and_none_is_made(visit: Visit, ada: User) -> None:
    app = visit(ada, "api_keys")
    app.button(key="new_key").click().run()
    app.button(key="new_key_form_submit").click().run()
    assert not app.exception
    assert api_keys.list_keys(ada, KeyList()).total == 0


def test_revoking_asks_first_and_then_refuses_the_key(visit: Visit, ada: User) -> None:
    made, _ = api_keys.create(ada, NewKey(name=LONG_EMOJI_NAME))
    app = visit(ada, "api_keys")
    app.button(key=f"revoke_{made.id}").click().run()
    assert api_keys.list_keys(ada, KeyList()).total == 1
    app.button(key="revoke_key_yes").click().run()
    assert api_keys.list_keys(ada, KeyList()).total == 0
    assert "Revoked" not in text_of(app)
    app.toggle(key="show_revoked").set_value(True).run()
    assert "Revoked" in text_of(app)


def test_others_keys_are_not_listed(visit: Visit, ada: User, bob: User) -> None:
    api_keys.create(ada, NewKey(name="adas-own"))
    assert "adas-own" not in text_of(visit(bob, "api_keys"))


def test_usage_adds_up_and_groups(visit: Visit, ada: User) -> None:
    with writing() as session:
        usage.record(session, user_id=ada.id, kind="chat", prompt_tokens=1200, completion_tokens=34)
        usage.record(session, user_id=ada.id, kind="training", trained_tokens=5000, seconds=90)
    app = visit(ada, "usage")
    assert not app.exception
    assert {m.label: m.value for m in app.metric} == {
        "Requests": "1",
        "Chat tokens": "1,234",
        "Training time": "1 min 30 s",
        "Stored": "0 B",
    }
    app.segmented_control(key="by").set_value("kind").run()
    assert sorted(app.dataframe[0].value["Kind"]) == ["chat", "training"]


def test_unused_accounts_see_an_empty_state(visit: Visit, ada: User) -> None:
    assert "Nothing used" in text_of(visit(ada, "usage"))


def test_the_name_can_be_changed(visit: Visit, ada: User) -> None:
    app = visit(ada, "settings")
    app.text_input(key="my_name").set_value("Countess")
    app.button(key="save_name").click().run()
    assert not app.exception
    assert users.get(ada.id).name == "Countess"


def test_a_password_change_needs_the_present_one(visit: Visit, ada: User) -> None:
    app = visit(ada, "settings")
    assert app.text_input(key="new_password").help == passwords.HELP
    _type_passwords(app, old="not it at all", new="a new long password")
    assert "wrong" in app.error[0].value
    _type_passwords(app, old=PASSWORD, new="a new long password")
    assert not app.error
    assert (
        users.sign_in(Credentials(email=ada.email, password="a new long password"), address="10.0.0.1") == ada
    )


def _type_passwords(app, *, old: str, new: str) -> None:  # type: ignore[no-untyped-def]
    for key, value in (("old_password", old), ("new_password", new), ("again_password", new)):
        app.text_input(key=key).set_value(value)
    app.button(key="save_password").click().run()


def test_signing_out_everywhere_asks_first(visit: Visit, ada: User) -> None:
    token = sessions.claim_ticket(sessions.issue_ticket(ada))
    app = visit(ada, "settings")
    app.button(key="end_all").click().run()
    assert sessions.user_for(token) == ada
    app.button(key="end_all_yes").click().run()
    assert sessions.user_for(token) is None


def test_the_admin_page_says_plainly_that_it_is_not_for_others(visit: Visit, bob: User) -> None:
    app = visit(bob, "admin")
    assert "Only for admins" in text_of(app)
    assert not app.segmented_control


def test_the_admin_chooses_who_may_register(visit: Visit, ada: User) -> None:
    app = visit(ada, "admin")
    assert not app.exception
    app.segmented_control(key="registration").set_value("closed").run()
    assert users.registration_mode() == "closed"
    assert "Nobody may register" in text_of(app)


def test_an_invitation_link_is_shown_once_and_can_be_revoked(visit: Visit, ada: User) -> None:
    app = visit(ada, "admin")
    app.button(key="new_invitation").click().run()
    app.text_input(key="invitation_note").set_value("Grace")
    app.button(key="invitation_form_submit").click().run()
    token = app.code[0].value.split("invitation=")[1]
    assert users.registration_open_to_me(token)
    app.button(key=f"revoke_{users.invitations(ada)[0].id}").click().run()
    assert not users.registration_open_to_me(token)
    assert "Grace" in text_of(app)


def test_the_admin_sees_everybody(visit: Visit, ada: User, bob: User) -> None:
    assert list(visit(ada, "admin").dataframe[0].value["E-mail"]) == ["ada@example.com", "bob@example.com"]


def test_the_server_tab_tells_the_state_of_the_sandbox_and_the_disk(visit: Visit, ada: User) -> None:
    app = visit(ada, "admin", admin_tab="Server")
    assert not app.exception
    assert "free of" in app.progress[0].text
    assert "SQL sandbox" in text_of(app)


def test_a_folder_that_is_no_model_is_refused_in_words(visit: Visit, ada: User, tmp_path: Path) -> None:
    app = visit(ada, "admin", admin_tab="Base models")
    app.text_input(key="base_name").set_value("broken")
    app.text_input(key="base_source").set_value(str(tmp_path))
    app.button(key="add_base").click().run(timeout=60)
    assert not app.exception
    assert "config.json" in app.error[0].value


def test_the_admin_sees_what_lies_in_the_trash_and_until_when(visit: Visit, ada: User) -> None:
    app = visit(ada, "admin", admin_tab="Server")
    assert "Nothing in the trash" in text_of(app)
    stray = storage.job_dir(new_id("ftj"))
    stray.mkdir(parents=True)
    (stray / "log.txt").write_text("step 1")
    trash.sweep("jobs", set())
    app = visit(ada, "admin", admin_tab="Server")
    assert not app.exception
    (shown,) = [frame.value for frame in app.dataframe if "Deleted on" in frame.value.columns]
    assert shown.iloc[0]["What"] == "job"
    assert shown.iloc[0]["Name"] == stray.name
    assert (shown.iloc[0]["Deleted on"] - shown.iloc[0]["Moved"]).days == 30
