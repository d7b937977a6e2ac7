"""The questions that an export is checked with:
the first distinct prompts of the data the version was trained on."""

import itertools
import json
from collections.abc import Iterator

from core import formats, storage
from core.db import reading
from core.errors import ValidationError
from core.formats import ChatExample, PreferenceExample, Text
from core.tables import DatasetVersionRow, JobRow

NUM_PROMPTS = 10
NEW_TOKENS = 48
MOST_CANDIDATES = 400  # rows looked at: the first ten prompts may be too long for the model
MOST_ROWS = 5000
TEXT_CHARACTERS = 160  # of a plain text, the rest of which is what a model continues
Messages = list[dict[str, str]]
FIXED = (
    "Hello! Who are you?",
    "What can you do for me?",
    "Write one sentence about the sea.",
    "How do I reset my password?",
    "Name three colours.",
    "What is 12 + 30?",
    "Translate 'good morning' into French.",
    "Which city is the capital of Italy?",
    "Say goodbye politely.",
    "List the days of the week.",
    "What is a database?",
    "Is water wet? Answer yes or no.",
)


def candidates(dataset_version_id: str | None, job_id: str | None) -> list[Messages]:
    """Distinct conversations that end with a question, in the order
    of the data; then the fixed ones, in case these are too few."""
    questions = list(itertools.islice(_distinct(_of_data(dataset_version_id, job_id)), MOST_CANDIDATES))
    return questions + [_ask(text) for text in FIXED]


def shown(messages: Messages) -> str:
    """How a prompt is listed among the results."""
    return messages[-1]["content"]


def _distinct(prompts: Iterator[Messages]) -> Iterator[Messages]:
    seen = set()
    for messages in prompts:
        key = json.dumps(messages, sort_keys=True)
        if key not in seen:
            seen.add(key)
            yield messages


def _of_data(dataset_version_id: str | None, job_id: str | None) -> Iterator[Messages]:
    with reading() as session:
        version = session.get(DatasetVersionRow, dataset_version_id) if dataset_version_id else None
        job = session.get(JobRow, job_id) if job_id else None
    if version is None or version.removed_at or not storage.parquet_path(version.id).is_file():
        return
    columns = job.columns if job else None
    try:
        format_ = formats.mapped(version.columns, columns, version.format)
    except ValidationError:
        return  # a table without a mapping: its job was deleted
    for _, example in itertools.islice(
        formats.read_examples(storage.parquet_path(version.id), format_, columns), MOST_ROWS
    ):
        if not isinstance(example, list) and (messages := _prompt_of(example)):
            yield messages


def _prompt_of(example: ChatExample | Text | PreferenceExample) -> Messages:
    if isinstance(example, Text):
        return _ask(example.text[:TEXT_CHARACTERS]) if example.text.strip() else []
    messages = [{"role": str(m["role"]), "content": str(m["content"])} for m in example.messages]
    while messages and messages[-1]["role"] == "assistant":
        messages.pop()
    return messages


def _ask(text: str) -> Messages:
    return [{"role": "user", "content": text}]
