"""What every provider takes and gives: a ``Generation`` in, ``Delta`` pieces and one ``Finish`` out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from core.weights import Weights

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class Usage:
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Generation:
    """One answer to make.

    ``messages``: ``{"role": "system|user|assistant", "content": str}``. ``parameters``: any of temperature,
    top_p, max_tokens, seed, stop (list of str). ``forget``: when the conversation is longer than the model's
    context, leave out the oldest turns instead of raising ContextLengthExceeded.
    """

    weights: Weights
    messages: Sequence[dict[str, str]]
    parameters: dict[str, Any] = field(default_factory=dict)
    forget: bool = False


@dataclass(frozen=True)
class Delta:
    """More text. May be empty: a sign of life while a model loads."""

    text: str


@dataclass(frozen=True)
class Finish:
    reason: FinishReason
    usage: Usage = Usage()


class Provider(Protocol):
    """``generate`` yields any number of Deltas, then one Finish; it looks at ``stop`` at least four times a
    second, and then ends with reason ``cancelled``. Closing the iterator cancels too.

    Raises Unavailable, ContextLengthExceeded, ValidationError, Conflict.
    """

    name: str
    title: str

    def generate(self, request: Generation, *, stop: Callable[[], bool]) -> Iterator[Delta | Finish]: ...

    def warm(self, weights: Weights) -> None:
        """Begin loading, if that takes time; returns at once."""

    def stop(self) -> None:
        """Let go of processes and memory. A later ``generate`` starts anew."""
