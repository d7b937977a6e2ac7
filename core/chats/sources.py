"""Where a reply's text comes from: a model, or a query over the dataset that is attached to the chat."""

from collections.abc import Iterator, Sequence
from typing import Any

from core import models, query
from core.chats.replies import Table
from core.errors import Conflict, LuthierError
from core.people.users import User
from core.providers import PROVIDERS
from core.providers.base import Delta, Finish, Generation, Provider
from core.tables import MessageRow

LONGEST_HISTORY = 200  # messages; what of them fits the context is the provider's business
LARGEST_TABLE = 200  # rows kept with the reply
NO_DATASET = (
    "Attach a dataset to this chat first. Then `/describe` sums up its columns and `/sql SELECT … "
    "FROM data` questions it."
)
NO_SQL = (
    "Write the query behind it: `/sql SELECT * FROM data LIMIT 5`. The attached dataset is called `data`."
)


def is_command(content: str) -> bool:
    return _command(content) is not None


def from_query(user: User, dataset_id: str | None, content: str) -> Iterator[Delta | Table | Finish]:
    """Answer ``/describe`` or ``/sql …``. What is wrong with the SQL becomes the reply."""
    command, sql = _command(content) or ("", "")
    if dataset_id is None or (command == "/sql" and not sql):
        yield Delta(NO_DATASET if dataset_id is None else NO_SQL)
    else:
        yield from _run(user, dataset_id, command=command, sql=sql)
    yield Finish("stop")


def build_request(
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
        weights=models.location(model.version.id),
        messages=[*prompt, *messages],
        parameters={**model.parameters, **parameters},
        forget=forget,
    )


def provider_of(model: models.Callable) -> Provider:
    """Raises Conflict when this server no longer has the model's provider."""
    if model.model.provider not in PROVIDERS:
        raise Conflict(
            f"This server has no provider named {model.model.provider}, so the model cannot answer."
        )
    return PROVIDERS[model.model.provider]


def conversation(history: Sequence[MessageRow], *, system_prompt: str | None) -> list[dict[str, str]]:
    """What the model reads: the chat's system prompt,
    then all messages except commands, their answers and empty replies."""
    told = [{"role": "system", "content": system_prompt}] if system_prompt else []
    said = [row for row in history if row.content and not _belongs_to_command(row)]
    return told + [{"role": row.role, "content": row.content} for row in said]


def _command(content: str) -> tuple[str, str] | None:
    """``("/sql", "SELECT 1")``; None when the message is for a model."""
    word, _, rest = content.strip().partition(" ")
    word, newline, more = word.partition("\n")
    sql = f"{more} {rest}" if newline else rest
    return (word, sql.strip()) if word in ("/sql", "/describe") else None


def _run(user: User, dataset_id: str, *, command: str, sql: str) -> Iterator[Delta | Table]:
    try:
        found = query.run_on(user, dataset_id, sql) if command == "/sql" else query.describe(user, dataset_id)
    except LuthierError as error:
        yield Delta(f"That could not be answered. {error.message}")
        return
    rows = "row" if found.row_count == 1 else "rows"
    cut = ", and there are more" if found.truncated or found.row_count > LARGEST_TABLE else ""
    shown = f" The first {LARGEST_TABLE} are shown." if found.row_count > LARGEST_TABLE else ""
    yield Delta(f"{found.row_count} {rows} in {found.elapsed_ms:.0f} ms{cut}.{shown}")
    yield Table(
        {
            "columns": [dict(column) for column in found.columns],
            "rows": [list(row) for row in found.rows[:LARGEST_TABLE]],
            "row_count": found.row_count,
            "truncated": bool(cut),
        }
    )


def _belongs_to_command(row: MessageRow) -> bool:
    if row.role == "assistant":
        return row.model_id is None and row.checkpoint is None and row.usage is None
    return row.role == "user" and is_command(row.content)
