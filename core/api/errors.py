"""From an error to an HTTP status and the body of ``/api``;
``core/api/openai/errors.py`` has the body of ``/v1``.

No body names a class, a library, a path or SQL: what is not a LuthierError is an internal error with a
request id, and is logged.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from core import db, errors
from core.fields import details_of

Renderer = Callable[[errors.LuthierError, str], Response]

STATUS = {
    "bad_request": 400,
    "unauthorized": 401,
    "invalid_credentials": 401,
    "forbidden": 403,
    "read_only": 403,
    "registration_closed": 403,
    "scope_missing": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "timeout": 408,
    "conflict": 409,
    "email_taken": 409,
    "in_use": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "validation_error": 422,
    "sql_error": 422,
    "rate_limited": 429,
    "insufficient_quota": 429,
    "internal_error": 500,
    "unavailable": 503,
}


def status_of(error: errors.LuthierError) -> int:
    """The status of its code; a subclass with a code
    of its own has the status of the nearest class in the table."""
    codes = (getattr(kind, "code", "") for kind in type(error).__mro__)
    return next(STATUS[code] for code in codes if code in STATUS)


def as_luthier_error(error: Exception) -> errors.LuthierError:
    """What the frameworks raise, in our own words."""
    if isinstance(error, errors.LuthierError):
        return error
    if isinstance(error, RequestValidationError):
        return errors.ValidationError(details=details_of(error.errors(), skip=1))
    if isinstance(error, HTTPException):  # the error whose code is the first with this status in the table
        code = next((code for code, known in STATUS.items() if known == error.status_code), "")
        return (errors.class_of(code) or errors.LuthierError)()
    if errors.is_full_disk(error):
        return errors.DiskFull()
    if db.is_away(error):
        return errors.DatabaseAway()
    return errors.LuthierError("Something went wrong on the server. Its log has more under this request id.")


def body(error: errors.LuthierError, request_id: str) -> dict[str, Any]:
    """``/api``'s error object; events of a stream hold the same."""
    fields: dict[str, Any] = {"code": error.code, "message": error.message, "request_id": request_id}
    if isinstance(error, errors.ValidationError):
        fields["details"] = [asdict(detail) for detail in error.details]
    if isinstance(error, errors.SqlError):
        fields["position"] = error.position
    return fields


def render(error: errors.LuthierError, request_id: str) -> Response:
    """``/api``'s answer to an error."""
    return json_response(
        {"error": body(error, request_id)}, status=status_of(error), headers=headers_of(error)
    )


def headers_of(error: errors.LuthierError) -> dict[str, str]:
    if isinstance(error, errors.Unauthorized):
        return {"WWW-Authenticate": "Bearer", "Cache-Control": "no-store"}
    if isinstance(error, errors.RateLimited):
        return {"Retry-After": str(error.retry_after)}
    return {}


def json_response(body: Any, *, status: int, headers: dict[str, str] | None = None) -> Response:
    """JSON in ASCII: a message may quote text that is no valid Unicode."""
    return Response(json.dumps(body), status_code=status, headers=headers, media_type="application/json")
