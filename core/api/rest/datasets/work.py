"""``/api/datasets/{dataset_id}/…``: what is made of a version, and what is found out about it.

Edits and splits make versions; quality, leaks and lineage tell. ``version`` in the address is a number, the
newest without it.
"""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from core import datasets
from core.api.deps import CurrentUser, SignedIn
from core.datasets import Dataset, Edits, NewSplit, Profile, Version

router = APIRouter(route_class=SignedIn, tags=["datasets"])
Number = Annotated[int | None, Query(ge=1, le=10**9)]


@router.post("/datasets/{dataset_id}/edits", status_code=201)
def edit_dataset(dataset_id: str, edits: Edits, user: CurrentUser, version: Number = None) -> Version:
    """Cells changed, rows added and deleted, as the next version. 409
    when a newer version exists, unless ``force``."""
    return datasets.edit(user, datasets.version_of(user, dataset_id, version).id, edits)


@router.post("/datasets/{dataset_id}/splits", status_code=201)
def split_dataset(dataset_id: str, new: NewSplit, user: CurrentUser, version: Number = None) -> list[Dataset]:
    """A dataset for each of train, validation and test, by the hash of what the rows hold.

    Again: their next versions.
    """
    return datasets.split(user, datasets.version_of(user, dataset_id, version).id, new)


@router.get("/datasets/{dataset_id}/quality")
def get_quality(dataset_id: str, user: CurrentUser, version: Number = None) -> datasets.Quality:
    """What is suspicious: duplicates, empty columns, broken text, personal data.

    ``status`` says whether it is complete.
    """
    return datasets.quality(user, datasets.version_of(user, dataset_id, version).id)


@router.post("/datasets/{dataset_id}/quality", status_code=202)
def start_quality(dataset_id: str, user: CurrentUser, version: Number = None) -> datasets.Quality:
    """Have it looked for once more after it failed. One that runs or is ready stays as it is."""
    dataset_version = datasets.version_of(user, dataset_id, version)
    datasets.start_report(user, dataset_version.id, "quality")
    return datasets.quality(user, dataset_version.id)


@router.post("/datasets/{dataset_id}/profile", status_code=202)
def start_profile(dataset_id: str, user: CurrentUser, version: Number = None) -> Profile:
    """Have it computed once more after it failed. One that runs or is ready stays as it is."""
    datasets.start_report(user, datasets.version_of(user, dataset_id, version).id, "profile")
    return datasets.profile(user, dataset_id, version=version)


@router.get("/datasets/{dataset_id}/leaks")
def get_leaks(
    dataset_id: str, user: CurrentUser, against: Annotated[list[str], Query()], version: Number = None
) -> datasets.LeakReport:
    """Rows of this version that are in other versions,
    too (``against``: their ids, any dataset), exactly or nearly."""
    return datasets.leaks(user, [datasets.version_of(user, dataset_id, version).id, *against])


@router.get("/datasets/{dataset_id}/lineage")
def get_lineage(dataset_id: str, user: CurrentUser) -> dict[str, Any]:
    """Versions, the jobs and models made of them, and what was made from what."""
    lineage = asdict(datasets.lineage(user, dataset_id))
    edges = [{name.rstrip("_"): value for name, value in edge.items()} for edge in lineage["edges"]]
    return lineage | {"edges": edges}
