"""What every command takes and gives: who asks and what they wrote in, text and a table out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from core.chats.replies import ReplyTable
from core.people.users import User
from core.providers.base import Delta


class Command(ABC):
    """``name`` is the key in ``COMMANDS`` and the word behind the slash.

    - ``usage``: how it is written, such as ``/sql SELECT …``
    - ``help``: what it does; the rest of a sentence that begins with the usage, without the full stop. "Its"
      and "it" are the attached dataset
    - ``example``: a whole message that a new chat offers to send
    - ``needs_dataset``: it is about the dataset that is attached to the chat, and is not run without one
    - ``missing``: the reply to the command alone, when something must stand behind its name; else empty
    """

    name: str
    usage: str
    help: str
    example: str
    needs_dataset: bool = False
    missing: str = ""

    @abstractmethod
    def answer(self, user: User, dataset_id: str | None, arguments: str) -> Iterator[Delta | ReplyTable]:
        """The reply: text, and at most one table.

        ``dataset_id``: of the chat, and not yet known to be one that ``user`` may see. ``arguments``: what
        stands behind the name, not empty if ``missing`` says something. A LuthierError becomes the reply.
        """
