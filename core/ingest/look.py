"""What a file would become: read by a child with bounded time and memory, for a page that asks.

Nothing is kept.
"""

import json
import logging
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from core import storage
from core.config import ROOT, bare_environment, settings
from core.errors import UnreadableFile
from core.readers import IngestOptions
from core.readers.look import Look, failed

LOOK_SECONDS = 60.0
LOOKS_AT_ONCE = 3
UNFORESEEN_LOOK = (
    "It could not be looked at, for a reason that is not known here. The details are in the server's log."
)
TOO_MUCH = (
    "Reading it takes more memory than a conversion may use. Its rows are too large: cut them, "
    "or split the file."
)
_looks = threading.BoundedSemaphore(LOOKS_AT_ONCE)
log = logging.getLogger("luthier.ingest")


def look_in_child(path: Path, filename: str, options: IngestOptions) -> Look:
    """What ``path`` would become with these options, read by a child within LOOK_SECONDS.

    Never raises for a bad file.
    """
    work = storage.new_staging_path()
    work.mkdir()
    request = {"path": str(path), "filename": filename, "options": options.model_dump(), "work": str(work)}
    try:
        with _looks:
            child = subprocess.run(
                [sys.executable, "-m", "core.readers.look"],
                input=json.dumps(request).encode(),
                cwd=ROOT,
                env=bare_environment(**_needed_settings()),
                capture_output=True,
                timeout=LOOK_SECONDS,
                check=True,
            )
        return Look(**json.loads(child.stdout))
    except subprocess.TimeoutExpired:
        return failed(
            UnreadableFile(
                f"Looking at it took more than {LOOK_SECONDS:.0f} seconds. Import it as detected, "
                f"or split it."
            )
        )
    except (subprocess.CalledProcessError, ValueError) as error:
        stderr = getattr(error, "stderr", b"")
        log.error("look at %s: %s", filename, stderr[-2000:] or error)
        has_no_memory = (
            getattr(error, "returncode", 0) < 0 or b"MemoryError" in stderr or b"OutOfMemory" in stderr
        )
        return failed(UnreadableFile(TOO_MUCH if has_no_memory else UNFORESEEN_LOOK))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _needed_settings() -> dict[str, str]:
    chosen = settings().model_dump(include={"data_dir", "max_expanded_mb", "disk_reserve_mb"})
    return {f"LUTHIER_{name.upper()}": str(value) for name, value in chosen.items()}
