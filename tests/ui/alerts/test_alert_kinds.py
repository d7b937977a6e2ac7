"""Every kind of alert has its look in the list and its name in the webhook's form."""

from core.alerts import ALERT_KINDS
from core.people.users import User
from tests.ui.conftest import Visit, text_of
from tests.ui.things import make_alert, make_job


def test_every_kind_is_drawn_in_the_list(ada: User, visit: Visit) -> None:
    job_id = make_job(ada)
    for kind in ALERT_KINDS:
        make_alert(ada, job_id, kind, f"support-bot: It is {kind}.")
    app = visit(ada, "alerts")
    assert not app.exception
    shown = text_of(app)
    for kind, member in ALERT_KINDS.items():
        assert f":{member.colour}[:material/{member.icon}:] **{member.title}**" in shown
        assert f"It is {kind}." in shown


def test_every_kind_can_be_chosen_for_the_webhook(ada: User, visit: Visit) -> None:
    app = visit(ada, "settings")
    assert app.multiselect(key="webhook_kinds").options == [kind.title for kind in ALERT_KINDS.values()]
