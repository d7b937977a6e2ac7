"""Chats: asking, watching a reply grow, stopping it, coming back, and the settings."""

import threading
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from core import chats, models
from core.chats import MessageList, NewChat, NewMessage, replies, sources
from core.errors import NotFound
from core.people.users import User
from core.providers import PROVIDERS
from tests.ui.conftest import Visit, kept_from_the_browser, text_of
from tests.ui.things import Echo, make_dataset, make_model
from tests.waiting import wait_until


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Echo]:
    provider = Echo()
    monkeypatch.setitem(PROVIDERS, "echo", provider)
    yield provider
    provider.may_end.set()


@pytest.fixture
def model_id(ada: User, echo: Echo) -> str:
    return make_model(ada, "parrot", provider="echo")


def messages_of(user: User, chat_id: str) -> list[tuple[str, str]]:
    found = chats.list_messages(user, MessageList(chat_id=chat_id, limit=100)).items
    return [(message.role, message.content) for message in found]


def followed(app: AppTest) -> AppTest:
    """As a browser does: ask again and again, until the reply is there."""
    return wait_until(
        app.run, lambda seen: seen.exception or "chat_stop" not in {button.key for button in seen.button}
    )


def only_chat(user: User) -> chats.Chat:
    (found,) = chats.list_chats(user, chats.ChatList()).items
    return found


def add_faq(user: User) -> str:
    rows = [{"question": "How long?", "answer": "30 days"}, {"question": "How much?", "answer": "Free"}]
    return str(make_dataset(user, rows).dataset_id)


def test_first_message_makes_a_chat_named_after_it(ada: User, model_id: str, visit: Visit) -> None:
    app = visit(ada, "chat")
    assert not app.exception
    app.chat_input(key="chat_input").set_value("How do I return an item?").run()
    assert not followed(app).exception
    chat = only_chat(ada)
    assert (chat.title, chat.model_id) == ("How do I return an item?", model_id)
    assert app.query_params["id"] == chat.id
    assert messages_of(ada, chat.id) == [
        ("user", "How do I return an item?"),
        ("assistant", "How do I return an item?"),
    ]
    assert "parrot · 6 tokens" in text_of(app)


def test_empty_page_offers_something_to_press(ada: User, model_id: str, visit: Visit) -> None:
    app = visit(ada, "chat")
    app.button(key="chat_hint_0").click().run()
    assert messages_of(ada, only_chat(ada).id)[0][0] == "user"


def test_model_and_dataset_come_with_the_address(ada: User, model_id: str, visit: Visit) -> None:
    other, data = make_model(ada, "other", provider="echo"), add_faq(ada)
    app = visit(ada, "chat", model=other, dataset=data)
    assert app.session_state["chat_model"] == other
    assert app.session_state["chat_dataset"] == data


def test_stop_keeps_what_was_written(ada: User, model_id: str, echo: Echo, visit: Visit) -> None:
    echo.may_end.clear()
    chat = chats.create(ada, NewChat(model_id=model_id))
    reply = chats.start(ada, NewMessage(chat_id=chat.id, content="one two three")).reply
    assert reply is not None
    threading.Timer(0.3, chats.stop, (ada, reply.id)).start()
    app = visit(ada, "chat", id=chat.id)
    assert not followed(app).exception
    assert messages_of(ada, chat.id)[-1] == ("assistant", "one two ")
    assert "stopped" in text_of(app)


def test_leaving_the_page_does_not_stop_the_reply(ada: User, model_id: str, echo: Echo, visit: Visit) -> None:
    echo.may_end.clear()
    chat = chats.create(ada, NewChat(model_id=model_id))
    reply = chats.start(ada, NewMessage(chat_id=chat.id, content="one two three")).reply
    assert reply is not None
    watcher = chats.tail(ada, reply.id)
    next(watcher)
    watcher.close()
    echo.may_end.set()
    assert replies.wait(reply.id, seconds=10)
    app = visit(ada, "chat", id=chat.id)
    assert "one two three" in text_of(app)


def test_regenerate_answers_again(ada: User, model_id: str, visit: Visit) -> None:
    chat = chats.create(ada, NewChat(model_id=model_id))
    before = chats.send(ada, NewMessage(chat_id=chat.id, content="one two")).reply
    app = visit(ada, "chat", id=chat.id)
    app.button(key="chat_regenerate").click().run()
    assert not followed(app).exception
    after = chats.list_messages(ada, MessageList(chat_id=chat.id)).items[-1]
    assert before is not None
    assert after.id != before.id
    assert len(messages_of(ada, chat.id)) == 2


