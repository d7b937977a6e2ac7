"""What an API key's monthly token limit leaves: reserved before an answer, settled after it.

An answer may use what was reserved for it and no more, so answers begun at once cannot pass the limit
together. Reservations are in the memory of the one process that answers: whatever ends it gives them back.
"""

import threading
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from core import clock
from core.db import reading
from core.errors import OutOfTokens
from core.people import usage
from core.tables import ApiKeyRow

BUSY_SECONDS = 5  # when to try again where only answers that are being written are in the way
_lock = threading.Lock()
_reserved: Counter[str] = Counter()  # tokens, by key


@dataclass
class Reservation:
    """``tokens``: what the answer may use, prompt included; None: as much as it likes.

    ``retry_after``: seconds until the key may have more.
    """

    api_key_id: str | None = None
    tokens: int | None = None
    retry_after: int = BUSY_SECONDS
    is_open: bool = True

    def release(self) -> None:
        """When the usage is recorded, or when there is none. Further calls change nothing."""
        with _lock:
            if self.is_open and self.api_key_id and self.tokens:
                _reserved[self.api_key_id] -= self.tokens
            self.is_open = False


def reserve(api_key_id: str | None, tokens: int) -> Reservation:
    """For an answer that uses at most ``tokens``; less, when less is left. Raises OutOfTokens."""
    if api_key_id is None:
        return Reservation()
    with _lock, reading() as session:
        key = session.get(ApiKeyRow, api_key_id)
        if key is None or key.monthly_token_limit is None:
            return Reservation()
        left = key.monthly_token_limit - usage.tokens_this_month(session, api_key_id)
        others = _reserved[api_key_id]
        retry_after = BUSY_SECONDS if others and left > 0 else seconds_to_next_month()
        if left <= 0:
            raise OutOfTokens(retry_after=retry_after)
        if left <= others:
            raise OutOfTokens(
                "What is left of this key's tokens for this month is reserved for answers that are being "
                "written. Try again in a moment.",
                retry_after=retry_after,
            )
        granted = min(tokens, left - others)
        _reserved[api_key_id] += granted
        return Reservation(api_key_id, granted, retry_after)


def require_some_left(api_key_id: str | None) -> None:
    """Before anything of a question is stored. Raises OutOfTokens."""
    reserve(api_key_id, 1).release()


def seconds_to_next_month() -> int:
    at = clock.now()
    start = (at.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(day=1)
    return max(1, int((start - at).total_seconds()))
