"""``/sql SELECT …``: a query over the chat's dataset."""

from core import query
from core.chats.commands.over_dataset import DatasetCommand
from core.people.users import User
from core.query import QueryResult


class SqlCommand(DatasetCommand):
    """The newest version of the dataset is the table ``data``."""

    name = "sql"
    usage = "/sql SELECT …"
    help = "questions it; in SQL it is called `data`"
    example = "/sql SELECT * FROM data LIMIT 5"
    missing = (
        "Write the query behind it: `/sql SELECT * FROM data LIMIT 5`. The attached dataset is called `data`."
    )

    def run(self, user: User, dataset_id: str, arguments: str) -> QueryResult:
        return query.run_on(user, dataset_id, arguments)
