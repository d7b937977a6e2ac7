"""Where a user's alerts are sent, and sending them.

Rules kept here: one address per user, https to public hosts, on its usual port; a host inside the own
network, plain http or another port only if the admin lists it (``LUTHIER_WEBHOOK_HOSTS``). ``core.network``
looks a host up once and connects to what it has checked, no redirect is followed, and each try has
``SECONDS`` in all. What waits is ``core.alerts.delivering``'s business.

The body is JSON; the header ``X-Luthier-Signature`` is ``sha256=`` and the hex HMAC-SHA256 of the body under
the webhook's secret.
"""

import hashlib
import hmac
import http.client
import json
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import Field
from sqlalchemy import select, update

from core import network
from core.alerts import KINDS, Kind
from core.clock import now
from core.config import settings
from core.db import reading, writing
from core.errors import LuthierError, NotFound, ValidationError
from core.fields import Input
from core.network import Address
from core.people.users import User
from core.security import new_token
from core.tables import AlertRow, WebhookRow

SECONDS = 5.0
SIGNATURE = "X-Luthier-Signature"


class NewWebhook(Input):
    url: str = Field(
        min_length=1,
        max_length=2000,
        title="Address",
        description="Receives a POST with JSON for each alert.",
    )
    kinds: list[Kind] = Field(
        default_factory=lambda: list(KINDS), title="Which alerts", max_length=len(KINDS)
    )


@dataclass(frozen=True)
class Webhook:
    """``secret`` signs what is sent. ``last_error`` is of the last delivery, None when it went well."""

    url: str
    kinds: list[Kind]
    secret: str
    last_error: str | None
    created_at: datetime


@dataclass(frozen=True)
class Delivery:
    """How one try went. ``status``: the HTTP status of the answer, None when there was none."""

    ok: bool
    status: int | None
    error: str | None


def get(user: User) -> Webhook:
    """Raises NotFound when none is set."""
    with reading() as session:
        row = session.get(WebhookRow, user.id)
        if row is None:
            raise NotFound("No webhook is set. Set one with an address that receives your alerts.")
        last = select(AlertRow.delivery_error).where(
            AlertRow.user_id == user.id, AlertRow.delivery_attempts > 0
        )
        error = session.scalar(last.order_by(AlertRow.id.desc()).limit(1))
        return Webhook(row.url, row.kinds, row.secret, error, row.created_at)


def put(user: User, new: NewWebhook) -> Webhook:
    """Set or change it; the secret is made once and stays.

    Raises ValidationError for an address that may not be called.
    """
    check(new.url)
    kinds = [kind for kind in KINDS if kind in new.kinds]
    if not kinds:
        raise ValidationError.of("kinds", "choose at least one, or remove the webhook")
    with writing() as session:
        row = session.get(WebhookRow, user.id)
        if row is None:
            session.add(WebhookRow(user_id=user.id, url=new.url, kinds=kinds, secret=new_token()))
        else:
            row.url, row.kinds = new.url, kinds
    return get(user)


def remove(user: User) -> None:
    """What still waited is not sent. Raises NotFound."""
    with writing() as session:
        row = session.get(WebhookRow, user.id)
        if row is None:
            raise NotFound
        session.delete(row)
        waiting = update(AlertRow).where(AlertRow.user_id == user.id, AlertRow.delivery == "waiting")
        session.execute(waiting.values(delivery="none", deliver_after=None))


def send_test(user: User) -> Delivery:
    """Send a message that says it is a test, now. Raises NotFound."""
    hook = get(user)
    body = {
        "id": f"test_{new_token()[:12]}",
        "type": "test",
        "message": "This is a test of your webhook.",
        "created_at": now().isoformat(),
    }
    return send(hook.url, hook.secret, body)


def check(url: str) -> Address:
    """Raises ValidationError, saying why, unless the server may call it.

    Its host is looked up when something is sent.
    """
    address = network.parse_address(url)
    if _is_listed(address):
        return address
    if address.scheme != "https":
        raise ValidationError.of(
            "url", "must begin with https://, unless an admin lists the host in LUTHIER_WEBHOOK_HOSTS"
        )
    if address.port != network.PORTS["https"]:
        raise ValidationError.of(
            "url", "must use the usual port, unless an admin lists host:port in LUTHIER_WEBHOOK_HOSTS"
        )
    return address


def send(url: str, secret: str, body: dict[str, Any]) -> Delivery:
    """One try. Never raises; never takes much longer than ``SECONDS``."""
    sent = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    try:
        address = check(url)
        connection = network.connect(address, may_be_private=_is_listed(address), seconds=SECONDS)
    except LuthierError as error:
        return Delivery(False, None, error.message)
    # a drip of bytes would pass each wait's own limit
    ending = threading.Timer(SECONDS, _cut, args=(connection.sock,))
    ending.start()
    try:
        connection.request("POST", address.target, body=sent, headers=_headers(address, secret, sent))
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError):
        return Delivery(False, None, f"{address.host} gave no valid answer within {SECONDS:.0f} s.")
    finally:
        ending.cancel()
        connection.close()
    if 200 <= status < 300:
        return Delivery(True, status, None)
    return Delivery(False, status, f"{address.host} answered {status}.")


def sign(secret: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _headers(address: Address, secret: str, body: bytes) -> dict[str, str]:
    return {
        "Host": network.host_header(address),
        "User-Agent": "Luthier",
        "Content-Type": "application/json; charset=utf-8",
        "Connection": "close",
        SIGNATURE: sign(secret, body),
    }


def _is_listed(address: Address) -> bool:
    return network.is_listed(address, settings().webhook_host_list)


def _cut(connected: socket.socket | None) -> None:
    with suppress(OSError):
        if connected is not None:
            connected.shutdown(socket.SHUT_RDWR)
