"""Sends the alerts that wait for a webhook:
a thread of the web process that looks into their table every two seconds.

A try is written down before it is made (the next one is due later then), so a server that dies in the middle
sends again instead of forgetting. Alerts of one user go in order and one at a time; users do not wait for
each other's slow hosts beyond ``AT_ONCE``.
"""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from core import stopping
from core.alerts import webhooks
from core.clock import now
from core.db import reading, writing
from core.processes.rounds import Rounds
from core.tables import AlertRow, JobRow, WebhookRow

EVERY_SECONDS = 2.0
AT_ONCE = 4
WAITS = (10, 60, 300, 1800, 7200)  # seconds before the next try; after the last one it has failed
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WaitingAlert:
    """One alert on its way."""

    id: int
    attempts: int
    url: str
    secret: str
    body: dict[str, Any]


def start() -> None:
    """Once per server; ends by itself when the server stops."""
    threading.Thread(target=_run, name="webhooks", daemon=True).start()


def deliver_due(at: datetime | None = None) -> int:
    """Send what is due, the oldest of each user; returns how many were tried."""
    due = [alert for alert_id in _due(at or now()) if (alert := _claim(alert_id, at or now()))]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for waiting, result in zip(due, pool.map(_send, due), strict=True):
            _note(waiting, result, at or now())
    return len(due)


def _run() -> None:
    rounds = Rounds(log, "Alerts could not be sent")
    while not stopping.wait(EVERY_SECONDS):
        try:
            with rounds.watched():
                while deliver_due() and not stopping.is_stopping():
                    pass
        except Exception as error:  # outermost loop
            rounds.failed(error)


def _due(at: datetime) -> list[int]:
    """A failed alert that waits for its next try does not hold up the newer ones."""
    oldest = select(func.min(AlertRow.id)).where(AlertRow.delivery == "waiting", AlertRow.deliver_after <= at)
    with reading() as session:
        return list(session.scalars(oldest.group_by(AlertRow.user_id).limit(50)))


def _claim(alert_id: int, at: datetime) -> WaitingAlert | None:
    with writing() as session:
        row = session.get(AlertRow, alert_id)
        if row is None or row.delivery != "waiting" or row.deliver_after is None or row.deliver_after > at:
            return None
        hook, job = session.get(WebhookRow, row.user_id), session.get(JobRow, row.job_id)
        if hook is None:
            row.delivery, row.deliver_after = "none", None
            return None
        row.delivery_attempts += 1
        row.deliver_after = at + timedelta(seconds=WAITS[min(row.delivery_attempts, len(WAITS)) - 1])
        return WaitingAlert(row.id, row.delivery_attempts, hook.url, hook.secret, _body(row, job))


def _body(row: AlertRow, job: JobRow | None) -> dict[str, Any]:
    return {
        "id": f"alr_{row.id}",
        "type": "alert",
        "kind": row.kind,
        "message": row.message,
        "job": {
            "id": row.job_id,
            "name": job.name if job else None,
            "status": job.status if job else None,
            "step": job.step if job else None,
            "total_steps": job.total_steps if job else None,
            "train_loss": job.train_loss if job else None,
            "valid_loss": job.valid_loss if job else None,
            "path": f"/job?id={row.job_id}",
        },
        "created_at": row.created_at.isoformat(),
    }


def _send(waiting: WaitingAlert) -> webhooks.Delivery:
    return webhooks.send(waiting.url, waiting.secret, waiting.body)


def _note(waiting: WaitingAlert, result: webhooks.Delivery, at: datetime) -> None:
    with writing() as session:
        row = session.get(AlertRow, waiting.id)
        if row is None or row.delivery != "waiting":
            return
        row.delivery_error = result.error
        if result.ok:
            row.delivery, row.deliver_after = "sent", None
        elif waiting.attempts > len(WAITS):
            row.delivery, row.deliver_after = "failed", None
            log.info("alert %s could not be delivered: %s", row.id, result.error)
