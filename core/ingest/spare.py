"""The spare converter: one process that has imported everything already and waits to be told a version.

Importing takes a converter most of a second, converting a small file a tenth of that; so behind the first
conversion a server keeps a spare (measured: 68 MB of its own). It is told one version id on its standard
input and is replaced when that one is done. While it waits it dies with the server, because its input ends.
Nothing depends on it: where there is none, or it died, a converter is started anew.
"""

import subprocess
import sys
import threading
from typing import IO, cast

from core.config import ROOT
from core.ingest.converter import SPARE

_lock = threading.Lock()
_kept: subprocess.Popen[bytes] | None = None
_is_allowed = False


def allow() -> None:
    """At the start of a server: from now on one is kept.

    Programs that only use the services, and tests, keep none.
    """
    global _is_allowed
    _is_allowed = True


def prepare() -> None:
    """Keep one ready, unless one is."""
    global _kept
    with _lock:
        if not _is_allowed or (_kept is not None and _kept.poll() is None):
            return
        try:
            _kept = _start()
        except OSError:
            _kept = None  # the next converter is started when it is needed


def hand_over(version_id: str) -> subprocess.Popen[bytes] | None:
    """Tell the spare its version, and give up the spare. None when there is none that lives."""
    global _kept
    with _lock:
        process, _kept = _kept, None
    if process is None or process.poll() is not None:
        return None
    try:
        with cast(IO[bytes], process.stdin) as told:
            told.write(f"{version_id}\n".encode())
    except OSError:  # it died this moment
        process.wait()
        return None
    return process


def shut_down() -> None:
    """Keep none any more."""
    global _kept, _is_allowed
    with _lock:
        process, _kept, _is_allowed = _kept, None, False
    if process is not None:
        process.kill()
        process.communicate()


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "core.ingest", SPARE],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # once it converts it outlives the server
    )
