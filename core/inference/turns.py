"""Who is next when several users wait: each in turn, whoever has more waiting."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class UserTurns(Generic[T]):
    """Things that wait, by user, oldest first. For one thread, or under a lock of the caller's."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()  # the user whose turn is next first

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __iter__(self) -> Iterator[T]:
        """All, not in the order of their turns."""
        return iter([thing for things in self._waiting.values() for thing in things])

    def add(self, user: str, thing: T) -> None:
        self._waiting.setdefault(user, deque()).append(thing)

    def first(self) -> T:
        """The oldest of the user whose turn it is; it stays, and the next turn is another user's."""
        user, things = next(iter(self._waiting.items()))
        self._waiting.move_to_end(user)
        return things[0]

    def take(self, may: Callable[[str], bool] = lambda user: True) -> T | None:
        """As ``first``, without the users who may not; what is taken waits no more."""
        user = next((user for user in self._waiting if may(user)), None)
        if user is None:
            return None
        thing = self._waiting[user].popleft()
        self._waiting.move_to_end(user)
        self._clear(user)
        return thing

    def remove(self, thing: T) -> None:
        """One that waits no more. Of a thing that does not wait nothing is changed."""
        for user, things in self._waiting.items():
            if thing in things:
                things.remove(thing)
                self._clear(user)
                return

    def _clear(self, user: str) -> None:
        if not self._waiting[user]:
            del self._waiting[user]
