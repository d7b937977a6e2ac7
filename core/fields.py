"""What every input model shares: strings without U+0000
and lone surrogates, and error messages a person can follow.

Input models live beside their service and derive from :class:`Input`. APIs let pydantic build them, pages
call :func:`parse`; both end in the same ``core.errors.ValidationError`` through :func:`details_of`. Unknown
fields are ignored, never stored.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from core.errors import Detail, ValidationError

_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")
_FIELD_NAME = re.compile(r"^[a-z_][A-Za-z0-9_]*$")
_TYPE_NAMES = {
    "str",
    "int",
    "float",
    "bool",
    "list",
    "dict",
    "bytes",
    "datetime",
    "date",
    "function",
    "constrained",
}
MAX_DETAILS = 20

Note500 = Annotated[str, Field(max_length=500)]  # why a version was made
Text2000 = Annotated[str, Field(max_length=2000)]


class Input(BaseModel):
    """A body or a form. Every string in it, however deep, is text that any database and any client can hold.

    Strict: in a body ``"5"`` is no number and ``1`` is no truth value. What comes as text, queries and forms,
    is read leniently.
    """

    model_config = ConfigDict(extra="ignore", strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _texts_are_clean(cls, value: Any) -> Any:
        return require_clean_text(value)


M = TypeVar("M", bound=BaseModel)


@cache
def properties_of(model: type[BaseModel]) -> Mapping[str, dict[str, Any]]:
    """The JSON schema of each of its fields, which takes pydantic up to 20 ms to make. Read only."""
    return MappingProxyType(model.model_json_schema()["properties"])


def parse(model: type[M], /, **values: Any) -> M:
    """Build an input model from a page's values.

    Raises core.errors.ValidationError with a detail per broken field.
    """
    try:
        return model.model_validate(values, strict=False)
    except pydantic.ValidationError as error:
        raise ValidationError(
            details=details_of(error.errors(include_url=False, include_input=False))
        ) from error


def require_clean_text(value: Any) -> Any:
    """``value`` itself.

    Raises ValueError when a string in it, also a key, holds U+0000 or a lone surrogate.
    """
    waiting = [value]  # a loop, not recursion: a body may nest deeper than Python's stack
    while waiting:
        part = waiting.pop()
        if isinstance(part, str) and _FORBIDDEN.search(part):
            raise ValueError("must not contain the null character or broken Unicode")
        if isinstance(part, Mapping):
            waiting += [*part.keys(), *part.values()]
        elif isinstance(part, (list, tuple)):
            waiting += part
    return value


def is_blank(text: str) -> bool:
    """Whether there is nothing to see: spaces, line ends and characters without a shape."""
    return not any(character.isprintable() and not character.isspace() for character in text)


def require_something(text: str) -> str:
    """``text`` itself. Raises ValueError for a blank one."""
    if text and is_blank(text):
        raise ValueError("must not be blank")
    return text


Name100 = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(require_something)]
Name200 = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(require_something)]


def details_of(errors: Sequence[Any], *, skip: int = 0) -> list[Detail]:
    """Pydantic's errors as one detail per field, without class names.

    ``skip`` drops leading places such as ``body``.
    """
    details: dict[str, Detail] = {}
    for error in _of_meant_kinds(errors)[:MAX_DETAILS]:
        field, said = _field_name(error["loc"][skip:]), _say(error)
        before = details.setdefault(field, Detail(field, said))
        other = said.removeprefix("must be ")
        if _kind_missed(error) and other not in before.message:
            details[field] = Detail(field, f"{before.message} or {other}")
    return list(details.values())


def _of_meant_kinds(errors: Sequence[Any]) -> Sequence[Any]:
    """Where a value may be of several kinds: what is wrong with it as the kind that it is. Only where it is
    none of them it is said that it is not."""
    meant = {
        error["loc"][:n] for error in errors if not _kind_missed(error) for n in range(len(error["loc"]))
    }
    return [error for error in errors if not (_kind_missed(error) and error["loc"][:-1] in meant)]


def _kind_missed(error: Any) -> bool:
    """Whether this says that a value is not of one of the kinds that it may have."""
    kind = error["loc"][-1] if error["loc"] else None
    is_kind = isinstance(kind, str) and (kind in _TYPE_NAMES or not _FIELD_NAME.match(kind))
    return is_kind and error["type"] in _WRONG_KIND


def _field_name(places: Sequence[int | str]) -> str:
    """``messages[1].role``; pydantic's names for the branches of a union are left out."""
    name = ""
    for place in places:
        if isinstance(place, int):
            name += f"[{place}]"
        elif _FIELD_NAME.match(place) and place not in _TYPE_NAMES:
            name += f".{place}" if name else place
    return name or "body"


_SAYINGS = {
    "missing": "is required",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} characters",
    "too_long": "at most {max_length} entries",
    "too_short": "at least {min_length} entries",
    "string_type": "must be text",
    "string_unicode": "must not contain the null character or broken Unicode",
    "string_pattern_mismatch": "has characters that are not allowed here",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "is too large",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dataclass_type": "must be an object",
    "list_type": "must be a list",
    "datetime_parsing": "must be a time such as 2026-01-31T12:00:00Z",
    "datetime_from_date_parsing": "must be a date or a time such as 2026-01-31T12:00:00Z",
    "date_from_datetime_parsing": "must be a date or a time such as 2026-01-31T12:00:00Z",
    "date_parsing": "must be a date such as 2026-01-31",
}
_WRONG_KIND = {"literal_error", "int_from_float"} | {
    name for name in _SAYINGS if name.endswith(("_type", "_parsing"))
}


def _say(error: Any) -> str:
    if error["type"] in ("value_error", "assertion_error"):
        return str(error["ctx"]["error"])
    if error["type"] in ("string_too_short", "too_short") and error["ctx"]["min_length"] == 1:
        return "must not be empty"
    saying = _SAYINGS.get(error["type"], "is not valid")
    return saying.format(**error.get("ctx", {}))
