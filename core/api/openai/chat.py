"""``/v1/chat/completions``: one answer, whole or as a stream. Nothing is stored but the usage."""

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from core import chats, clock, models
from core.api import streaming
from core.api.openai import errors
from core.api.openai.chat_request import ChatRequest
from core.api.openai.deps import CurrentCaller, WithKey
from core.api.openai.models import require_callable
from core.errors import Unavailable
from core.people.api_keys import Caller
from core.providers.base import Delta, Finish
from core.security import new_token

router = APIRouter(route_class=WithKey, tags=["chat"])
Pieces = Iterator[Delta | Finish]
REASONS = {"stop": "stop", "length": "length", "cancelled": "stop"}


@router.post("/chat/completions", response_model=None)
async def complete_chat(body: ChatRequest, caller: CurrentCaller, request: Request) -> Response:
    """An answer to a conversation, as ``chat.completion`` or,
    with ``stream``, as ``chat.completion.chunk`` events."""
    model = await run_in_threadpool(_prepare, body, caller)
    answer = CompletionShapes(body, model)

    def make_pieces(stop: streaming.Stop) -> Pieces:
        return chats.complete(
            caller.user,
            model=model,
            messages=body.conversation(),
            parameters=body.parameters(),
            api_key_id=caller.key_id,
            stop=stop,
        )

    if body.stream:
        return await streaming.respond(lambda stop: answer.events(make_pieces(stop)), say_error=_say_error)
    return JSONResponse(answer.whole(await streaming.collect(request, make_pieces)))


class CompletionShapes:
    """The shapes of one completion: the same id, time and model in every chunk."""

    def __init__(self, body: ChatRequest, model: models.Callable) -> None:
        self.wants_usage = body.wants_usage
        self.head = {
            "id": f"chatcmpl-{new_token()}",
            "created": int(clock.now().timestamp()),
            "model": body.model,
            "system_fingerprint": model.version.id if model.version else None,
        }

    def whole(self, pieces: list[Delta | Finish]) -> dict[str, Any]:
        text = "".join(piece.text for piece in pieces if isinstance(piece, Delta))
        finish = next((piece for piece in pieces if isinstance(piece, Finish)), None)
        if finish is None:
            raise Unavailable("The answer was cut off. Try again.")
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": REASONS[finish.reason]}
        return {**self.head, "object": "chat.completion", "choices": [choice], "usage": _usage(finish)}

    def events(self, pieces: Pieces) -> Iterator[str]:
        """The first chunk has the role and comes with the first text,
        so that what fails before it has its own HTTP status."""
        began = False
        for piece in pieces:
            if isinstance(piece, Delta) and not piece.text:
                continue  # an empty piece: the model is still being loaded
            if not began:
                began = True
                yield self._chunk({"role": "assistant", "content": "", "refusal": None})
            if isinstance(piece, Delta):
                yield self._chunk({"content": piece.text})
            else:
                yield from self._ending(piece)

    def _ending(self, finish: Finish) -> Iterator[str]:
        yield self._chunk({}, REASONS[finish.reason])
        if self.wants_usage:
            yield streaming.event(
                {**self.head, "object": "chat.completion.chunk", "choices": [], "usage": _usage(finish)}
            )

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        usage = {"usage": None} if self.wants_usage else {}
        return streaming.event({**self.head, "object": "chat.completion.chunk", "choices": [choice], **usage})


def _prepare(body: ChatRequest, caller: Caller) -> models.Callable:
    """What the key's models, the model and the parameters allow."""
    model = require_callable(caller, body.model)
    body.require_supported()
    body.conversation()
    return model


def _say_error(error: Any) -> str:
    return streaming.event(errors.body(error))


def _usage(finish: Finish) -> dict[str, int]:
    used = finish.usage
    return {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.total_tokens,
    }
