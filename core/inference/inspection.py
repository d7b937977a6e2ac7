"""Asks a child process whether a folder or hub id is a model this server can train and serve.

transformers is imported there, not here: a broken or hostile folder can at worst end the child.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from core.config import ROOT, child_environment
from core.errors import Unavailable, ValidationError

FOLDER_SECONDS, FETCH_SECONDS = 180, 3600


@dataclass(frozen=True)
class Inspected:
    """``notes`` are sentences an admin should read, such as that there is no chat template.

    ``chat_template``: what there is to know of it, each with kind, level and message. ``packs_rows``: whether
    rows packed behind each other stay blind to each other; None: not measured.
    """

    architecture: str
    num_parameters: int
    size_bytes: int
    context_length: int
    chat_template_sha256: str | None
    notes: tuple[str, ...]
    chat_template: tuple[dict[str, str], ...] = ()
    packs_rows: bool | None = None


def inspect(source: str, *, into: Path | None = None) -> Inspected:
    """Of a folder; or of a hub id or a GGUF file (an absolute path), brought ``into`` an empty folder first.

    Raises ValidationError (field ``source``) with what is missing, Unavailable when the hub cannot be
    reached.
    """
    command = [
        sys.executable,
        "-m",
        "core.inference.check_model",
        source,
        *([str(into)] if into else []),
    ]
    seconds = FETCH_SECONDS if into else FOLDER_SECONDS
    is_from_hub = into is not None and not Path(source).is_absolute()
    offline = {} if is_from_hub else {"HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=child_environment(**offline),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            text=True,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(
            "Looking at the model took too long. Try again when the server is less busy."
        ) from error
    lines = reversed(done.stdout.splitlines())
    answer = next((json.loads(line) for line in lines if line.startswith("{")), None)
    if answer is None:
        raise ValidationError.of(
            "source",
            f'"{Path(source).name}" could not be read as a model: '
            "the check was stopped, as happens when memory runs out",
        )
    if error_text := answer.get("error"):
        raise (
            Unavailable(error_text) if answer.get("unavailable") else ValidationError.of("source", error_text)
        )
    lists = {name: tuple(answer[name]) for name in ("notes", "chat_template")}
    return Inspected(**{**answer, **lists})
