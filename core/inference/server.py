"""``python -m core.inference.server``: the process in which models answer.

The only serving code that imports torch.

JSON lines come in on stdin and go out on stdout; whatever libraries print goes to stderr, which is a log
file. One thread reads stdin, two prepare requests (``preparing``), one says every second that the process
lives, the main thread runs the models. Between two steps it takes in new requests, so answers of one base are
written together, and reads new prompts in pieces that take as long as a step, so that nobody's answer pauses
for another's prompt. Where not all can go on at once, users take turns. The process ends with its parent,
when stdin closes, and by itself after it has been idle: the parent starts another when one is needed.

In::

    {"op": "generate", "id": 7, "weights": {...}, "messages": [...], "parameters": {...}, "forget": false,
     "user": "usr_...", "most_tokens": null}
    {"op": "cancel", "id": 7}          {"op": "load", "weights": {...}}

Out::

    {"beat": true}
    {"id": 7, "loading": true}         {"id": 7, "begun": true}         {"id": 7, "delta": "text"}
    {"id": 7, "finish": "stop", "prompt_tokens": 12, "completion_tokens": 5, "left_out": 0}
    {"id": 7, "error": {"code": "unavailable", "message": "..."}}

``begun``: from here on the request is lost when this process ends; one that waits can be asked elsewhere.
"""

import argparse
import logging
import queue
import sys
import time
from collections import Counter
from typing import Any

from core import hardware
from core.inference.batch import Answer, PromptReading
from core.inference.loaded import LoadedModel, LoadedModels
from core.inference.preparing import Failed, Prepared, Preparing, sentence_of
from core.inference.turns import UserTurns
from core.processes import line_server
from core.processes.line_server import Lines

log = logging.getLogger("luthier.inference")
MOST_ROWS, MOST_OF_ONE_USER = 20, 16  # answers that are written at once
LARGEST_PIECE = 512  # tokens of a prompt that are read at a time, when nobody waits
STEPS_A_PIECE = 2.5  # how long a piece may take, in steps, when somebody does
SWITCH_SECONDS = 0.0005  # not 5 ms, for which making a prompt would hold up a step
SAY_SECONDS = 5.0  # a long prompt says so often that it is being read
NOTHING = {"prompt_tokens": 0, "completion_tokens": 0, "left_out": 0}
Json = dict[str, Any]


