"""The first page: the next sensible step, what runs now, what is new."""

from core.ui import home_view, show
from core.ui.sign_in import require_user

user = require_user()
show.header(
    f"Welcome, {user.name}" if user.name else "Welcome",
    "From your data to a model you can call.",
    icon="home",
)

with show.guarded():
    seen = home_view.look_around(user)
    home_view.show_next_step(user, home_view.next_step(seen))
    home_view.show_counts(seen)
    home_view.show_running(user, seen)
    home_view.show_recent(seen)
