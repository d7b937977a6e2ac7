"""Which routes the scopes of an API key name, on both APIs: one table, read from the top, the first line that
fits decides.

A line holds for its path and all below it. Of several scopes one is enough; with none the route is for people
who are signed in, and no key reaches it. A route that no line fits is reached by no key either, and fails
``tests/api/test_scopes.py``. What a key that has the scope may do is the services' business: the rules of its
owner hold.
"""

from typing import NamedTuple

from core.people.api_keys import SCOPES, Scope

PEOPLE: tuple[Scope, ...] = ()


class Reach(NamedTuple):
    """``methods``: with blanks between; ``*`` for all."""

    methods: str
    path: str
    scopes: tuple[Scope, ...]

    def fits(self, method: str, path: str) -> bool:
        is_below = path == self.path or path.startswith(self.path + "/")
        return is_below and (self.methods == "*" or method in self.methods.split())


TABLE = (
    Reach("GET", "/api/auth/me", SCOPES),
    Reach("*", "/api/auth", PEOPLE),
    Reach("*", "/api/apikeys", PEOPLE),
    Reach("*", "/api/usage", PEOPLE),
    Reach("*", "/api/alerts", PEOPLE),
    Reach("*", "/api/webhook", PEOPLE),
    Reach("*", "/api/chats", ("chat",)),
    Reach("*", "/api/messages", ("chat",)),
    Reach("GET", "/api/datasets", ("query", "files", "finetune")),
    Reach("*", "/api/datasets", ("files",)),
    Reach("*", "/api/uploads", ("files",)),
    Reach("POST", "/api/query", ("query",)),
    Reach("POST", "/api/models/bases", PEOPLE),
    Reach("*", "/api/models/{model_id}/exports", ("finetune",)),
    Reach("*", "/api/models/{model_id}/export-kinds", ("finetune",)),
    Reach("GET", "/api/models", ("chat", "finetune")),
    Reach("*", "/api/models", ("finetune",)),
    Reach("*", "/api/finetune", ("finetune",)),
    Reach("*", "/api/sweeps", ("finetune",)),
    Reach("*", "/api/exports", ("finetune",)),
    Reach("GET", "/v1/models", ("chat", "finetune")),
    Reach("*", "/v1/models", ("finetune",)),
    Reach("POST", "/v1/chat", ("chat",)),
    Reach("POST", "/v1/completions", ("chat",)),
    Reach("POST", "/v1/responses", ("chat",)),
    Reach("POST", "/v1/embeddings", ("chat",)),
    Reach("*", "/v1/files", ("files",)),
    Reach("*", "/v1/fine_tuning", ("finetune",)),
)


def decision(method: str, path: str) -> Reach | None:
    """The line for a route, by its path as it is written in the router: ``/api/chats/{chat_id}``."""
    return next((line for line in TABLE if line.fits(method, path)), None)


def scopes_for(method: str, path: str) -> tuple[Scope, ...]:
    """Those of which one is enough; none: no key reaches it."""
    line = decision(method, path)
    return line.scopes if line else PEOPLE
