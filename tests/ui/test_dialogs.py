"""A dialog stays open while the page below it watches something; then the page is drawn again."""

from typing import Any

from streamlit.testing.v1 import AppTest


def page() -> None:
    import streamlit as st

    from core.ui import dialogs

    @dialogs.dialog("Question", on_dismiss=lambda: None)
    def ask() -> None:
        st.text_input("Answer", key="answer")

    if not st.session_state.get("is_fragment"):
        dialogs.begin_run()
        st.session_state["runs"] = st.session_state.get("runs", 0) + 1
    if st.session_state.get("asks"):
        ask()
    if st.session_state.pop("has_ended", False):
        dialogs.renew()
    st.markdown("drawn to its end")


def run(**state: Any) -> AppTest:
    app = AppTest.from_function(page)
    for name, value in state.items():
        app.session_state[name] = value
    return app.run()


def test_a_page_without_a_dialog_is_drawn_again() -> None:
    app = run(has_ended=True)
    assert (app.session_state["runs"], len(app.markdown)) == (2, 1)


def test_an_open_dialog_is_not_closed_by_what_has_ended() -> None:
    app = run(asks=True, has_ended=True)
    assert app.session_state["runs"] == 1
    assert app.text_input(key="answer").label == "Answer"


def test_a_new_run_of_the_page_forgets_the_dialog() -> None:
    app = run(asks=True)
    app.session_state["asks"] = False
    app.session_state["has_ended"] = True
    app.run()
    assert app.session_state["runs"] == 3
