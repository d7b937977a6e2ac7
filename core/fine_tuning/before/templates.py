"""What the chat template of a base does that people should know, before any training of it.

A base brings it along since its template is checked when it comes. Of what came before that it is asked once,
in the process of the preview, and kept with the version.
"""

import logging

from core import models
from core.chat_templates import TemplateFinding
from core.errors import LuthierError
from core.fine_tuning.before.process import PreviewStopped, shared

log = logging.getLogger(__name__)


def findings_of(version_id: str) -> tuple[TemplateFinding, ...]:
    """Of a version's template. Takes seconds the first time for a version that was never checked.

    Empty also where nothing could be asked; the job then looks itself, before its first step.
    """
    known = models.template_findings(version_id)
    if known is None:
        if not (models.location(version_id).base / "config.json").is_file():
            return ()
        try:
            known = _ask(version_id)
        except (LuthierError, PreviewStopped) as error:
            log.warning("the chat template of %s could not be checked now: %s", version_id, error)
            return ()
        models.keep_template_findings(version_id, known)
    return tuple(known)


def _ask(version_id: str) -> list[TemplateFinding]:
    answer = shared.ask({"op": "template", "weights": models.location(version_id).as_json()})
    return [TemplateFinding(**finding) for finding in answer["findings"]]
