"""Who calls ``/v1``: the owner of an API key. Signed tokens of ``/api`` are refused."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from core.api.deps import Guarded, asking_request, bearer_token, note_user
from core.errors import Unauthorized
from core.people import api_keys
from core.people.api_keys import Caller

CurrentCaller = Annotated[Caller, Depends(asking_request)]


class WithKey(Guarded):
    """Needs ``Authorization: Bearer sk-…``."""

    asked_as = CurrentCaller

    def find_caller(self, request: Request) -> Caller:
        try:
            caller = api_keys.identify(bearer_token(request))
        except Unauthorized as error:
            raise Unauthorized(
                "Incorrect API key provided: it is missing, wrong, revoked or expired."
            ) from error
        note_user(request, caller.user)
        return caller
