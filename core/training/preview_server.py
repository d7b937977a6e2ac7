"""``python -m core.training.preview_server``: the process
that says what the model sees, with the code that trains.

JSON lines come in on stdin and go out on stdout; whatever libraries print goes to stderr, which is a log
file. One thread reads stdin; the main thread works on all requests in turns, a slice of each, so that one row
is shown while a million are counted. The process ends with its parent, when stdin closes, and by itself after
it has been idle.

In::

    {"op": "row", "id": 1, "line": 7, **what}
        what: "weights", "rows" (parquet, columns, mapping), "settings"
    {"op": "totals", "id": 2, **what}
    {"op": "template", "id": 4, "weights": {...}}
    {"op": "probe", "id": 3, "method": "dpo", "threads": 2, "lines": [7], **what}
        alone: it measures the process
    {"op": "cancel", "id": 2}

Out::

    {"id": 2, "done": 5000, "of": 1000000}
    {"id": 3, "told": "Loading the base model."}
    {"id": 1, "result": {...}}
    {"id": 1, "error": {"code": "unavailable", "message": "..."}}
"""

import argparse
import json
import logging
import queue
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from core import chat_templates, formats
from core.errors import LuthierError
from core.processes import line_server
from core.processes.line_server import Lines
from core.training import METHODS, examples, pretrained, probe
from core.training.hyperparameters import Settings
from core.training.method import Rows, TrainingFailed
from core.training.preview_rows import Counting, look
from core.weights import Weights

log = logging.getLogger("luthier.preview")
NO_TOKENIZER = "The tokenizer of this base model cannot be read. Choose another base."
SLICE_SECONDS, TOLD_EVERY = 0.15, 0.5
Json = dict[str, Any]


