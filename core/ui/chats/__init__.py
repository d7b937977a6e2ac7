"""Chats: the conversation, and the settings that go with it."""
