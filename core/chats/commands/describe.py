"""``/describe``: the columns of the chat's dataset, summed up."""

from core import query
from core.chats.commands.over_dataset import DatasetCommand
from core.people.users import User
from core.query import QueryResult


class DescribeCommand(DatasetCommand):
    """A row for each column: its type, extremes, counts."""

    name = "describe"
    usage = "/describe"
    help = "sums up its columns"
    example = "/describe"

    def run(self, user: User, dataset_id: str, arguments: str) -> QueryResult:
        return query.describe(user, dataset_id)
