"""Replies while they are being written.

A reply belongs to the server: a thread writes it, pages and API calls only watch.

The text is stored as it grows, a few times a second, so that a crash loses a moment and ``recover`` finds the
rest. Stopping is a flag, in this process and in the row; what was written by then stays. What a reply costs
is recorded when it ends, however it ends. Where the text comes from is a ``Source``: ``core.chats`` gives one
that asks a model, or one that runs a command.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import update

from core import clock, stopping
from core.db import writing
from core.errors import Conflict, LuthierError, Unavailable
from core.people import usage
from core.people.token_limits import Reservation
from core.providers.base import Delta, Finish, Usage
from core.tables import ChatRow, MessageRow

log = logging.getLogger(__name__)
MOST_AT_ONCE = 64
STORE_SECONDS = 0.25
PULSE_SECONDS = 0.25  # how often a watcher is sent something, also when there is no new text
SHUT_DOWN_SECONDS = 1.5


@dataclass(frozen=True)
class ReplyTable:
    """Rows that belong to the reply:
    ``{"columns": [{"name", "type"}], "rows": [[...]], "row_count": int, "truncated": bool}``."""

    content: dict[str, Any]


@dataclass
class Bill:
    """Whom the reply is charged to, and what of its key's limit is kept for it until then."""

    user_id: str
    model_id: str | None
    api_key_id: str | None = None
    reserved: Reservation = field(default_factory=Reservation)

    def keeps(self, reserved: Reservation) -> None:
        self.reserved = reserved


Source = Callable[[Callable[[], bool]], Iterator[Delta | ReplyTable | Finish]]


class Live:
    """One reply that grows. ``changed`` guards everything that watchers read."""

    def __init__(self, message_id: str) -> None:
        self.message_id = message_id
        self.changed = threading.Condition()
        self.text = ""
        self.is_done = False
        self.stop_asked = threading.Event()

    def should_stop(self) -> bool:
        return self.stop_asked.is_set() or stopping.is_stopping()

    def add(self, text: str) -> None:
        with self.changed:
            self.text += text
            self.changed.notify_all()

    def finish(self) -> None:
        with self.changed:
            self.is_done = True
            self.changed.notify_all()


_live: dict[str, Live] = {}
_live_lock = threading.Lock()


def require_room() -> None:
    """Raises Unavailable when the server writes as many replies as it can, or is stopping."""
    if stopping.is_stopping():
        raise Unavailable("The server is stopping. Try again in a moment.")
    if len(_live) >= MOST_AT_ONCE:
        raise Unavailable("Too many replies are being written right now. Try again in a moment.")


def begin(message_id: str, source: Source, *, bill: Bill | None) -> None:
    """Write the reply whose row is there already, in state generating. ``bill`` None: it costs no tokens."""
    live = Live(message_id)
    with _live_lock:
        _live[message_id] = live
    threading.Thread(
        target=_write, args=(live, source, bill), name=f"reply-{message_id[-6:]}", daemon=True
    ).start()


def watch(message_id: str) -> Iterator[Delta] | None:
    """The text so far, then what comes, then the end; a Delta,
    if need be an empty one, at least every PULSE_SECONDS.

    None when nobody in this process writes it. Closing the iterator does not stop the reply.
    """
    live = _live.get(message_id)
    return _follow(live) if live else None


def stop(message_id: str) -> None:
    if live := _live.get(message_id):
        live.stop_asked.set()


def wait(message_id: str, *, seconds: float | None = None) -> bool:
    """Until the reply is done; False when it still is not after ``seconds``."""
    live = _live.get(message_id)
    if live is None:
        return True
    with live.changed:
        return live.changed.wait_for(lambda: live.is_done, timeout=seconds)


def shut_down() -> None:
    """At the server's stop: every reply ends as cancelled, with what is there."""
    living = list(_live.values())
    for live in living:
        live.stop_asked.set()
    deadline = time.monotonic() + SHUT_DOWN_SECONDS
    for live in living:
        wait(live.message_id, seconds=max(0.0, deadline - time.monotonic()))