class InferenceServer:
    def __init__(self, lines: Lines, *, idle_seconds: float) -> None:
        self._send = lines.send
        self._idle_seconds = idle_seconds
        self._inbox = lines.inbox
        self._loaded = LoadedModels()
        self._preparing = Preparing(
            self._loaded,
            done=lambda outcome: self._inbox.put({"op": "prepared", "outcome": outcome}),
            say=lines.send,
            is_wanted=lambda request_id: request_id in self._wanted,
        )
        self._wanted: set[int] = set()  # those that were asked for and are not answered yet
        self._ready: UserTurns[Prepared] = UserTurns()
        self._reading: UserTurns[_Begun] = UserTurns()
        self._writing: dict[int, _Begun] = {}
        self._short_step = 0.0  # seconds of a step of few rows, lately
        self._idle_since = time.monotonic()

    def run(self) -> None:
        """Until the process was idle for long enough."""
        self._preparing.start()
        while not self._is_done():
            self._take_in()
            while len(self._writing) < MOST_ROWS and (prepared := self._ready.take(self._may_begin)):
                self._begin(prepared)
            began = time.monotonic()
            for loaded in self._loaded:
                if loaded.batch.rows:
                    self._step(loaded)
            self._note_step(time.monotonic() - began)
            self._read_on()
            self._loaded.drop_idle(self._idle_seconds)

    def _is_done(self) -> bool:
        if self._wanted or list(self._loaded) or not self._preparing.is_idle:
            self._idle_since = time.monotonic()
        return time.monotonic() - self._idle_since > self._idle_seconds and self._inbox.empty()

    def _take_in(self) -> None:
        """Everything that has arrived; waits a second for something when there is nothing else to do."""
        try:
            self._sort_in(self._inbox.get(timeout=0 if self._writing or self._ready else 1))
            while True:
                self._sort_in(self._inbox.get_nowait())
        except queue.Empty:
            return

    def _sort_in(self, message: Json) -> None:
        if message["op"] == "cancel":
            self._cancel(message["id"])
        elif message["op"] == "prepared":
            self._take_prepared(message["outcome"])
        else:
            if "id" in message:
                self._wanted.add(message["id"])
            self._preparing.add(message)

    def _take_prepared(self, outcome: Prepared | Failed) -> None:
        if isinstance(outcome, Failed):
            self._fail(outcome.id, outcome.code, outcome.message)
        elif outcome.id in self._wanted:
            self._ready.add(outcome.user, outcome)
        else:
            self._loaded.end_wait(outcome.loaded)

    def _cancel(self, request_id: int) -> None:
        begun = self._writing.get(request_id)
        if begun and begun.reading.is_done:
            self._tell(begun, begun.loaded.batch.cancel(begun.answer))
        elif request_id in self._wanted:
            if begun:
                self._reading.remove(begun)
                self._end(begun)
            for prepared in [one for one in self._ready if one.id == request_id]:
                self._ready.remove(prepared)
                self._loaded.end_wait(prepared.loaded)
            self._wanted.discard(request_id)
            self._send({"id": request_id, "finish": "cancelled", **NOTHING})

    def _may_begin(self, user: str) -> bool:
        return Counter(begun.prepared.user for begun in self._writing.values())[user] < MOST_OF_ONE_USER

    def _begin(self, prepared: Prepared) -> None:
        if not self._loaded.still_has(prepared.loaded):  # a step failed meanwhile, so it is loaded anew
            self._loaded.end_wait(prepared.loaded)
            self._preparing.add(prepared.request)
            return
        busy = {one.answer.adapter for one in self._writing.values() if one.loaded is prepared.loaded}
        begun = _Begun(prepared)
        self._writing[prepared.id] = begun
        self._send({"id": prepared.id, "begun": True})
        try:
            prepared.loaded.put_on(prepared.weights, busy=busy)
        except Exception as error:  # a broken adapter must not end the others' answers
            log.exception("request %s failed", prepared.id)
            self._fail(prepared.id, "unavailable", sentence_of(error))
            return
        self._reading.add(prepared.user, begun)

    def _read_on(self) -> None:
        """One piece of a prompt, each user's in turn. It is as long as a few steps, where somebody waits."""
        if not self._reading:
            return
        begun = self._reading.first()
        nobody_waits = not any(loaded.batch.rows for loaded in self._loaded)
        patience = STEPS_A_PIECE * self._short_step
        within = begun.loaded.pace.choose(patience, slower=begun.slower)
        self._read(begun, LARGEST_PIECE if nobody_waits else within)

    def _read(self, begun: "_Begun", most: int) -> None:
        """Outermost for one request: whatever it breaks must not take the others' answers along."""
        loaded, began, before = begun.loaded, time.monotonic(), begun.reading.tokens_read
        try:
            text = loaded.batch.read(begun.reading, most)
        except Exception as error:  # a fault of one request must not end the others' answers
            log.exception("request %s failed", begun.prepared.id)
            self._fail(begun.prepared.id, "unavailable", sentence_of(error))
            return
        tokens, seconds = begun.reading.tokens_read - before, time.monotonic() - began
        begun.slower = loaded.pace.slower_than(tokens, seconds)
        loaded.pace.note(tokens, seconds)
        if begun.reading.is_done:
            self._reading.remove(begun)
            self._tell(begun, text)
        elif time.monotonic() - begun.said_at > SAY_SECONDS:
            begun.said_at = time.monotonic()
            self._send({"id": begun.prepared.id, "begun": True})

    def _note_step(self, seconds: float) -> None:
        """What a step takes when nothing is in its way: the shortest, which is forgotten slowly."""
        if self._writing:
            self._short_step = min(seconds, self._short_step * 1.01 + 1e-4)

    def _step(self, loaded: LoadedModel) -> None:
        """Outermost for one batch: when a step fails, its rows end
        with an error and the model is loaded anew next time."""
        by_answer = {id(begun.answer): begun for begun in self._writing.values()}
        loaded.last_used = time.monotonic()
        try:
            for answer, text in loaded.batch.step():
                self._tell(by_answer[id(answer)], text)
        except Exception as error:  # a fault of one model must not end the answers of others
            log.exception("a step failed")
            for begun in [one for one in by_answer.values() if one.loaded is loaded]:
                self._fail(begun.prepared.id, "unavailable", sentence_of(error))
            self._loaded.drop(loaded)

    def _tell(self, begun: "_Begun", text: str) -> None:
        answer, request_id = begun.answer, begun.prepared.id
        if text:
            self._send({"id": request_id, "delta": text})
        if answer.reason is not None:
            self._end(begun)
            counts = {"prompt_tokens": len(answer.prompt), "completion_tokens": len(answer.written)}
            self._send({"id": request_id, "finish": answer.reason, **counts, "left_out": answer.left_out})

    def _fail(self, request_id: int | None, code: str, message: str) -> None:
        if request_id is None or request_id not in self._wanted:
            return
        if begun := self._writing.get(request_id):
            self._reading.remove(begun)
            self._end(begun)
        self._wanted.discard(request_id)
        self._send({"id": request_id, "error": {"code": code, "message": message}})

    def _end(self, begun: "_Begun") -> None:
        del self._writing[begun.prepared.id]
        self._wanted.discard(begun.prepared.id)
        self._loaded.end_wait(begun.loaded)


class _Begun:
    """A request whose prompt is being read, or whose answer is being written."""

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self.loaded = prepared.loaded
        self.reading = PromptReading(prepared.answer)
        self.said_at = time.monotonic()
        self.slower = 1.0  # of its last piece, against the mean

    @property
    def answer(self) -> Answer:
        return self.prepared.answer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--idle-seconds", type=float, default=900)
    arguments = parser.parse_args()
    sys.setswitchinterval(SWITCH_SECONDS)
    lines = line_server.connect()
    line_server.keep_beating(lines)
    server = InferenceServer(lines, idle_seconds=arguments.idle_seconds)

    hardware.set_up_torch(threads=arguments.threads)
    server.run()
    line_server.leave()


if __name__ == "__main__":
    main()
