"""Kinds of alerts: the contract that every member keeps, from the column to the webhook."""

import re
from collections.abc import Callable
from typing import get_args

import pytest

from core import alerts, guide
from core.alerts import ALERT_KINDS, Kind, webhooks
from core.alerts.webhooks import NewWebhook
from core.config import settings
from core.db import writing
from core.fields import parse
from core.people.users import User
from core.tables import JobRow


def test_the_word_and_the_entry_of_a_kind_go_together() -> None:
    assert tuple(ALERT_KINDS) == get_args(Kind)


@pytest.mark.parametrize("kind", ALERT_KINDS)
def test_every_kind_says_what_it_is(kind: Kind) -> None:
    member = ALERT_KINDS[kind]
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,15}", kind)  # the column holds 16 characters
    assert member.title
    assert member.help.endswith(".")
    assert re.fullmatch(r"[a-z0-9_]+", member.icon)
    assert member.colour in ("green", "red", "orange", "blue", "violet", "grey")
    assert f"| **{kind}** | {member.help} |" in guide.whole_text()


@pytest.mark.parametrize("kind", ALERT_KINDS)
def test_every_kind_can_be_stored_listed_and_sent(
    kind: Kind, ada: User, make_job: Callable[..., JobRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_WEBHOOK_HOSTS", "127.0.0.1:9")
    settings.cache_clear()
    webhooks.put(ada, parse(NewWebhook, url="http://127.0.0.1:9/hook", kinds=[kind]))
    job = make_job(ada, name="support-bot")
    with writing() as session:
        alerts.note(session, user_id=ada.id, job_id=job.id, kind=kind, message="support-bot: Look.")
    (found,) = alerts.list_alerts(ada).items
    assert (found.kind, found.delivery) == (kind, "waiting")
    assert webhooks.get(ada).kinds == [kind]
