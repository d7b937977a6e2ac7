"""What a request needs before a model can read its prompt: the model in memory, and the prompt as tokens.

Both take seconds when they are large, so they are done in two threads beside the one that writes answers: one
loads models, the other makes prompts. Users take turns in both.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.inference.batch import Answer, Drawing
from core.inference.loaded import CannotLoad, ChatTokenizer, LoadedModel, LoadedModels
from core.inference.prompts import RequestRefused, make_prompt
from core.inference.turns import UserTurns
from core.weights import Weights

log = logging.getLogger("luthier.inference")
LONGEST_ANSWER = 1024  # tokens, when nobody says
Json = dict[str, Any]


@dataclass(frozen=True)
class Prepared:
    """A request that a model can begin with. ``loaded`` counts it as waiting."""

    request: Json
    weights: Weights
    loaded: LoadedModel
    answer: Answer

    @property
    def id(self) -> int:
        return int(self.request["id"])

    @property
    def user(self) -> str:
        return user_of(self.request)


@dataclass(frozen=True)
class Failed:
    """A request that cannot be answered, and why."""

    id: int | None
    code: str
    message: str


class Preparing:
    """``done`` is called from another thread, with each request once.

    ``say``: what the one who asked hears meanwhile. ``is_wanted``: whether somebody still waits for it.
    """

    def __init__(
        self,
        loaded: LoadedModels,
        *,
        done: Callable[[Prepared | Failed], None],
        say: Callable[[Json], None],
        is_wanted: Callable[[int], bool],
    ) -> None:
        self._loaded, self._done, self._say, self._is_wanted = loaded, done, say, is_wanted
        self._loading: UserTurns[Json] = UserTurns()
        self._waiting: UserTurns[Json] = UserTurns()
        self._changed = threading.Condition()
        self._at_work = 0

    def start(self) -> None:
        for step, name in ((self._load_next, "loads-models"), (self._prepare_next, "makes-prompts")):
            threading.Thread(target=_forever, args=(step,), name=name, daemon=True).start()

    @property
    def is_idle(self) -> bool:
        with self._changed:
            return not (self._at_work or self._loading or self._waiting)

    def add(self, request: Json) -> None:
        must_load = not self._loaded.holds(Weights.from_json(request["weights"]))
        if must_load and "id" in request:
            self._say({"id": request["id"], "loading": True})
        with self._changed:
            (self._loading if must_load else self._waiting).add(user_of(request), request)
            self._changed.notify_all()

    def _load_next(self) -> None:
        request = self._next(self._loading)
        try:
            if self._is_called_for(request):
                if "id" in request:
                    self._say({"id": request["id"], "begun": True})
                self._loaded.get(Weights.from_json(request["weights"]))
                with self._changed:
                    self._waiting.add(user_of(request), request)
        except Exception as error:  # a fault of one request must not end those of others
            self._done(_failed(request, error))
        finally:
            self._end_work()

    def _prepare_next(self) -> None:
        request = self._next(self._waiting)
        try:
            if self._is_called_for(request):
                self._prepare(request)
        except Exception as error:  # a fault of one request must not end those of others
            self._done(_failed(request, error))
        finally:
            self._end_work()

    def _prepare(self, request: Json) -> None:
        weights = Weights.from_json(request["weights"])
        if not self._loaded.holds(weights):  # it was dropped while this request waited
            self.add(request)
            return
        loaded = self._loaded.get_waiting(weights)
        try:
            chat_tokenizer = loaded.chat_tokenizer(weights)
            if "id" not in request:
                self._loaded.end_wait(loaded)
                return
            adapter = weights.version_id if weights.adapter else None
            answer = make_answer(request, chat_tokenizer=chat_tokenizer, adapter=adapter)
        except BaseException:  # raised again: whatever it was, this request waits for the model no more
            self._loaded.end_wait(loaded)
            raise
        self._done(Prepared(request, weights, loaded, answer))

    def _is_called_for(self, request: Json) -> bool:
        return "id" not in request or self._is_wanted(request["id"])

    def _next(self, turns: UserTurns[Json]) -> Json:
        with self._changed:
            while (request := turns.take()) is None:
                self._changed.wait()
            self._at_work += 1
            return request

    def _end_work(self) -> None:
        with self._changed:
            self._at_work -= 1
            self._changed.notify_all()


def user_of(request: Json) -> str:
    return str(request.get("user") or "")


def make_answer(request: Json, *, chat_tokenizer: ChatTokenizer, adapter: str | None) -> Answer:
    """Render and count the conversation. Raises RequestRefused when it is too long, when the template refuses
    it, or when it leaves nothing of ``most_tokens`` (of prompt and answer together)."""
    parameters = request["parameters"]
    most = parameters.get("max_tokens") or LONGEST_ANSWER
    prompt = make_prompt(request["messages"], chat_tokenizer, forget=request["forget"], most_tokens=most)
    room = chat_tokenizer.context_length - len(prompt.tokens)
    if request.get("most_tokens") is not None:
        room = min(room, _what_is_left(request["most_tokens"], len(prompt.tokens)))
    return Answer(
        prompt=prompt.tokens,
        most_tokens=min(most, room),
        end_tokens=set() if parameters.get("ignore_eos") else chat_tokenizer.end_tokens,
        drawing=_drawing(parameters, chat_tokenizer),
        decode=chat_tokenizer.decode,
        stops=[*parameters.get("stop", []), *chat_tokenizer.stops],
        adapter=adapter,
        left_out=prompt.left_out,
    )


def _what_is_left(most_tokens: int, prompt_tokens: int) -> int:
    if prompt_tokens >= most_tokens:
        sentence = f"This conversation has {prompt_tokens} tokens, and {most_tokens} may still be used."
        raise RequestRefused("insufficient_quota", sentence)
    return most_tokens - prompt_tokens


def _drawing(parameters: Json, chat_tokenizer: ChatTokenizer) -> Drawing:
    """What asks for a draw means one, also where the model's own default is to take the likeliest."""
    temperature, top_p = parameters.get("temperature"), parameters.get("top_p")
    top_k, min_p = max(0, parameters.get("top_k") or 0), parameters.get("min_p") or 0.0
    if temperature is None:
        asks_for_draw = (top_p is not None and top_p < 1) or top_k > 1 or min_p > 0
        temperature = chat_tokenizer.temperature or (1.0 if asks_for_draw else 0.0)
    return Drawing(
        temperature,
        chat_tokenizer.top_p if top_p is None else top_p,
        parameters.get("seed"),
        top_k,
        min_p,
        parameters.get("repetition_penalty") or 1.0,
    )


def _failed(request: Json, error: Exception) -> Failed:
    if isinstance(error, RequestRefused):
        return Failed(request.get("id"), error.code, error.message)
    if isinstance(error, CannotLoad):
        return Failed(request.get("id"), "unavailable", str(error))
    log.error("request %s failed", request.get("id"), exc_info=error)
    return Failed(request.get("id"), "unavailable", sentence_of(error))


def sentence_of(error: Exception) -> str:
    if "out of memory" in str(error).lower() or isinstance(error, MemoryError):
        return (
            "There is not enough memory to answer with this model. "
            "Try a shorter conversation or a smaller model."
        )
    return "The model failed while answering. The server's inference log says why."


def _forever(step: Callable[[], None]) -> None:
    while True:
        step()
