"""Chats and their messages, and who answers them.

The chat's system prompt wins over the model's own, and so do its parameters, and a message's over both. When
a conversation outgrows the model's context its oldest turns are left out, and the reply says how many
messages; callers of ``complete``, who send their own conversation, get an error instead. Nothing written is
lost by another answer or other words: they stand beside what was there.

- ``records``: chats and messages as they are stored
- ``siblings``: answers and questions that stand beside each other
- ``answering``: who answers, and what watchers see
- ``replies``: how a reply is written, stored, watched and stopped, whoever looks
- ``sources``: where a reply's text comes from: a model or a command
- ``commands``: messages such as ``/describe``, a family
"""

from core.chats.answering import complete, regenerate, send, start, stop, tail, warm
from core.chats.records import (
    Chat,
    ChatChange,
    ChatList,
    Message,
    MessageList,
    NewChat,
    NewMessage,
    Sent,
    create,
    delete,
    delete_message,
    get,
    get_message,
    list_chats,
    list_messages,
    rewind,
    show,
    update,
)
from core.chats.replies import recover, shut_down
from core.chats.sources import is_command

__all__ = [
    "Chat",
    "ChatChange",
    "ChatList",
    "Message",
    "MessageList",
    "NewChat",
    "NewMessage",
    "Sent",
    "complete",
    "create",
    "delete",
    "delete_message",
    "get",
    "get_message",
    "is_command",
    "list_chats",
    "list_messages",
    "recover",
    "regenerate",
    "rewind",
    "send",
    "show",
    "shut_down",
    "start",
    "stop",
    "tail",
    "update",
    "warm",
]
