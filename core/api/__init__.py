"""Both programming interfaces and the browser's own routes:
they find out who calls, call one service, and answer.

``rest`` is ``/api`` (signed tokens and API keys), ``openai`` is ``/v1`` (API keys), ``browser`` is what the
pages' own scripts fetch (the session cookie). ``scopes`` says what keys reach; ``edge`` holds what a router
never has to think of: methods, CORS, unknown addresses, what nobody expected.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI


def apps() -> "tuple[FastAPI, ...]":
    """Both applications; imported when asked for, because they bring every service along."""
    from core.api.openai.app import v1
    from core.api.rest.app import api

    return api, v1