def test_regenerate_keeps_the_first_answer_a_click_away(ada: User, model_id: str, visit: Visit) -> None:
    chat = chats.create(ada, NewChat(model_id=model_id))
    before = chats.send(ada, NewMessage(chat_id=chat.id, content="one two")).reply
    assert before is not None
    app = visit(ada, "chat", id=chat.id)
    app.button(key="chat_regenerate").click().run()
    followed(app)
    assert "2 of 2" in text_of(app)
    after = chats.list_messages(ada, MessageList(chat_id=chat.id)).items[-1]
    app.button(key=f"chat_earlier_{after.id}").click().run()
    assert not app.exception
    assert "1 of 2" in text_of(app)
    assert chats.list_messages(ada, MessageList(chat_id=chat.id)).items[-1].id == before.id


def test_edit_changes_nothing_before_it_is_sent(ada: User, model_id: str, visit: Visit) -> None:
    chat = chats.create(ada, NewChat(model_id=model_id))
    chats.send(ada, NewMessage(chat_id=chat.id, content="one two"))
    app = visit(ada, "chat", id=chat.id)
    app.button(key="chat_edit").click().run()
    assert app.text_area(key="chat_edited_text").value == "one two"
    assert messages_of(ada, chat.id) == [("user", "one two"), ("assistant", "one two")]
    app.button(key="chat_edit_cancel").click().run()
    assert "chat_edited_text" not in {area.key for area in app.text_area}
    app.button(key="chat_edit").click().run()
    app.text_area(key="chat_edited_text").set_value("three").run()
    app.button(key="chat_edit_send").click().run()
    assert not followed(app).exception
    assert messages_of(ada, chat.id) == [("user", "three"), ("assistant", "three")]
    question = chats.list_messages(ada, MessageList(chat_id=chat.id)).items[0]
    app.button(key=f"chat_earlier_{question.id}").click().run()
    assert messages_of(ada, chat.id) == [("user", "one two"), ("assistant", "one two")]


def test_a_blank_edit_is_refused_and_the_field_stays(ada: User, model_id: str, visit: Visit) -> None:
    chat = chats.create(ada, NewChat(model_id=model_id))
    chats.send(ada, NewMessage(chat_id=chat.id, content="one two"))
    app = visit(ada, "chat", id=chat.id)
    app.button(key="chat_edit").click().run()
    app.text_area(key="chat_edited_text").set_value("  ").run()
    app.button(key="chat_edit_send").click().run()
    assert "must not be blank" in text_of(app)
    assert app.text_area(key="chat_edited_text")
    assert messages_of(ada, chat.id) == [("user", "one two"), ("assistant", "one two")]


def test_every_message_and_every_chat_can_be_reached(ada: User, model_id: str, visit: Visit) -> None:
    chat = chats.create(ada, NewChat(model_id=model_id))
    for number in range(101):
        chats.start(ada, NewMessage(chat_id=chat.id, content=f"number {number}", generate=False))
    others = [chats.create(ada, NewChat(model_id=model_id, title=f"chat {n}")).id for n in range(51)]
    app = visit(ada, "chat", id=chat.id)
    assert "number 0\n" not in text_of(app) + "\n"
    app.button(key="chat_earlier").click().run()
    assert "number 0\n" in text_of(app) + "\n"
    listed = {button.key for button in app.button}
    assert f"chats_{others[0]}" not in listed
    app.button(key="chats_more").click().run()
    assert not app.exception
    assert {f"chats_{id_}" for id_ in (*others, chat.id)} <= {button.key for button in app.button}


def test_reasoning_is_folded_and_code_about_it_is_not(ada: User, model_id: str, visit: Visit) -> None:
    chat = chats.create(ada, NewChat(model_id=model_id))
    chats.send(ada, NewMessage(chat_id=chat.id, content="<think>hidden reasoning</think>final `<think>`"))
    app = visit(ada, "chat", id=chat.id)
    assert [(fold.label, fold.markdown[0].value) for fold in app.expander] == [
        ("Reasoning", "hidden reasoning")
    ]
    drawn = [part.value for part in app.chat_message[1].markdown]
    assert "final `<think>`" in drawn


def test_the_page_says_how_much_the_model_has_not_read(
    ada: User, model_id: str, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "LONGEST_HISTORY", 2)
    chat = chats.create(ada, NewChat(model_id=model_id))
    for content in ("one", "two"):
        chats.send(ada, NewMessage(chat_id=chat.id, content=content))
    app = visit(ada, "chat", id=chat.id)
    assert "1 earlier message left out, because the conversation is longer" in text_of(app)


