"""A thin client of /api for tests that need a server but no browser."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.waiting import wait_until

PASSWORD = "correct horse battery"
PATIENCE = 300  # seconds for one answer: a busy machine loads a model for minutes
ENDED = ("succeeded", "failed", "cancelled")


class Rest:
    """One signed-in user of /api."""

    def __init__(self, url: str, email: str, *, register: bool = True) -> None:
        self.http = httpx.Client(base_url=url, timeout=PATIENCE)
        self.email = email
        self.sign_in(register=register)

    def sign_in(self, *, register: bool = False) -> None:
        answer = self.http.post(
            f"/api/auth/{'register' if register else 'login'}",
            json={"email": self.email, "password": PASSWORD},
        )
        assert answer.is_success, answer.text
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def get(self, path: str, **query: Any) -> Any:
        return self._json(self.http.get(f"/api{path}", params=query))

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._json(self.http.post(f"/api{path}", json=body or {}))

    def upload(self, path: Path, **fields: str) -> Any:
        with path.open("rb") as file:
            return self._json(self.http.post("/api/datasets", files={"file": (path.name, file)}, data=fields))

    def stage(self, path: Path) -> str:
        """Send a file and leave it there to be reviewed; its id."""
        data = path.read_bytes()
        begun = self.post("/uploads", {"filename": path.name, "size_bytes": len(data)})
        self._json(self.http.put(f"/api/uploads/{begun['id']}", params={"offset": 0}, content=data))
        return str(begun["id"])

    def starter(self) -> Any:
        return next(m for m in self.get("/models", type="base")["items"] if m["name"] == "luthier-starter")

    def train(self, dataset_id: str, name: str, hyperparameters: dict[str, Any], **fields: Any) -> str:
        """Start a fine-tuning of the starter; the job's id."""
        asked = {"base_model_id": self.starter()["id"], "dataset_id": dataset_id, "name": name}
        return str(self.post("/finetune", {**asked, "hyperparameters": hyperparameters, **fields})["id"])

    def finish(self, job_id: str, *, seconds: float = 600) -> Any:
        """The job once it has ended, which must be well."""
        self.wait_for_job(job_id, lambda seen: seen["status"] in ENDED, seconds=seconds)
        job = self.get(f"/finetune/{job_id}")
        assert job["status"] == "succeeded", job["error"]
        return job

    def cancel_all(self) -> None:
        """No job of this user's waits or runs any more."""

        def unfinished() -> list[str]:
            jobs = self.get("/finetune", limit=100)["items"]
            return [job["id"] for job in jobs if job["status"] not in ENDED]

        for job_id in unfinished():
            self.http.post(f"/api/finetune/{job_id}/cancel")  # it may have ended meanwhile
        wait_until(unfinished, lambda left: not left)

    def wait_for_job(
        self, job_id: str, holds: Callable[[dict[str, Any]], bool], *, seconds: float = 180
    ) -> dict[str, Any]:
        """The progress of a job as soon as ``holds`` is true of it."""
        return wait_until(lambda: self.get(f"/finetune/{job_id}/progress"), holds, seconds=seconds)

    def _json(self, answer: httpx.Response) -> Any:
        assert answer.is_success, (
            f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
        )
        return answer.json() if answer.content else None
