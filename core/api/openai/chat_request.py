"""What ``/v1/chat/completions`` may be asked, after the public documentation
of the OpenAI API. null always means the default.

A parameter that no model here can honour is an error that names it, never ignored in silence; so is a name
that nobody knows, with the known one most like it. What only labels a request (``LABELS``) is accepted.
Beside OpenAI's names those of other servers are understood that change what is drawn: top_k, min_p,
repetition_penalty, ignore_eos.
"""

import difflib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.api.openai.errors import Unsupported
from core.errors import ValidationError
from core.fields import Input, is_blank

MAX_COMPLETION_TOKENS = 8192  # models here read less; asking for more is asking for all there is
SMALLEST_TOP_P = 1e-6  # top_p 0 means: the likeliest token only
ROLES = {"developer": "system", "system": "system", "user": "user", "assistant": "assistant"}


class _Whole(Input):
    """Keeps what it does not know, so that it can be named."""

    model_config = ConfigDict(extra="allow")


class Part(_Whole):
    type: str
    text: str | None = None


class RequestMessage(_Whole):
    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    tool_calls: list[Any] | None = None


class StreamOptions(_Whole):
    include_usage: bool | None = None


class ChatRequest(_Whole):
    model: str = Field(min_length=1, max_length=300)
    messages: list[RequestMessage] = Field(min_length=1, max_length=10_000)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    n: int | None = Field(None, ge=1, le=128)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    logit_bias: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    functions: list[Any] | None = None
    function_call: Any = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    web_search_options: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    top_k: int | None = Field(None, ge=-1, le=1_000_000)
    min_p: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    repetition_penalty: float | None = Field(None, gt=0, le=100, allow_inf_nan=False)
    ignore_eos: bool | None = None

    def require_supported(self) -> None:
        """Raises Unsupported with the first parameter that cannot be honoured."""
        _require_known(self, "", LABELS)
        if self.stream_options is not None:
            _require_known(self.stream_options, "stream_options.", STREAM_LABELS)
        for param, default_values in DEFAULTS.items():
            if getattr(self, param) not in default_values:
                raise Unsupported(
                    param, f"The parameter {param!r} is not supported by the models of this server."
                )
        asked = {name: value for name, value in (self.response_format or {}).items() if value not in EMPTY}
        if asked not in ({}, {"type": "text"}):
            raise Unsupported("response_format", "Only the response_format {'type': 'text'} is supported.")
        if self.stream_options is not None and not self.stream:
            raise ValidationError.of("stream_options", "is only allowed when stream is true")
        limits = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(limits) > 1:
            raise ValidationError.of("max_tokens", "is not max_completion_tokens: give one of the two")

    def conversation(self) -> list[dict[str, str]]:
        """Roles and texts as the services take them. Raises Unsupported, ValidationError."""
        turns = [_turn(message, f"messages[{i}]") for i, message in enumerate(self.messages)]
        last = f"messages[{len(turns) - 1}]"
        if turns[-1]["role"] == "assistant":
            raise Unsupported(
                f"{last}.role",
                "The last message is the assistant's. Models of this server answer, they do not continue an "
                "answer: end with a message of the user.",
            )
        if is_blank(turns[-1]["content"]):
            raise ValidationError.of(f"{last}.content", "must not be blank")
        return turns

    def parameters(self) -> dict[str, Any]:
        """Those that were set."""
        limit = self.max_completion_tokens or self.max_tokens
        values = {
            "temperature": self.temperature,
            "top_p": None if self.top_p is None else max(self.top_p, SMALLEST_TOP_P),
            "max_tokens": None if limit is None else min(limit, MAX_COMPLETION_TOKENS),
            "seed": self.seed,
            "stop": self._stops(),
            "top_k": self.top_k,
            "min_p": self.min_p,
            "repetition_penalty": self.repetition_penalty,
            "ignore_eos": self.ignore_eos,
        }
        return {name: value for name, value in values.items() if value is not None}

    def _stops(self) -> list[str] | None:
        """Without empty texts, which would end no answer."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop
        return None if given is None else [text for text in given if text]

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


# What each unsupported parameter may be without asking for anything
DEFAULTS: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "logprobs": (None, False),
    "top_logprobs": (None,),
    "logit_bias": (None, {}),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "reasoning_effort": (None, "none"),
    "verbosity": (None, "medium"),
    "web_search_options": (None,),
    "store": (None, False),
    "service_tier": (None, "auto", "default"),
}
# What may be said and changes no answer
LABELS = (
    "user",
    "metadata",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "parallel_tool_calls",  # how tools are called; that there are any is refused
)
STREAM_LABELS = ("include_obfuscation", "continuous_usage_stats")
MESSAGE_LABELS = ("name",)
PART_LABELS = ("cache_control",)
EMPTY: tuple[Any, ...] = (None, [], {}, "")


def _require_known(given: BaseModel, place: str, labels: tuple[str, ...]) -> None:
    """Raises Unsupported with the first name that nobody knows and that asks for something."""
    known = [*type(given).model_fields, *labels]
    for name, value in (given.model_extra or {}).items():
        if name in labels or value is False or value in EMPTY:  # 0 asks for something, as temprature=0 does
            continue
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise Unsupported(f"{place}{name}", f"The parameter {name!r} is not supported here.{hint}")


def _turn(message: RequestMessage, place: str) -> dict[str, str]:
    if message.role not in ROLES:
        raise Unsupported(f"{place}.role", f"Messages of the role {message.role!r} are not supported.")
    if message.tool_calls:
        raise Unsupported(f"{place}.tool_calls", "Tool calls are not supported by the models of this server.")
    _require_known(message, f"{place}.", MESSAGE_LABELS)
    return {"role": ROLES[message.role], "content": _text(message, place)}


def _text(message: RequestMessage, place: str) -> str:
    if isinstance(message.content, str):
        return message.content
    if message.content is None:
        if message.role != "assistant":
            raise ValidationError.of(f"{place}.content", "is required")
        return ""
    for i, part in enumerate(message.content):
        if part.type != "text" or part.text is None:
            raise Unsupported(
                f"{place}.content[{i}]",
                f"Content parts of the type {part.type!r} are not supported, only text.",
            )
        _require_known(part, f"{place}.content[{i}].", PART_LABELS)
    return "\n".join(part.text or "" for part in message.content)
