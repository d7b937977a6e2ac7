"""What a model answered while it was trained: to fixed prompts, and to the rows it did worst on."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import case, select

from core.db import reading
from core.fine_tuning.owned import find
from core.listing import Listed, ListQuery, fetch
from core.people.users import User
from core.tables import SampleRow


class SampleList(ListQuery):
    """By step, then fixed prompts before the worst rows."""

    sort: str = "step"
    step: int | None = None
    kind: Literal["fixed", "worst"] | None = None


@dataclass(frozen=True)
class JobSample:
    """``position`` numbers the prompts of a kind from 0;
    ``line`` is the row it comes from; ``loss`` that row's at the time."""

    step: int
    kind: str
    position: int
    prompt: str
    expected: str | None
    answer: str
    line: int | None
    loss: float | None


def samples(user: User, job_id: str, query: SampleList | None = None) -> Listed[JobSample]:
    """Raises NotFound."""
    query = query or SampleList()
    with reading() as session:
        statement = select(SampleRow).where(SampleRow.job_id == find(session, user, job_id).id)
        if query.step is not None:
            statement = statement.where(SampleRow.step == query.step)
        if query.kind:
            statement = statement.where(SampleRow.kind == query.kind)
        order = SampleRow.position + case((SampleRow.kind == "fixed", 0), else_=1000)
        return fetch(
            session, statement, query, sortable={"step": SampleRow.step}, tie=order, present=_present
        )


def sample_steps(user: User, job_id: str) -> list[int]:
    """The steps at which answers were taken, ascending. Raises NotFound."""
    with reading() as session:
        steps = select(SampleRow.step).where(SampleRow.job_id == find(session, user, job_id).id).distinct()
        return list(session.scalars(steps.order_by(SampleRow.step)))


def _present(row: SampleRow) -> JobSample:
    return JobSample(**{name: getattr(row, name) for name in JobSample.__dataclass_fields__})
