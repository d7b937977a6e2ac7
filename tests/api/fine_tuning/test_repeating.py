"""What a run's notebook says about starting it once more over the API is run here, against the real server,
with a key that may do that and nothing else."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from core import fine_tuning
from core.fine_tuning import JobList, NewJob
from core.people import api_keys
from core.people.api_keys import NewKey
from core.people.users import User
from tests.api.live import serving
from tests.ui.things import make_dataset, make_model

ROWS = [{"prompt": f"p{n}", "completion": f"c{n}"} for n in range(20)]


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="needs curl and bash")
def test_the_command_in_a_notebook_runs_as_it_is(ada: User, tmp_path: Path) -> None:
    base, version = make_model(None, "base"), make_dataset(ada, ROWS)
    job = fine_tuning.create(ada, NewJob(base_model_id=base, dataset_id=version.dataset_id, seed=7))
    _, key = api_keys.create(ada, NewKey(name="x", scopes=["finetune"]))
    with serving() as address:
        headers = {"Authorization": f"Bearer {key}"}
        book = httpx.get(f"{address}/api/finetune/{job.id}/report?as=ipynb", headers=headers).json()
        text = "\n".join("".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "markdown")
        (command,) = re.findall(r"```bash\n(curl .*?)\n```", text, re.DOTALL)
        (body,) = re.findall(r"```json\n(.*?)\n```", text, re.DOTALL)
        (tmp_path / "body.json").write_text(body)
        environment = {**os.environ, "LUTHIER_API_KEY": key}
        ran = subprocess.run(
            ["bash", "-eu", "-c", command], cwd=tmp_path, env=environment, capture_output=True, timeout=60
        )
    assert ran.returncode == 0, ran.stderr
    assert not any(word in text.lower() for word in ("password", "auth/login"))
    made = json.loads(ran.stdout)
    assert {one.id for one in fine_tuning.list_jobs(ada, JobList()).items} == {job.id, made["id"]}
    assert (made["seed"], made["dataset_version_id"]) == (7, job.dataset_version_id)
