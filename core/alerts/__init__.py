"""Alerts: what the owner of a job should know unwatched.

- ``records``: one is written in the transaction of the change it tells of, and shown in the app until
  somebody looked at it
- ``webhooks``: where a user's alerts are sent, and sending one
- ``delivering``: the thread of the server that sends those that wait, again and again until it worked or was
  tried enough

When an alert is due is decided where it happens (``core.jobs``, the worker, the supervisor). Its *kind* is an
entry of ``ALERT_KINDS`` (``core.tables.alert_kinds``, which says how to add one).
"""

from core.alerts.records import (
    KINDS,
    PREFIX,
    Alert,
    AlertList,
    count_unseen,
    list_alerts,
    mark_all_seen,
    mark_seen,
    newest,
    note,
)
from core.tables import ALERT_KINDS
from core.tables.alert_kinds import Kind

__all__ = [
    "ALERT_KINDS",
    "KINDS",
    "PREFIX",
    "Alert",
    "AlertList",
    "Kind",
    "count_unseen",
    "list_alerts",
    "mark_all_seen",
    "mark_seen",
    "newest",
    "note",
]
