"""What every provider takes and gives: a ``Generation`` in, ``Delta`` pieces and one ``Finish`` out.

Nothing here says where or how a model answers: folders, adapters and devices are the business of the local
provider alone, addresses and keys that of a provider that asks another server (``over_http``).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

TEMPLATE_AT_MOST, PER_MESSAGE_AT_MOST = 64, 16  # tokens
FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class Usage:
    """Tokens read and written."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class AskedModel:
    """The model that answers, as the registry knows it; of a custom model the one below it.

    ``id``: ``mdl_…``, or the reference of a checkpoint. ``name``: what it is called in the registry.
    ``version_id``: None when the registry holds no versions of it, as of a model of another server.
    ``context_length``: how much it reads and writes, in tokens.
    """

    id: str
    name: str
    version_id: str | None
    context_length: int


@dataclass(frozen=True)
class Generation:
    """One answer to make.

    ``messages``: ``{"role": "system|user|assistant", "content": str}``. ``parameters``: any of temperature,
    top_p, max_tokens, seed, stop (list of str), top_k, min_p, repetition_penalty, ignore_eos. ``forget``:
    when the conversation is longer than the model's context, leave out the oldest turns instead of raising
    ContextLengthExceeded. ``user``: any name of whoever asks; where not all can be answered at once, users
    take turns. ``most_tokens``: what prompt and answer together may use; OutOfTokens when the prompt alone
    needs more.
    """

    model: AskedModel
    messages: Sequence[dict[str, str]]
    parameters: dict[str, Any] = field(default_factory=dict)
    forget: bool = False
    user: str = ""
    most_tokens: int | None = None


@dataclass(frozen=True)
class Delta:
    """More text. May be empty: it shows that the model is still being loaded."""

    text: str


@dataclass(frozen=True)
class Finish:
    """The end of an answer: why it ended, what it cost, and how many messages of the conversation the model
    has not read, because it was too long."""

    reason: FinishReason
    usage: Usage = Usage()
    left_out: int = 0


def tokens_at_most(messages: Sequence[dict[str, str]]) -> int:
    """More tokens than a prompt of these messages has, whatever the tokenizer: one for each byte, and what a
    chat template may add."""
    return TEMPLATE_AT_MOST + sum(PER_MESSAGE_AT_MOST + len(one["content"].encode()) for one in messages)


class Provider(ABC):
    """Where models answer. ``name`` is the key in ``PROVIDERS`` and in the rows of its models, ``title`` what
    people read. Only ``generate`` must be written."""

    name: str
    title: str

    @abstractmethod
    def generate(self, request: Generation, *, stop: Callable[[], bool]) -> Iterator[Delta | Finish]:
        """Any number of Deltas, then one Finish.

        Looks at ``stop`` at least four times a second, and then ends with reason ``cancelled``. Closing the
        iterator cancels too. Raises Unavailable, ContextLengthExceeded, ValidationError, Conflict,
        OutOfTokens, RateLimited.
        """

    def require(self, model: AskedModel) -> None:
        """Raise Conflict or NotFound if it is known already that this model cannot answer.

        Asks nobody who may be slow.
        """
        return

    def warm(self, model: AskedModel) -> None:
        """Begin loading, if that takes time; returns at once. Raises as ``require``."""
        return

    def stop(self) -> None:
        """Let go of processes, connections and memory. A later ``generate`` starts anew."""
        return
