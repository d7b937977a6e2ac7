"""What is different between two versions of a dataset.

- ``computing``: rows and cells that came, went or changed, with a key or without; this package hands its
  functions on
- ``columns``: how a column of one version is compared with that of another
- ``files``: a whole difference as a file to take away
"""

from core.datasets.diffs.computing import (
    SECONDS,
    Diff,
    VersionSide,
    diff,
    diff_versions,
    guess_match,
    prepare,
    readable_pair,
    require_key,
    suggest_keys,
)

__all__ = [
    "SECONDS",
    "Diff",
    "VersionSide",
    "diff",
    "diff_versions",
    "guess_match",
    "prepare",
    "readable_pair",
    "require_key",
    "suggest_keys",
]
