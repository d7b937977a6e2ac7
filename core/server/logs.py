"""One JSON line per event on standard output:
requests on ``luthier.request``, everything else under its module's name.

No line holds a header, a cookie, a query string or a body.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from core.config import settings

requests = logging.getLogger("luthier.request")
OWN_LOGGERS = ("luthier", "core", "pages")


class JsonLines(logging.Formatter):
    """``record.facts``, where there are some, are the line's fields; else the message is."""

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        }
        facts |= getattr(record, "facts", None) or {
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            facts["traceback"] = self.formatException(record.exc_info)
        return json.dumps(facts, default=str)


def configure() -> None:
    """Send our loggers to standard output. Calling it again changes nothing."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    for name in OWN_LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(settings().log_level)
        logger.propagate = False
        if not any(isinstance(h.formatter, JsonLines) for h in logger.handlers):
            logger.addHandler(handler)


def note_request(
    *, request_id: str, user_id: str | None, method: str, path: str, status: int, seconds: float
) -> None:
    facts = {"request_id": request_id, "user": user_id, "method": method, "path": path, "status": status}
    requests.info("request", extra={"facts": facts | {"ms": round(seconds * 1000, 1)}})
