"""How a conversation looks: the same in chats and in the preview of training rows.

What people and models write is untrusted text. It is drawn as markdown, since models answer in it, but nothing in it may load a
picture from elsewhere (that would carry the conversation out through an address) or be read as one of Streamlit's own directives
or as a formula: ``$5 and $10`` are prices.
"""

import re

import streamlit as st

AVATARS = {"user": ":material/person:", "assistant": ":material/neurology:", "system": ":material/settings:"}
CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)
SPECIAL = re.compile(r"\$|!(?=\[)|:(?=[a-z][a-z0-9_+-]*[\[:/])|<(?=[a-zA-Z/!])")
LINE_END = re.compile(r"(?<!\n)\n(?!\n)")


def as_written(text: str) -> str:
    """Markdown that shows ``text`` as it was meant: lines stay lines, code stays code, nothing else takes effect."""
    parts = CODE.split(text)
    return "".join(part if index % 2 else _tame(part) for index, part in enumerate(parts))


def _tame(prose: str) -> str:
    escaped = SPECIAL.sub(lambda found: "\\" + found[0], prose)
    return LINE_END.sub("  \n", escaped)


def show_message(role: str, text: str) -> None:
    """One message with its speaker's symbol; a system message is small, it is not part of the talk."""
    with st.chat_message(role, avatar=AVATARS.get(role)):
        if role == "system":
            st.caption(as_written(text))
        else:
            st.markdown(as_written(text))
