"""How a conversation looks: the same in chats and in the preview of training rows.

What people and models write is untrusted text. It is drawn as markdown, since models answer in it, but nothing in it may load a
picture from elsewhere (that would carry the conversation out through an address) or be read as one of Streamlit's own directives
or as a formula: ``$5 and $10`` are prices.
"""

import re

import streamlit as st

from core.ui import show

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


def verbatim(text: str) -> str:
    """Markdown that shows every character of ``text``: for rows and for what people typed."""
    return LINE_END.sub("  \n", show.plain(text))


def show_message(role: str, text: str) -> None:
    """One message exactly as it is stored; a system message is small, it is not part of the talk."""
    with st.chat_message(role, avatar=AVATARS.get(role)):
        if role == "system":
            st.caption(verbatim(text))
        else:
            st.markdown(verbatim(text))
