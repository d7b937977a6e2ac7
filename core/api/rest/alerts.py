"""``/api/alerts`` and ``/api/webhook``: what happened to the caller's jobs, and where it is sent."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query

from core import alerts
from core.alerts import Alert, AlertList, webhooks
from core.alerts.webhooks import Delivery, NewWebhook, Webhook
from core.api.deps import CurrentUser, SignedIn
from core.listing import Listed

router = APIRouter(route_class=SignedIn, tags=["alerts"])


@dataclass(frozen=True)
class Seen:
    """How many alerts had not been seen before."""

    count: int


@router.get("/alerts")
def list_alerts(user: CurrentUser, query: Annotated[AlertList, Query()]) -> Listed[Alert]:
    """Newest first; ``unseen=true`` for those that nobody looked at yet."""
    return alerts.list_alerts(user, query)


@router.post("/alerts/seen")
def mark_all_seen(user: CurrentUser) -> Seen:
    """Mark all as seen."""
    return Seen(alerts.mark_all_seen(user))


@router.post("/alerts/{alert_id}/seen")
def mark_seen(alert_id: str, user: CurrentUser) -> Alert:
    """Mark one as seen."""
    return alerts.mark_seen(user, alert_id)


@router.get("/webhook")
def get_webhook(user: CurrentUser) -> Webhook:
    """Where alerts are sent; 404 when nowhere."""
    return webhooks.get(user)


@router.put("/webhook")
def put_webhook(new: NewWebhook, user: CurrentUser) -> Webhook:
    """Set or change where alerts are sent.

    The secret signs each body: ``X-Luthier-Signature: sha256=<hex HMAC-SHA256>``.
    """
    return webhooks.put(user, new)


@router.delete("/webhook", status_code=204)
def delete_webhook(user: CurrentUser) -> None:
    """Send no alerts any more."""
    webhooks.remove(user)


@router.post("/webhook/test")
def test_webhook(user: CurrentUser) -> Delivery:
    """Send a test now and say how it went."""
    return webhooks.send_test(user)