def recover() -> None:
    """At the server's start: replies of a server that died are complete with what was stored."""
    ended = {"state": "complete", "finish_reason": "cancelled"}
    with writing() as session:
        session.execute(update(MessageRow).where(MessageRow.state == "generating").values(**ended))


@dataclass
class _Outcome:
    reason: str = "error"
    usage: Usage | None = None
    table: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    left_out: int | None = None


def _write(live: Live, source: Source, bill: Bill | None) -> None:
    """The thread of one reply; nobody above it would see an error, so all are caught here."""
    started = time.monotonic()
    try:
        outcome = _collect(live, source)
        _store_end(live, outcome, bill=bill, seconds=time.monotonic() - started)
    except Exception:  # outermost in its thread: whoever waits for the reply must be told that it is over
        log.exception("reply %s could not be stored", live.message_id)
    finally:
        if bill:
            bill.reserved.release()
        with _live_lock:
            _live.pop(live.message_id, None)
        live.finish()


def _collect(live: Live, source: Source) -> _Outcome:
    outcome = _Outcome()
    stored_at = time.monotonic()
    try:
        for event in source(live.should_stop):
            if isinstance(event, Finish):
                outcome.reason, outcome.usage, outcome.left_out = event.reason, event.usage, event.left_out
            elif isinstance(event, ReplyTable):
                outcome.table = event.content
            elif event.text:
                live.add(event.text)
                if time.monotonic() - stored_at >= STORE_SECONDS:
                    _store_text(live)
                    stored_at = time.monotonic()
    except LuthierError as error:
        outcome.error = {"code": error.code, "message": error.message}
    except Exception:  # whatever a provider raises, what was written so far is kept
        log.exception("reply %s failed", live.message_id)
        outcome.error = {"code": "internal_error", "message": "The reply failed. The server's log says why."}
    return outcome


def _store_text(live: Live) -> None:
    """Store what is there; a row that is gone, or that somebody asked to stop, ends the reply."""
    mine = (MessageRow.id == live.message_id) & (MessageRow.state == "generating")
    with writing() as session:
        statement = (
            update(MessageRow).where(mine).values(content=live.text).returning(MessageRow.stop_requested)
        )
        row = session.execute(statement).first()
    if row is None or row.stop_requested:
        live.stop_asked.set()


def _store_end(live: Live, outcome: _Outcome, *, bill: Bill | None, seconds: float) -> None:
    counts = outcome.usage if bill else None
    values = {
        "content": live.text,
        "state": "complete",
        "finish_reason": outcome.reason,
        "usage": _usage_json(counts) if counts else None,
        "table": outcome.table,
        "error": outcome.error,
        "left_out": outcome.left_out,
    }
    mine = (MessageRow.id == live.message_id) & (MessageRow.state == "generating")
    with writing() as session:
        chat_id = session.execute(
            update(MessageRow).where(mine).values(**values).returning(MessageRow.chat_id)
        ).scalar()
        if chat_id:
            session.execute(update(ChatRow).where(ChatRow.id == chat_id).values(updated_at=clock.now()))
        if bill and counts:
            charge(session, bill, counts, seconds=seconds)


def charge(session: Any, bill: Bill, counts: Usage, *, seconds: float) -> None:
    usage.record(
        session,
        user_id=bill.user_id,
        kind="chat",
        model_id=bill.model_id,
        api_key_id=bill.api_key_id,
        prompt_tokens=counts.prompt_tokens,
        completion_tokens=counts.completion_tokens,
        seconds=seconds,
    )


def require_nobody_writes(is_generating: bool) -> None:
    if is_generating:
        raise Conflict("A reply is still being written in this chat. Wait for it, or stop it first.")


def _follow(live: Live) -> Iterator[Delta]:
    sent, done = 0, False

    def has_news() -> bool:
        return len(live.text) > sent or live.is_done

    while not done:
        with live.changed:
            live.changed.wait_for(has_news, timeout=PULSE_SECONDS)
            text, done = live.text[sent:], live.is_done
        sent += len(text)
        yield Delta(text)


def _usage_json(counts: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": counts.prompt_tokens,
        "completion_tokens": counts.completion_tokens,
        "total_tokens": counts.total_tokens,
    }
