"""After a training: does the model stop by itself?

Some prompts of the training rows are answered once more, from the files that were written and by the code
that serves them. A low loss does not show whether the end of an answer was learned and is honoured.
"""

import gc
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core.formats import ChatExample, Example, PreferenceExample
from core.inference.batch import Answer
from core.inference.loaded import CannotLoad, LoadedModels
from core.inference.preparing import make_answer
from core.inference.prompts import RequestRefused
from core.training.method import Report, Rows
from core.weights import Weights

log = logging.getLogger(__name__)
NUM_PROMPTS = 10
ROOM, MOST_TOKENS = 32, 256  # tokens: beside twice the answer of the row, and at most
SECONDS = 60.0  # for all of them; what is still being written then is told apart
Messages = Sequence[Mapping[str, Any]]


def stops_by_itself(
    weights: Weights, rows: Rows, lines: Sequence[int], report: Report
) -> dict[str, int] | None:
    """``stopped`` of ``of`` prompts, from as many rows spread over ``lines`` (numbers of trained rows);
    ``unfinished``: of those that did not stop, how many were still being written when the time was over.

    None where nothing could be asked: rows without a question, no memory for it, or a wish to end.
    """
    chosen = {lines[n * len(lines) // NUM_PROMPTS] for n in range(min(NUM_PROMPTS, len(lines)))}
    if len(lines) <= NUM_PROMPTS:
        chosen = set(lines)
    questions = [question for line, row in rows if line in chosen for question in _question(row)]
    try:
        answers = _answer(weights, questions, report)
    except (CannotLoad, RuntimeError, MemoryError):  # torch says with RuntimeError that memory is short
        log.exception("the tuned model could not be asked")
        return None
    finally:
        gc.collect()
    if not answers or report.wish():
        return None
    reasons = [answer.reason for answer in answers]
    unfinished = {"unfinished": reasons.count(None)} if None in reasons else {}
    return {"stopped": reasons.count("stop"), "of": len(reasons), **unfinished}


def _question(row: Example | Any) -> Iterator[tuple[Messages, str]]:
    """What is asked and what the row answers."""
    if isinstance(row, PreferenceExample):
        yield row.messages, str(row.preferred[-1]["content"])
    elif isinstance(row, ChatExample):
        messages = row.messages
        learned = [n for n, m in enumerate(messages) if m["role"] == "assistant" and m.get("weight") != 0]
        if learned and learned[-1]:
            yield messages[: learned[-1]], str(messages[learned[-1]]["content"])


def _answer(weights: Weights, questions: Sequence[tuple[Messages, str]], report: Report) -> list[Answer]:
    if not questions:
        return []
    loaded = LoadedModels().get(weights)
    adapter, chat_tokenizer = loaded.put_on(weights), loaded.chat_tokenizer(weights)
    answers: list[Answer] = []
    ends_at = time.monotonic() + SECONDS
    for messages, expected in questions:
        most = min(MOST_TOKENS, 2 * chat_tokenizer.count(expected) + ROOM)
        parameters = {"temperature": 0, "max_tokens": most}
        request = {"messages": list(messages), "parameters": parameters, "forget": False}
        try:
            answer = make_answer(request, chat_tokenizer=chat_tokenizer, adapter=adapter)
        except RequestRefused:
            continue
        loaded.batch.join(answer)
        answers.append(answer)
        if report.wish() or time.monotonic() > ends_at:
            return answers
    while loaded.batch.rows and time.monotonic() < ends_at and not report.wish():
        loaded.batch.step()
    return answers
