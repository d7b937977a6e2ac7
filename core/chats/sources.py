"""Where a reply's text comes from: a model, or a command."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from core import models
from core.chats import commands
from core.chats.replies import ReplyTable
from core.errors import Conflict, LuthierError, Unavailable
from core.people.users import User
from core.providers import PROVIDERS, base
from core.providers.base import AskedModel, Delta, Finish, Generation, Provider
from core.tables import MessageRow

LONGEST_ANSWER = 8192  # tokens, when nobody says
LONGEST_HISTORY = 200  # messages; what of them fits the context is the provider's business


def is_command(content: str) -> bool:
    return commands.find(content) is not None


def from_command(user: User, dataset_id: str | None, content: str) -> Iterator[Delta | ReplyTable | Finish]:
    """Answer a message that is a command. What it lacks, or what is wrong with it, becomes the reply."""
    command, arguments = commands.find(content) or (None, "")
    if command is None:  # it is no command any more
        yield Delta("There is no such command.")
    elif command.needs_dataset and dataset_id is None:
        yield Delta(f"Attach a dataset to this chat first. {commands.help_text()}")
    elif command.missing and not arguments:
        yield Delta(command.missing)
    else:
        try:
            yield from command.answer(user, dataset_id, arguments)
        except LuthierError as error:
            yield Delta(f"That could not be answered. {error.message}")
    yield Finish("stop")


def from_model(
    model: models.Callable,
    messages: Sequence[dict[str, str]],
    *,
    parameters: dict[str, Any],
    forget: bool,
    stop: Callable[[], bool],
    user_id: str = "",
    most_tokens: int | None = None,
) -> Iterator[Delta | Finish]:
    """The provider's answer, which ends with a Finish. ``most_tokens``: what prompt and answer may use.

    Raises what ``Provider.generate`` raises, Conflict for a provider that is gone, Unavailable when it stops
    in the middle. Closing the iterator cancels the answer.
    """
    provider = provider_of(model)
    request = _build_request(model, messages, parameters=parameters, forget=forget)
    events = provider.generate(replace(request, user=user_id, most_tokens=most_tokens), stop=stop)
    for event in events:
        yield event
        if isinstance(event, Finish):
            return
    raise Unavailable(f"{provider.title} ended the answer in the middle. Send your message again.")


def tokens_at_most(
    model: models.Callable, messages: Sequence[dict[str, str]], parameters: dict[str, Any]
) -> int:
    """More tokens than the conversation and its answer will have."""
    request = _build_request(model, messages, parameters=parameters, forget=False)
    answer = request.parameters.get("max_tokens") or LONGEST_ANSWER
    return base.tokens_at_most(request.messages) + int(answer)


def require(model: models.Callable) -> None:
    """Raises Conflict or NotFound if it is known already that the model cannot answer."""
    provider_of(model).require(_asked(model))


def warm(model: models.Callable) -> None:
    """Begin loading the model, if that takes time. Raises as ``require``."""
    provider_of(model).warm(_asked(model))


def _build_request(
    model: models.Callable, messages: Sequence[dict[str, str]], *, parameters: dict[str, Any], forget: bool
) -> Generation:
    """The model's own system prompt and parameters fill in what the caller leaves open."""
    says_who_it_is = any(message["role"] == "system" for message in messages)
    prompt = (
        []
        if says_who_it_is or not model.system_prompt
        else [{"role": "system", "content": model.system_prompt}]
    )
    return Generation(
        model=_asked(model),
        messages=[*prompt, *messages],
        parameters={**model.parameters, **parameters},
        forget=forget,
    )


def provider_of(model: models.Callable) -> Provider:
    """Raises Conflict when this server no longer has the model's provider."""
    name = model.answering.provider
    if name not in PROVIDERS:
        raise Conflict(f"This server has no provider named {name}, so the model cannot answer.")
    return PROVIDERS[name]


def _asked(model: models.Callable) -> AskedModel:
    answering, version = model.answering, model.version
    return AskedModel(answering.id, answering.name, version.id if version else None, answering.context_length)


def conversation(history: Sequence[MessageRow], *, system_prompt: str | None) -> list[dict[str, str]]:
    """What the model reads: the chat's system prompt,
    then all messages except commands, their answers and empty replies."""
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    rows = [row for row in history if row.content and not _belongs_to_command(row)]
    return system + [{"role": row.role, "content": row.content} for row in rows]


def _belongs_to_command(row: MessageRow) -> bool:
    if row.role == "assistant":
        return row.model_id is None and row.checkpoint is None and row.usage is None
    return row.role == "user" and is_command(row.content)
