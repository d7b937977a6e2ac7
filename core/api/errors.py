"""From an error to an HTTP status and the body of ``/api``; ``core/api/openai/errors.py`` has the body of ``/v1``.

No body names a class, a library, a path or SQL: what is not a LuthierError is an internal error with a request id, and is logged.
"""

import errno
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from core import errors
from core.fields import details_of

Renderer = Callable[[errors.LuthierError, str], Response]

STATUS: dict[type[errors.LuthierError], int] = {
    errors.BadRequest: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.QueryTimeout: 408,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.ValidationError: 422,
    errors.SqlError: 422,
    errors.RateLimited: 429,
    errors.Unavailable: 503,
    errors.LuthierError: 500,
}


def status_of(error: errors.LuthierError) -> int:
    """The status of the nearest class in the table."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def as_luthier_error(error: Exception) -> errors.LuthierError:
    """What the frameworks raise, in our own words."""
    if isinstance(error, errors.LuthierError):
        return error
    if isinstance(error, RequestValidationError):
        return errors.ValidationError(details=details_of(error.errors(), skip=1))
    if isinstance(error, HTTPException):
        return _FROM_STATUS.get(error.status_code, errors.LuthierError)()
    if _is_full_disk(error):
        return errors.DiskFull()
    return errors.LuthierError("Something went wrong on the server. Its log has more under this request id.")


def body(error: errors.LuthierError, request_id: str) -> dict[str, Any]:
    """``/api``'s error object; events of a stream hold the same."""
    found: dict[str, Any] = {"code": error.code, "message": error.message, "request_id": request_id}
    if isinstance(error, errors.ValidationError):
        found["details"] = [asdict(detail) for detail in error.details]
    if isinstance(error, errors.SqlError):
        found["position"] = error.position
    return found


def render(error: errors.LuthierError, request_id: str) -> Response:
    """``/api``'s answer to an error."""
    return json_response({"error": body(error, request_id)}, status=status_of(error), headers=headers_of(error))


def headers_of(error: errors.LuthierError) -> dict[str, str]:
    if isinstance(error, errors.Unauthorized):
        return {"WWW-Authenticate": "Bearer", "Cache-Control": "no-store"}
    if isinstance(error, errors.RateLimited):
        return {"Retry-After": str(error.retry_after)}
    return {}


def json_response(body: Any, *, status: int, headers: dict[str, str] | None = None) -> Response:
    """JSON in ASCII: a message may quote text that is no valid Unicode."""
    return Response(json.dumps(body), status_code=status, headers=headers, media_type="application/json")


def _is_full_disk(error: Exception) -> bool:
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "disk is full" in str(error)


_FROM_STATUS: dict[int, type[errors.LuthierError]] = {
    400: errors.BadRequest,
    401: errors.Unauthorized,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    413: errors.TooLarge,
    415: errors.UnsupportedMediaType,
}
