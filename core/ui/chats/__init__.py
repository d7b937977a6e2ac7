"""Chats: the conversation, second tries of it, and the settings that go with it."""