def test_sql_is_answered_as_a_table_without_any_model(ada: User, model_id: str, visit: Visit) -> None:
    chat = chats.create(ada, NewChat(model_id=model_id, dataset_id=add_faq(ada)))
    app = visit(ada, "chat", id=chat.id)
    app.chat_input(key="chat_input").set_value("/sql SELECT question FROM data ORDER BY 1").run()
    assert not followed(app).exception
    assert app.dataframe[0].value["question"].tolist() == ["How long?", "How much?"]
    assert "2 rows · from the dataset, without a model" in text_of(app)


def test_settings_save_themselves(ada: User, model_id: str, visit: Visit) -> None:
    chat = chats.create(ada, NewChat(model_id=model_id))
    app = visit(ada, "chat", id=chat.id)
    app.text_input(key="chat_title").set_value("Renamed").run()
    app.number_input(key="chat_temperature").set_value(0.3).run()
    saved = chats.get(ada, chat.id)
    assert (saved.title, saved.parameters) == ("Renamed", {"temperature": 0.3})


def test_switching_chats_shows_the_settings_of_each(ada: User, model_id: str, visit: Visit) -> None:
    first = chats.create(ada, NewChat(model_id=model_id, title="first", system_prompt="Be brief."))
    second = chats.create(ada, NewChat(model_id=model_id, title="second"))
    app = visit(ada, "chat", id=first.id)
    assert app.text_area(key="chat_system_prompt").value == "Be brief."
    assert kept_from_the_browser(app) == {}
    app.button(key=f"chats_{second.id}").click().run()
    assert app.text_area(key="chat_system_prompt").value == ""
    assert chats.get(ada, first.id).system_prompt == "Be brief."


def test_delete_asks_first(ada: User, model_id: str, visit: Visit) -> None:
    chat = chats.create(ada, NewChat(model_id=model_id))
    app = visit(ada, "chat", id=chat.id)
    app.button(key="chat_delete").click().run()
    assert chats.get(ada, chat.id)
    app.button(key="chat_delete_yes").click().run()
    assert not app.exception
    with pytest.raises(NotFound):
        chats.get(ada, chat.id)


def test_deleted_model_is_told_and_can_be_replaced(ada: User, model_id: str, visit: Visit) -> None:
    chat = chats.create(ada, NewChat(model_id=model_id))
    models.delete(ada, model_id)
    other = make_model(ada, "other", provider="echo")
    app = visit(ada, "chat", id=chat.id)
    assert "was deleted" in text_of(app)
    assert app.chat_input(key="chat_input").disabled
    app.selectbox(key="chat_model").select("other").run()
    assert chats.get(ada, chat.id).model_id == other
    assert not app.chat_input(key="chat_input").disabled


def test_failed_send_gives_the_text_back(ada: User, model_id: str, visit: Visit) -> None:
    chat = chats.create(ada, NewChat(model_id=model_id))
    app = visit(ada, "chat", id=chat.id)
    chats.delete(ada, chat.id)
    app.chat_input(key="chat_input").set_value("precious words").run()
    assert not app.exception
    assert "no such chat" in text_of(app)
    assert app.chat_input(key="chat_input").proto.value == "precious words"
    assert not app.chat_input(key="chat_input").disabled, "it may begin another chat"


def test_an_address_of_no_chat_leads_to_the_others(ada: User, model_id: str, visit: Visit) -> None:
    app = visit(ada, "chat", id="chat_aaaaaaaaaaaaaaaaaaaaaaaa")
    assert not app.exception
    assert "There is no such chat" in text_of(app)
    assert "All chats" in str(app.get("page_link")[0].proto)


def test_another_users_chat_looks_missing(ada: User, bob: User, model_id: str, visit: Visit) -> None:
    chat = chats.create(ada, NewChat(model_id=model_id, title="secret plans"))
    theirs, missing = visit(bob, "chat", id=chat.id), visit(bob, "chat", id="chat_aaaaaaaaaaaaaaaaaaaaaaaa")
    assert text_of(theirs) == text_of(missing)
    assert "secret" not in text_of(theirs)


def test_starter_is_named_a_demonstration_where_it_answers(ada: User, echo: Echo, visit: Visit) -> None:
    make_model(None, models.STARTER, provider="echo")
    assert "tiny demonstration model" in text_of(visit(ada, "chat"))


def test_reply_that_grows_is_followed_to_its_end(ada: User, model_id: str, echo: Echo, visit: Visit) -> None:
    echo.may_end.clear()
    chat = chats.create(ada, NewChat(model_id=model_id))
    chats.start(ada, NewMessage(chat_id=chat.id, content="one two three"))
    app = visit(ada, "chat", id=chat.id)
    assert "one two  ▌" in text_of(app)
    assert "chat_stop" in {button.key for button in app.button}
    echo.may_end.set()
    assert not followed(app).exception
    assert "one two three" in text_of(app)
    assert "chat_stop" not in {button.key for button in app.button}
