"""Commands whose answer is a query over the chat's dataset: how many rows, how long it took, and the rows."""

from abc import abstractmethod
from collections.abc import Iterator

from core.chats.commands.base import Command
from core.chats.replies import ReplyTable
from core.errors import NotFound
from core.people.users import User
from core.providers.base import Delta
from core.query import QueryResult

LARGEST_TABLE = 200  # rows kept with the reply


class DatasetCommand(Command):
    """Only ``run`` is left to write."""

    needs_dataset = True

    @abstractmethod
    def run(self, user: User, dataset_id: str, arguments: str) -> QueryResult:
        """Raises NotFound for a dataset that is missing or somebody else's, SqlError, QueryTimeout."""

    def answer(self, user: User, dataset_id: str | None, arguments: str) -> Iterator[Delta | ReplyTable]:
        if dataset_id is None:
            raise NotFound("There is no dataset.")
        result = self.run(user, dataset_id, arguments)
        rows = "row" if result.row_count == 1 else "rows"
        is_cut = result.truncated or result.row_count > LARGEST_TABLE
        more = ", and there are more" if is_cut else ""
        shown = f" The first {LARGEST_TABLE} are shown." if result.row_count > LARGEST_TABLE else ""
        yield Delta(f"{result.row_count} {rows} in {result.elapsed_ms:.0f} ms{more}.{shown}")
        yield ReplyTable(
            {
                "columns": [dict(column) for column in result.columns],
                "rows": [list(row) for row in result.rows[:LARGEST_TABLE]],
                "row_count": result.row_count,
                "truncated": is_cut,
            }
        )
