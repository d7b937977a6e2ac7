"""Who calls ``/v1``: the owner of an API key. Signed tokens of ``/api`` are refused."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import Request

from core.api.deps import Guarded, asking_request, bearer_token, note_user
from core.api.scopes import scopes_for
from core.errors import Unauthorized
from core.people import api_keys
from core.people.api_keys import Caller

CurrentCaller = Annotated[Caller, Depends(asking_request)]


class WithKey(Guarded):
    """Needs ``Authorization: Bearer sk-…``, and a scope that names the route."""

    asked_as = ((CurrentCaller, lambda found: found),)

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        # the router's paths begin behind /v1
        self._scopes = {method: scopes_for(method, "/v1" + path) for method in self.methods or ()}

    def find_caller(self, request: Request) -> Caller:
        try:
            caller = api_keys.identify(bearer_token(request))
        except Unauthorized as error:
            raise Unauthorized(
                "Incorrect API key provided: it is missing, wrong, revoked or expired."
            ) from error
        note_user(request, caller.user)
        api_keys.require_scope(caller, *self._scopes[request.method])
        return caller
