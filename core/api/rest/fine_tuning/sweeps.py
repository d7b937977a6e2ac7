"""``/api/sweeps``: groups of jobs that differ in a few settings."""

from typing import Annotated

from fastapi import APIRouter, Query

from core.api.deps import CurrentUser, SignedIn
from core.fine_tuning import sweeps
from core.fine_tuning.sweeps import NewSweep, Sweep, SweepList
from core.listing import Listed

router = APIRouter(route_class=SignedIn, tags=["sweeps"])
Sort = Annotated[str, Query(max_length=100)]


@router.post("/sweeps", status_code=201)
def create_sweep(new: NewSweep, user: CurrentUser) -> Sweep:
    """Start a job for each combination of a grid, or for combinations drawn at random."""
    return sweeps.create(user, new)


@router.get("/sweeps")
def list_sweeps(user: CurrentUser, query: Annotated[SweepList, Query()]) -> Listed[Sweep]:
    """The caller's sweeps, without their jobs."""
    return sweeps.list_sweeps(user, query)


@router.get("/sweeps/{sweep_id}")
def get_sweep(sweep_id: str, user: CurrentUser, sort: Sort = "created_at") -> Sweep:
    """One sweep with its jobs, sorted by what was measured or by a setting."""
    return sweeps.get(user, sweep_id, sort=sort)


@router.post("/sweeps/{sweep_id}/cancel")
def cancel_sweep(sweep_id: str, user: CurrentUser) -> Sweep:
    """End all its jobs that have not ended."""
    return sweeps.cancel(user, sweep_id)


@router.delete("/sweeps/{sweep_id}", status_code=204)
def delete_sweep(sweep_id: str, user: CurrentUser) -> None:
    """Remove a sweep whose jobs have ended, with them. Models that they made stay."""
    sweeps.delete(user, sweep_id)
