"""Where users' SQL runs: a gate over the parsed text, and one locked process per query.

::

    client.run ── socket pair ──> zygote (everything imported) ── fork ──> child
        the child locks itself (Landlock, seccomp, rlimits); the gate lets one SELECT of known nodes and
        functions pass; DuckDB runs it, its settings locked, over views of the named files
               <──────────── Arrow stream, plan, or a file in the private folder ──── child

The caller kills the child at the deadline. Every query of every user takes this way, a model's too; nothing
else touches user SQL. This package knows files and limits, no users: names, ownership, queueing and
accounting are ``core.query``'s.
"""

from core.sql_sandbox.client import (
    Limits,
    QueryFailed,
    SandboxResult,
    SandboxUnavailable,
    UnknownTable,
    run,
    shut_down,
)
from core.sql_sandbox.lock import protection
from core.sql_sandbox.stops import Stop, Stopped

__all__ = [
    "Limits",
    "QueryFailed",
    "SandboxResult",
    "SandboxUnavailable",
    "Stop",
    "Stopped",
    "UnknownTable",
    "protection",
    "run",
    "shut_down",
]
