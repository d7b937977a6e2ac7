"""``python -m core.inference.server``: the process in which models answer.

The only serving code that imports torch.

JSON lines come in on stdin and go out on stdout; whatever libraries print goes to stderr, which is a log
file. One thread reads stdin, the main thread runs the models: between two steps it takes in new requests, so
answers of one base are written together. The process ends with its parent, when stdin closes, and by itself
after it has been idle: the parent starts another when one is needed.

In::

    {"op": "generate", "id": 7, "weights": {...}, "messages": [...], "parameters": {...}, "forget": false}
    {"op": "cancel", "id": 7}          {"op": "load", "weights": {...}}

Out::

    {"id": 7, "loading": true}         {"id": 7, "delta": "text"}
    {"id": 7, "finish": "stop", "prompt_tokens": 12, "completion_tokens": 5}
    {"id": 7, "error": {"code": "unavailable", "message": "..."}}
"""

import argparse
import logging
import queue
import time
from collections import deque
from typing import Any

from core import hardware
from core.inference.batch import Answer, Drawing
from core.inference.loaded import CannotLoad, ChatTokenizer, LoadedModel, LoadedModels
from core.processes import line_server
from core.processes.line_server import Lines
from core.weights import Weights

log = logging.getLogger("luthier.inference")
MOST_ROWS = 16
LONGEST_ANSWER = 1024  # tokens, when nobody says
ROOM_FOR_ANSWER = 128  # tokens left free when old turns are forgotten
Json = dict[str, Any]


class RequestRefused(Exception):
    """A request that cannot be answered; ``code`` is the error's stable code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class InferenceServer:
    def __init__(self, lines: Lines, *, idle_seconds: float) -> None:
        self._send = lines.send
        self._idle_seconds = idle_seconds
        self._inbox = lines.inbox
        self._waiting: deque[Json] = deque()
        self._writing: dict[int, tuple[LoadedModel, Answer]] = {}
        self._loaded = LoadedModels()
        self._idle_since = time.monotonic()

    def run(self) -> None:
        """Until the process was idle for long enough."""
        while not self._is_done():
            self._take_in()
            while self._waiting and len(self._writing) < MOST_ROWS:
                self._begin(self._waiting.popleft())
            for loaded in self._loaded:
                if loaded.batch.rows:
                    self._step(loaded)
            self._loaded.drop_idle(self._idle_seconds)

    def _is_done(self) -> bool:
        if self._waiting or self._writing or list(self._loaded):
            self._idle_since = time.monotonic()
        return time.monotonic() - self._idle_since > self._idle_seconds and self._inbox.empty()

    def _take_in(self) -> None:
        """Everything that has arrived; waits a second for something when there is nothing else to do."""
        try:
            self._sort_in(self._inbox.get(timeout=0 if self._writing or self._waiting else 1))
            while True:
                self._sort_in(self._inbox.get_nowait())
        except queue.Empty:
            return

    def _sort_in(self, request: Json) -> None:
        if request["op"] == "cancel":
            self._cancel(request["id"])
        else:
            self._waiting.append(request)

    def _cancel(self, request_id: int) -> None:
        if request_id in self._writing:
            loaded, answer = self._writing[request_id]
            self._tell(request_id, answer, loaded.batch.cancel(answer))
        for request in [r for r in self._waiting if r.get("id") == request_id]:
            self._waiting.remove(request)
            self._send({"id": request_id, "finish": "cancelled", "prompt_tokens": 0, "completion_tokens": 0})

    def _begin(self, request: Json) -> None:
        """Outermost for one request: whatever it breaks must not take the others' answers along."""
        request_id = request.get("id")
        try:
            loaded, answer = self._prepare(request)
            if request_id is not None and answer is not None:
                self._writing[request_id] = (loaded, answer)
                self._tell(request_id, answer, loaded.batch.join(answer))
        except (CannotLoad, RequestRefused) as error:
            self._fail(request_id, getattr(error, "code", "unavailable"), str(error))
        except Exception as error:  # a fault of one request must not end the others' answers
            log.exception("request %s failed", request_id)
            self._fail(request_id, "unavailable", _sentence(error))

    def _prepare(self, request: Json) -> tuple[LoadedModel, Answer | None]:
        weights = Weights.from_json(request["weights"])
        if not self._loaded.holds(weights) and "id" in request:
            self._send({"id": request["id"], "loading": True})
        loaded = self._loaded.get(weights)
        adapter = loaded.put_on(weights)
        chat_tokenizer = loaded.chat_tokenizer(weights)
        return loaded, make_answer(
            request, chat_tokenizer=chat_tokenizer, adapter=adapter
        ) if "id" in request else None

    def _step(self, loaded: LoadedModel) -> None:
        """Outermost for one batch: when a step fails, its rows end
        with an error and the model is loaded anew next time."""
        ids = {id(answer): request_id for request_id, (_, answer) in self._writing.items()}
        loaded.last_used = time.monotonic()
        try:
            for answer, text in loaded.batch.step():
                self._tell(ids[id(answer)], answer, text)
        except Exception as error:  # a fault of one model must not end the answers of others
            log.exception("a step failed")
            for answer in loaded.batch.rows:
                self._fail(ids[id(answer)], "unavailable", _sentence(error))
            self._loaded.drop(loaded)

    def _tell(self, request_id: int, answer: Answer, text: str) -> None:
        if text:
            self._send({"id": request_id, "delta": text})
        if answer.reason is not None:
            self._writing.pop(request_id, None)
            counts = {"prompt_tokens": len(answer.prompt), "completion_tokens": len(answer.written)}
            self._send({"id": request_id, "finish": answer.reason, **counts})

    def _fail(self, request_id: int | None, code: str, message: str) -> None:
        if request_id is not None:
            self._writing.pop(request_id, None)
            self._send({"id": request_id, "error": {"code": code, "message": message}})


