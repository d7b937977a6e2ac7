"""Every error a service raises on purpose. Edges translate them; nothing else does.

::

    LuthierError
    ├── BadRequest                the body cannot be read at all
    ├── Unauthorized              nobody is signed in
    │   └── InvalidCredentials
    ├── Forbidden
    │   ├── ReadOnly
    │   ├── RegistrationClosed
    │   └── ScopeMissing          what an API key's scopes do not name
    ├── NotFound                  missing, or somebody else's: the same thing
    ├── MethodNotAllowed
    ├── Conflict
    │   ├── EmailTaken
    │   ├── InUse
    │   └── CannotStart            the server is not set up so that it could start
    │       └── FolderMismatch     the data folder and the database do not belong together
    ├── TooLarge
    ├── UnsupportedMediaType
    ├── ValidationError           field rules, with details
    │   ├── UnreadableFile        an upload that is not what it says, with lines
    │   └── ContextLengthExceeded the conversation is longer than the model can read
    ├── SqlError                  with the position in the text
    │   └── QueryStopped
    ├── QueryTimeout
    ├── RateLimited               with the seconds to wait
    │   └── OutOfTokens           an API key's tokens for this month are used up or reserved
    └── Unavailable               no model worker, disk full, stopping
        ├── DatabaseAway
        └── DiskFull

The class docstring's first line is the default message, ``code`` is stable and part of the API. Status codes
are one table in ``core/api/errors.py``. A message says what to do next.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Detail:
    """One broken rule: the field's name (dotted for nested fields,
    ``line N`` for rows) and what is wrong with it."""

    field: str
    message: str


class LuthierError(Exception):
    """Something went wrong."""

    code = "internal_error"

    def __init__(self, message: str | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(self.message)


class BadRequest(LuthierError):
    """The request could not be read."""

    code = "bad_request"


class Unauthorized(LuthierError):
    """Sign in first: the token is missing, wrong or expired."""

    code = "unauthorized"


class InvalidCredentials(Unauthorized):
    """The e-mail address or the password is wrong."""

    code = "invalid_credentials"


class Forbidden(LuthierError):
    """You may not do this. Ask an admin."""

    code = "forbidden"


class ReadOnly(Forbidden):
    """Base models are shared by everyone and cannot be changed."""

    code = "read_only"


class RegistrationClosed(Forbidden):
    """Registration needs an invitation. Ask an admin for a link."""

    code = "registration_closed"


class ScopeMissing(Forbidden):
    """The scopes of this API key do not name this."""

    code = "scope_missing"


class NotFound(LuthierError):
    """There is no such object."""

    code = "not_found"


class MethodNotAllowed(LuthierError):
    """This address does not take this method."""

    code = "method_not_allowed"


class Conflict(LuthierError):
    """This is not possible in the present state."""

    code = "conflict"


class EmailTaken(Conflict):
    """There is already an account with this e-mail address. Sign in instead."""

    code = "email_taken"


class InUse(Conflict):
    """It is still in use."""

    code = "in_use"


class CannotStart(Conflict):
    """The server cannot start as it is set up."""


class FolderMismatch(CannotStart):
    """The data folder and the database do not belong together."""


class TooLarge(LuthierError):
    """That is larger than this server accepts."""

    code = "too_large"


class UnsupportedMediaType(LuthierError):
    """This kind of file is not supported. Upload CSV, TSV, JSON, JSONL, Parquet, Arrow or Excel."""

    code = "unsupported_media_type"


class ValidationError(LuthierError):
    """Some fields are not right."""

    code = "validation_error"

    def __init__(self, message: str | None = None, *, details: Sequence[Detail] = ()) -> None:
        super().__init__(message or (details[0].field + ": " + details[0].message if details else None))
        self.details = tuple(details)

    @classmethod
    def of(cls, field: str, message: str) -> "ValidationError":
        """The error about one field."""
        return cls(details=[Detail(field, message)])


class UnreadableFile(ValidationError):
    """The file could not be read."""

    def __init__(self, message: str, *, lines: Sequence[tuple[int, str]] = ()) -> None:
        super().__init__(
            message, details=[Detail(f"line {n}", text) for n, text in lines] or [Detail("file", message)]
        )
        self.lines = tuple(lines)


class ContextLengthExceeded(ValidationError):
    """The conversation is longer than the model can read. Start a new one, or send less."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(
            message or type(self).__doc__,
            details=[Detail("messages", message or "longer than the model can read")],
        )


class SqlError(LuthierError):
    """The query could not be run."""

    code = "sql_error"

    def __init__(self, message: str | None = None, *, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class QueryStopped(SqlError):
    """The query was stopped."""


class QueryTimeout(LuthierError):
    """The query took too long and was stopped. Filter earlier, or ask for fewer columns."""

    code = "timeout"


class RateLimited(LuthierError):
    """Too many attempts. Wait a little and try again."""

    code = "rate_limited"

    def __init__(self, message: str | None = None, *, retry_after: int = 60) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class OutOfTokens(RateLimited):
    """This key has used up its tokens for this month."""

    code = "insufficient_quota"


class Unavailable(LuthierError):
    """The server cannot do this right now. Try again in a moment."""

    code = "unavailable"


class DatabaseAway(Unavailable):
    """The server's database cannot be reached right now. Try again in a moment."""


class DiskFull(Unavailable):
    """The server's disk is full. Delete something or ask the admin, then try again."""


def class_of(code: str) -> type[LuthierError] | None:
    """The error with this stable code, the most general one where several have it.

    For what was written down as a code and a message: by a child process, in a row. None for an unknown code.
    """
    return _BY_CODE.get(code)


def is_full_disk(error: BaseException) -> bool:
    """Whether what the system or a library raised says that the disk, or one's share of it, is full."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or says_full_disk(str(error))


def says_full_disk(message: str) -> bool:
    """For libraries that keep the system's sentence and drop its number, as DuckDB and SQLite do."""
    return any(sign in message.lower() for sign in _FULL_DISK)


def _by_code() -> dict[str, type[LuthierError]]:
    classes: dict[str, type[LuthierError]] = {}
    waiting = LuthierError.__subclasses__()
    while waiting:
        kind = waiting.pop(0)
        classes.setdefault(kind.code, kind)
        waiting += kind.__subclasses__()
    return classes


_BY_CODE = _by_code()
_FULL_DISK = ("no space left", "quota exceeded", "disk is full")
