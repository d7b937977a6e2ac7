"""The Job Submission API of a Ray cluster, over plain HTTP:
the web process needs nothing of Ray's to place a job there.

Addresses and fields are those of Ray's "Ray Jobs REST API" (Ray 2.x); the token is the bearer token of
``RAY_AUTH_MODE=token``.
"""

import errno
import http.client
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

ANSWER_SECONDS = 4.0
DETAIL = 300  # characters of a refusal that are passed on


class Unreachable(OSError):
    """The cluster did not answer, or refused; ``strerror`` says what to do about it."""

    def __init__(self, told: str) -> None:
        super().__init__(errno.EHOSTUNREACH, told)


class RayJobs:
    """One cluster. ``address`` is the dashboard of its head node, such as ``http://head:8265``."""

    def __init__(self, address: str, token: str = "") -> None:
        self._address = address.rstrip("/")
        self._headers = {"Content-Type": "application/json", "User-Agent": "luthier"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        # a cluster is never behind a web proxy
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def submit(self, submission_id: str, entrypoint: str, **options: Any) -> None:
        """Hand over a command.

        ``options``: ``entrypoint_num_cpus``, ``entrypoint_num_gpus``, ``runtime_env`` and so on.
        """
        body = {"entrypoint": entrypoint, "submission_id": submission_id, **options}
        self._ask("POST", "/api/jobs/", body)

    def status(self, submission_id: str) -> str | None:
        """PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED; None when the cluster knows no such job."""
        job = self._ask("GET", f"/api/jobs/{quote(submission_id)}")
        return None if job is None else str(job["status"])

    def stop(self, submission_id: str) -> None:
        """SIGTERM to all its processes;
        SIGKILL after ``RAY_JOB_STOP_WAIT_TIME_S`` of the job's runtime environment."""
        self._ask("POST", f"/api/jobs/{quote(submission_id)}/stop")

    def version(self) -> str:
        """The Ray version of the cluster."""
        return str((self._ask("GET", "/api/version") or {}).get("ray_version", "unknown"))

    def _ask(self, verb: str, path: str, body: Any = None) -> Any:
        """The answer, None for 404. Raises Unreachable."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self._address + path, data=data, headers=self._headers, method=verb)
        try:
            with self._opener.open(request, timeout=ANSWER_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise Unreachable(self._explain(error)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise Unreachable(f"the Ray cluster at {self._address} does not answer ({reason})") from error

    def _explain(self, error: urllib.error.HTTPError) -> str:
        if error.code in (401, 403):
            return f"the Ray cluster at {self._address} refused the token: check LUTHIER_RAY_TOKEN"
        lines = error.read().decode("utf-8", "replace").strip().splitlines() or [str(error.reason)]
        return f"the Ray cluster at {self._address} answered {error.code}: {lines[-1][:DETAIL]}"
