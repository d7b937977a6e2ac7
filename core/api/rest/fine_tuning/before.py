"""``/api/finetune``, before a start: what a job would do and cost,
what the model sees of a row, which settings there are."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from core.api.deps import CurrentUser, SignedIn
from core.fine_tuning import NewJob, choices
from core.fine_tuning.before import forecast, preview
from core.fine_tuning.before.forecast import Forecast
from core.fine_tuning.before.preview import ShownRow
from core.training import METHODS
from core.training.presets import PRESETS

router = APIRouter(route_class=SignedIn, tags=["finetune"])


class PreviewRow(NewJob):
    """A request that need not be fit to start yet, and the row to look at."""

    line: int = Field(1, ge=1, le=10**12, description="The row, from 1.")


@router.post("/finetune/plan")
def plan_job(new: NewJob, user: CurrentUser) -> Forecast:
    """What a job would do: its steps and settings, the memory it needs and the time it takes.

    Nothing is started.
    """
    return forecast.forecast(user, new)


@router.post("/finetune/preview")
def preview_row(new: PreviewRow, user: CurrentUser) -> ShownRow:
    """One row as the model sees it: each token, whether it is learned, and whether it is cut."""
    return preview.row(user, new, new.line)


@router.get("/finetune/settings")
def list_settings(user: CurrentUser) -> dict[str, Any]:
    """The JSON schema of the settings with their sections and help, the methods, and the presets.

    ``unavailable``: setting -> word -> why it cannot be chosen on this server. Such words are not in the
    schema.
    """
    methods = [
        {"name": m.name, "title": m.title, "help": m.help, "formats": list(m.formats)}
        for m in METHODS.values()
    ]
    return {
        "schema": choices.schema(),
        "unavailable": choices.unavailable(),
        "methods": methods,
        "presets": [asdict(preset) for preset in PRESETS.values()],
    }