class PreviewServer:
    """``_work`` holds the requests begun and not ended, as generators that yield after a slice of work."""

    def __init__(self, lines: Lines, *, idle_seconds: float) -> None:
        self._inbox, self._send, self._idle_seconds = lines.inbox, lines.send, idle_seconds
        self._work: dict[int, Iterator[None]] = {}
        self._makers: dict[str, Callable[[Json], Iterator[None]]] = {
            "row": self._row,
            "totals": self._totals,
            "template": self._template,
            "probe": self._probe,
        }
        self._busy_at = time.monotonic()

    def run(self) -> None:
        """Until the process was idle for long enough."""
        while self._work or not self._inbox.empty() or time.monotonic() - self._busy_at < self._idle_seconds:
            self._take_in()
            for request_id in list(self._work):
                self._go_on(request_id)
                self._busy_at = time.monotonic()

    def _take_in(self) -> None:
        try:
            self._begin(self._inbox.get(timeout=0 if self._work else 1))
            while True:
                self._begin(self._inbox.get_nowait())
        except queue.Empty:
            return

    def _begin(self, request: Json) -> None:
        if request["op"] == "cancel":
            self._work.pop(request["id"], None)
            return
        make = self._makers[request["op"]]
        self._work[request["id"]] = make(request)

    def _go_on(self, request_id: int) -> None:
        """Outermost for one request: whatever it breaks must not take the others along."""
        try:
            next(self._work[request_id])
        except StopIteration:
            del self._work[request_id]
        except LuthierError as error:
            self._fail(request_id, error.code, error.message)
        except Exception as error:  # a fault of one request must not end the process, which serves others
            log.exception("request %s failed", request_id)
            self._fail(request_id, "unavailable", _sentence(error))

    def _row(self, request: Json) -> Iterator[None]:
        from jinja2 import TemplateError

        tokenizer, settings = load_tokenizer(request["weights"]), Settings(**request["settings"])
        line, example = next(iter(read_rows(request["rows"], first=request["line"])), (request["line"], None))
        if example is None:
            raise TrainingFailed(f"There is no row {line:,}.", code="not_found")
        result: Json = {
            "line": line,
            "errors": [],
            "trains": False,
            "max_length": settings.max_length,
            "sequences": [],
        }
        if isinstance(example, list):
            result["errors"] = [{"field": d.field, "message": d.message} for d in example]
        else:
            try:
                result |= look(example, tokenizer, settings)
            except TemplateError as error:
                field, message = examples.refusal(error).split(": ", 1)
                result["errors"] = [{"field": field, "message": message}]
        self._send({"id": request["id"], "result": result})
        yield

    def _totals(self, request: Json) -> Iterator[None]:
        tokenizer, settings = load_tokenizer(request["weights"]), Settings(**request["settings"])
        counting, sent_at, slice_began = Counting(), time.monotonic(), time.monotonic()
        for line, example in read_rows(request["rows"]):
            counting.add(line, example, tokenizer, settings)
            moment = time.monotonic()
            if moment - sent_at > TOLD_EVERY:
                sent_at = moment
                self._send(
                    {"id": request["id"], "done": counting.num_rows, "of": request["rows"]["num_rows"]}
                )
            if moment - slice_began > SLICE_SECONDS:
                yield
                slice_began = time.monotonic()
        self._send({"id": request["id"], "result": counting.totals(settings)})

    def _template(self, request: Json) -> Iterator[None]:
        tokenizer = load_tokenizer(request["weights"])
        if not tokenizer("Hello").input_ids:  # what libraries make of a folder without the tokenizer's files
            raise TrainingFailed(NO_TOKENIZER, code="unavailable")
        ends = chat_templates.ends_of_folder(tokenizer, Weights.from_json(request["weights"]).base)
        findings = chat_templates.check(tokenizer, ends=ends)
        self._send({"id": request["id"], "result": {"findings": [asdict(one) for one in findings]}})
        yield

    def _probe(self, request: Json) -> Iterator[None]:
        rows = (
            read_lines(request["rows"], request["lines"])
            if request.get("lines")
            else read_rows(request["rows"])
        )
        result = probe.measure(
            METHODS[request["method"]],
            Weights.from_json(request["weights"]),
            rows,
            Settings(**request["settings"]),
            threads=request["threads"],
            told=lambda text: self._send({"id": request["id"], "told": text}),
        )
        self._send({"id": request["id"], "result": result})
        yield

    def _fail(self, request_id: int, code: str, message: str) -> None:
        self._work.pop(request_id, None)
        self._send({"id": request_id, "error": {"code": code, "message": message}})


def read_rows(source: Json, *, first: int = 1) -> Rows:
    mapping = source["mapping"]
    format_ = formats.mapped(source["columns"], mapping, source.get("format"))
    return formats.read_examples(Path(source["parquet"]), format_, mapping, first=first)


def read_lines(source: Json, lines: list[int]) -> Rows:
    """Single rows, each from its own row group."""
    for line in lines:
        yield from islice(read_rows(source, first=line), 1)


def load_tokenizer(sent: Json) -> Any:
    return _tokenizer(sent["version_id"], json.dumps(sent))


@lru_cache(maxsize=4)
def _tokenizer(_version_id: str, sent: str) -> Any:
    try:
        return pretrained.load_tokenizer(Weights.from_json(json.loads(sent)))
    except (OSError, ValueError) as error:
        raise TrainingFailed(NO_TOKENIZER, code="unavailable") from error


def _sentence(error: Exception) -> str:
    if (
        "out of memory" in str(error).lower()
        or "can't allocate memory" in str(error).lower()
        or isinstance(error, MemoryError)
    ):
        return "There is not enough memory for these settings. Choose smaller ones."
    return "The preview failed. The server's preview log says why."


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--idle-seconds", type=float, default=300)
    arguments = parser.parse_args()
    server = PreviewServer(line_server.connect(), idle_seconds=arguments.idle_seconds)
    server.run()
    line_server.leave()


if __name__ == "__main__":
    main()
