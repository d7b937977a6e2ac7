"""What the chat template of a base does that people should know, before any training of it.

A base brings it along since its template is checked when it comes. Of what came before that it is asked once,
in the process of the preview, and kept with the version.
"""

import logging
import time

from core import models
from core.chat_templates import TemplateFinding
from core.errors import LuthierError
from core.fine_tuning.before.process import PreviewStopped, shared

log = logging.getLogger(__name__)
ASK_AGAIN_SECONDS = 600.0  # a page that plans again and again must not wait each time
_failed_at: dict[str, float] = {}  # by version


def findings_of(version_id: str) -> tuple[TemplateFinding, ...]:
    """Of a version's template. Takes seconds the first time for a version that was never checked.

    Empty also where nothing could be asked; the job then looks itself, before its first step.
    """
    known = models.template_findings(version_id)
    if known is None:
        if time.monotonic() - _failed_at.get(version_id, float("-inf")) < ASK_AGAIN_SECONDS:
            return ()
        if not (models.location(version_id).base / "config.json").is_file():
            return ()
        try:
            known = _ask(version_id)
        except (LuthierError, PreviewStopped) as error:
            _failed_at[version_id] = time.monotonic()
            log.warning("the chat template of %s could not be checked now: %s", version_id, error)
            return ()
        models.keep_template_findings(version_id, known)
    return tuple(known)


def _ask(version_id: str) -> list[TemplateFinding]:
    answer = shared.ask({"op": "template", "weights": models.location(version_id).as_json()})
    return [TemplateFinding(**finding) for finding in answer["findings"]]
