"""Messages that stand beside each other: another answer to a question, a question in other words.

Every message knows what it follows, so a chat is a tree; what is shown of it is one line from its beginning.
All functions run in the caller's transaction.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import delete as delete_rows
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from core.tables import MessageRow

Node = tuple[str, str | None]  # an id and its parent's


def of(session: Session, chat_id: str, rows: Iterable[MessageRow]) -> Mapping[str | None, Sequence[str]]:
    """The ids of the messages beside these, by what they follow, oldest first."""
    parents = {row.parent_id for row in rows}
    is_theirs = [MessageRow.parent_id.in_([parent for parent in parents if parent])]
    if None in parents:
        is_theirs.append(MessageRow.parent_id.is_(None))
    statement = select(MessageRow.id, MessageRow.parent_id)
    statement = statement.where(MessageRow.chat_id == chat_id, or_(*is_theirs))
    found: dict[str | None, list[str]] = defaultdict(list)
    for id_, parent_id in session.execute(statement.order_by(MessageRow.position)):
        found[parent_id].append(id_)
    return found


def last_shown(session: Session, chat_id: str) -> MessageRow | None:
    shown = select(MessageRow).where(MessageRow.chat_id == chat_id, MessageRow.shown)
    return session.scalar(shown.order_by(MessageRow.position.desc()).limit(1))


def hide_from(session: Session, chat_id: str, position: int) -> None:
    """What is shown ends before this position."""
    mine = (MessageRow.chat_id == chat_id) & MessageRow.shown & (MessageRow.position >= position)
    session.execute(update(MessageRow).where(mine).values(shown=False))


def show(session: Session, row: MessageRow) -> None:
    """Show what leads to this message, and of what followed it always the newest."""
    nodes = _nodes(session, row.chat_id)
    _show_line(session, row.chat_id, nodes, _newest_leaf(nodes, row.id))


def remove(session: Session, row: MessageRow) -> None:
    """What follows it follows what it followed."""
    following = update(MessageRow).where(MessageRow.chat_id == row.chat_id, MessageRow.parent_id == row.id)
    session.execute(following.values(parent_id=row.parent_id))
    session.delete(row)
    session.flush()
    _mend(session, row)


def remove_with_followers(session: Session, row: MessageRow) -> list[str]:
    """The ids of the replies among them that were still being written."""
    gone = {row.id}
    for id_, parent_id in _nodes(session, row.chat_id):  # each after what it follows
        if parent_id in gone:
            gone.add(id_)
    theirs = MessageRow.id.in_(gone)
    growing = session.scalars(select(MessageRow.id).where(theirs, MessageRow.state == "generating")).all()
    session.execute(delete_rows(MessageRow).where(theirs))
    _mend(session, row)
    return list(growing)


def _mend(session: Session, gone: MessageRow) -> None:
    """Where nothing is shown any more after what a message followed, its newest sibling is."""
    beside = select(MessageRow).where(MessageRow.chat_id == gone.chat_id)
    beside = beside.where(
        MessageRow.parent_id == gone.parent_id if gone.parent_id else MessageRow.parent_id.is_(None)
    )
    rows = session.scalars(beside.order_by(MessageRow.position)).all()
    if gone.shown and rows and not any(row.shown for row in rows):
        show(session, rows[-1])


def _nodes(session: Session, chat_id: str) -> Sequence[Node]:
    statement = select(MessageRow.id, MessageRow.parent_id).where(MessageRow.chat_id == chat_id)
    return [(id_, parent_id) for id_, parent_id in session.execute(statement.order_by(MessageRow.position))]


def _newest_leaf(nodes: Sequence[Node], start: str) -> str:
    newest = {parent_id: id_ for id_, parent_id in nodes}
    while start in newest:
        start = newest[start]
    return start


def _show_line(session: Session, chat_id: str, nodes: Sequence[Node], leaf: str | None) -> None:
    parents = dict(nodes)
    line = []
    while leaf is not None:
        line.append(leaf)
        leaf = parents.get(leaf)
    mine = MessageRow.chat_id == chat_id
    session.execute(update(MessageRow).where(mine, MessageRow.shown).values(shown=False))
    session.execute(update(MessageRow).where(mine, MessageRow.id.in_(line)).values(shown=True))
