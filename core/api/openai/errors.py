"""``/v1``'s body of an error: ``{"error": {"message", "type", "param", "code"}}``.

What breaks a rule is a 400 that names the parameter.
"""

from starlette.responses import Response

from core import errors
from core.api.errors import headers_of, json_response, status_of
from core.errors import Detail

CODES = {"unauthorized": "invalid_api_key", "rate_limited": "rate_limit_exceeded"}
ALL_OURS = ("internal_error", "unavailable")
LONGEST_RETRY = 120  # seconds: so long SDKs wait by themselves


class UnknownModel(errors.NotFound):
    """The model does not exist or you do not have access to it."""

    code = "model_not_found"


class Unsupported(errors.ValidationError):
    """A parameter that cannot be honoured; never silently ignored."""

    code = "unsupported_parameter"

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message, details=[Detail(param, message)])


def body(error: errors.LuthierError) -> dict[str, object]:
    return {
        "error": {
            "message": error.message,
            "type": _type(error),
            "param": _param(error),
            "code": _code(error),
        }
    }


def render(error: errors.LuthierError, request_id: str) -> Response:
    """SDKs try 409, 429 and 5xx again by themselves; what cannot become right in a moment says so."""
    status = status_of(error)
    status = 400 if status in (409, 422) else status
    headers = headers_of(error)
    if isinstance(error, errors.OutOfTokens) and error.retry_after > LONGEST_RETRY:
        headers["x-should-retry"] = "false"
    return json_response(body(error), status=status, headers=headers)


def _type(error: errors.LuthierError) -> str:
    if isinstance(error, errors.RateLimited):
        return "insufficient_quota" if isinstance(error, errors.OutOfTokens) else "rate_limit_error"
    if isinstance(error, errors.Forbidden):
        return "permission_error"
    return "server_error" if error.code in ALL_OURS else "invalid_request_error"


def _param(error: errors.LuthierError) -> str | None:
    if isinstance(error, UnknownModel):
        return "model"
    return error.details[0].field if isinstance(error, errors.ValidationError) and error.details else None


def _code(error: errors.LuthierError) -> str | None:
    if isinstance(error, errors.ContextLengthExceeded):
        return "context_length_exceeded"
    if error.code == "validation_error":
        return "invalid_value"
    return CODES.get(error.code, error.code)