def make_answer(request: Json, *, chat_tokenizer: ChatTokenizer, adapter: str | None) -> Answer:
    """Render and count the conversation. Raises Refused when it is too long or the template refuses it."""
    parameters = request["parameters"]
    most = parameters.get("max_tokens") or LONGEST_ANSWER
    prompt = _fit(
        request["messages"],
        chat_tokenizer=chat_tokenizer,
        forget=request["forget"],
        room=min(most, ROOM_FOR_ANSWER),
    )
    temperature, top_p = parameters.get("temperature"), parameters.get("top_p")
    if temperature is None:
        temperature = chat_tokenizer.temperature or (1.0 if top_p is not None and top_p < 1 else 0.0)
    return Answer(
        prompt=prompt,
        most_tokens=min(most, chat_tokenizer.context_length - len(prompt)),
        end_tokens=chat_tokenizer.end_tokens,
        drawing=Drawing(
            temperature, chat_tokenizer.top_p if top_p is None else top_p, parameters.get("seed")
        ),
        decode=chat_tokenizer.decode,
        stops=[*parameters.get("stop", []), *chat_tokenizer.stops],
        adapter=adapter,
    )


def _fit(
    messages: list[dict[str, str]], *, chat_tokenizer: ChatTokenizer, forget: bool, room: int
) -> list[int]:
    prompt = _render(messages, chat_tokenizer)
    room = min(room, chat_tokenizer.context_length // 4)
    while (
        forget
        and len(prompt) + room > chat_tokenizer.context_length
        and (shorter := _without_oldest(messages))
    ):
        messages = shorter
        prompt = _render(messages, chat_tokenizer)
    if len(prompt) >= chat_tokenizer.context_length:
        sentence = (
            f"This model reads at most {chat_tokenizer.context_length} tokens; "
            f"the conversation has {len(prompt)}. Send less."
        )
        raise RequestRefused("context_length_exceeded", sentence)
    return prompt


def _without_oldest(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """Without the oldest question and its answer; system messages and the newest message stay.

    Empty when nothing can go.
    """
    turns = [place for place, message in enumerate(messages[:-1]) if message["role"] != "system"]
    if not turns:
        return []
    gone = {turns[0]}
    if len(turns) > 1 and messages[turns[1]]["role"] == "assistant":
        gone.add(turns[1])
    return [message for place, message in enumerate(messages) if place not in gone]


def _render(messages: list[dict[str, str]], chat_tokenizer: ChatTokenizer) -> list[int]:
    from jinja2 import TemplateError

    try:
        return _apply_template(messages, chat_tokenizer)
    except TemplateError:
        pass  # many templates refuse a system message; its text can stand before the first question
    try:
        return _apply_template(_system_into_first(messages), chat_tokenizer)
    except TemplateError as error:
        raise RequestRefused(
            "validation_error", f"The model's chat template refuses these messages: {error}"
        ) from error


def _apply_template(messages: list[dict[str, str]], chat_tokenizer: ChatTokenizer) -> list[int]:
    rendered: Any = chat_tokenizer.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=True
    )
    return list(rendered["input_ids"])


def _system_into_first(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    others = [dict(m) for m in messages if m["role"] != "system"]
    if others and system:
        others[0]["content"] = f"{system}\n\n{others[0]['content']}"
    return others


def _sentence(error: Exception) -> str:
    if "out of memory" in str(error).lower() or isinstance(error, MemoryError):
        return (
            "There is not enough memory to answer with this model. "
            "Try a shorter conversation or a smaller model."
        )
    return "The model failed while answering. The server's inference log says why."


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--idle-seconds", type=float, default=900)
    arguments = parser.parse_args()
    server = InferenceServer(line_server.connect(), idle_seconds=arguments.idle_seconds)

    hardware.set_up_torch(threads=arguments.threads)
    server.run()
    line_server.leave()


if __name__ == "__main__":
    main()
