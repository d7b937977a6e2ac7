"""Where the weights of a model version lie: its own folder, and that of the whole model below an adapter."""

from sqlalchemy.orm import Session

from core.errors import Conflict, NotFound
from core.tables import ModelVersionRow
from core.weights import Weights, real_path


def locate(session: Session, version_id: str) -> Weights:
    """Raises NotFound when there is no such version, Conflict when an adapter's base is gone."""
    version = session.get(ModelVersionRow, version_id)
    if version is None:
        raise NotFound("There is no such model version.")
    folder, template = real_path(version.folder), version.chat_template_sha256
    if version.kind == "full":
        return Weights(version_id, folder, folder, None, template)
    base = session.get(ModelVersionRow, version.base_version_id) if version.base_version_id else None
    if base is None:
        raise Conflict("The base of this model was deleted, so it cannot answer any more.")
    return Weights(version_id, folder, real_path(base.folder), folder, template)
