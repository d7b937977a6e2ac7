"""How a conversation looks: the same in chats and in the preview of training rows."""

import streamlit as st

from core.ui import markdown

AVATARS = {"user": ":material/person:", "assistant": ":material/neurology:", "system": ":material/settings:"}


def show_message(role: str, text: str) -> None:
    """One message exactly as it is stored; a system message is drawn small."""
    with st.chat_message(role, avatar=AVATARS.get(role)):
        if role == "system":
            st.caption(markdown.verbatim(text))
        else:
            st.markdown(markdown.verbatim(text))
