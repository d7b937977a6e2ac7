"""The admin's rule for old versions of datasets: what is kept, and what the rule would remove today."""

import pandas as pd
import streamlit as st

from core import datasets
from core.datasets import Retention
from core.datasets.retention import Expired
from core.fields import parse
from core.people.users import User
from core.ui import digits, show


def show_retention(user: User) -> None:
    rule = datasets.retention()
    st.caption(
        "Old versions may go by themselves: their files are removed, their place in the list, "
        "note and lineage stay. Never the newest one of a dataset, "
        "and never one that a fine-tuning or a model alias needs. "
        "Looked after at every start and once a day."
    )
    enabled = st.toggle("Remove old versions", value=rule.enabled, key="retention_enabled")
    left, right = st.columns(2)
    newest = left.number_input(
        "Newest versions to keep of each dataset", 1, 1000, rule.keep_newest, key="retention_newest"
    )
    days = right.number_input("Days to keep every version", 0, 3650, rule.keep_days, key="retention_days")
    wanted = parse(Retention, enabled=enabled, keep_newest=newest, keep_days=days)
    _show_expired(datasets.preview_retention(user, wanted), enabled=enabled)
    st.button(
        "Save",
        key="retention_save",
        type="primary",
        disabled=wanted == rule,
        on_click=_save,
        args=(user, wanted),
    )


def _save(user: User, wanted: Retention) -> None:
    def save() -> None:
        datasets.set_retention(user, wanted)
        rule = "old versions go by this rule" if wanted.enabled else "every version stays"
        show.flash(f"Saved: {rule}.")

    show.attempt(save)


def _show_expired(expired: list[Expired], *, enabled: bool) -> None:
    if not expired:
        st.markdown(":green-badge[:material/check_circle: Nothing would go today]")
        return
    freed = show.bytes_(sum(one.size_bytes for one in expired))
    will = "will go with the next sweep" if enabled else "would go"
    st.markdown(f"**{show.count(len(expired), 'version')}** {will}, about {freed}")
    table = pd.DataFrame(
        {
            "Dataset": [one.dataset_name for one in expired],
            "Version": [one.version for one in expired],
            "Owner": [one.owner for one in expired],
            "Made": [one.created_at for one in expired],
            "Size": [show.bytes_(one.size_bytes) for one in expired],
        }
    )
    config = {"Made": st.column_config.DatetimeColumn(format="YYYY-MM-DD", timezone=st.context.timezone)}
    st.dataframe(
        table,
        placeholder=digits.NULL,
        hide_index=True,
        key="retention_expired",
        column_config=config,
        height=min(36 * (len(table) + 1) + 2, 320),
    )
