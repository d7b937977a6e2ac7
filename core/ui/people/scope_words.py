"""What the scopes of API keys are called on the pages, and what each lets a program do."""

from collections.abc import Iterable

from core.people.api_keys import Scope

TITLES: dict[Scope, str] = {
    "chat": "Chat",
    "query": "Queries",
    "files": "Files",
    "finetune": "Fine-tuning",
}
ALLOWED: dict[Scope, str] = {
    "chat": "Ask models, in chats and over the OpenAI SDK.",
    "query": "Run SQL and read datasets.",
    "files": "Upload, read, change and delete datasets.",
    "finetune": "Read datasets; train; make, export and delete models; move aliases.",
}


def titles(scopes: Iterable[str]) -> str:
    """``chat, fine-tuning``"""
    return ", ".join(title.lower() for scope, title in TITLES.items() if scope in set(scopes))
