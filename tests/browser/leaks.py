"""Texts that would make a reader's browser call an address, and a server at that address that hears any call.

``plant`` writes them wherever a user, a model, a file or a worker can put text.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from core import storage
from core.db import writing
from core.jobs import row_files
from core.people import users
from core.people.users import User
from core.security import new_id
from core.tables import (
    AlertRow,
    ApiKeyRow,
    ChatRow,
    DatasetRow,
    DatasetVersionRow,
    ExportRow,
    InvitationRow,
    JobEventRow,
    JobGroupRow,
    JobRow,
    MessageRow,
    ModelRow,
    SampleRow,
    UploadRow,
    UserRow,
)
from core.training.method import RowLosses
from tests.browser.rest import Rest
from tests.browser.server import Server
from tests.ui import things

DIAGRAM = """{fence}{info}
flowchart TD
A@{{ img: "{to}/{path}", label: "x", pos: "t", w: 60, h: 60, constraint: "off" }}
A --> B
{fence}"""
FENCES = (
    ("```", "mermaid"),
    ("~~~", "MERMAID"),
    ("`````", " Mermaid a=b"),
    ("```", "mer&#109;aid"),
    ("~~~", "mermaid.js"),
)
TEXTS = (
    "![picture]({to}/image)",
    "![by reference][picture]\n\n[picture]: {to}/reference",
    "[![in a link]({to}/in-link)]({to}/link)",
    "a ``` that ends nothing ![picture]({to}/after-backticks)",
    "[a](x`y) ![picture]({to}/between-backticks) `",
    "| a | b |\n|---|---|\n| ![cell]({to}/cell) | b |",
    "- item\n\n  ![in a list]({to}/in-list)",
    (
        ":red[![in a directive]({to}/directive)] :material/image: "
        ":color[x]{{background='url({to}/directive-url)'}}"
    ),
    "<img src='{to}/img'><svg><image href='{to}/svg'/></svg><iframe src='{to}/frame'></iframe>",
    (
        "<video src='{to}/video' poster='{to}/poster'></video><audio src='{to}/audio'></audio><object "
        "data='{to}/object'></object>"
    ),
    (
        "<link rel='prefetch' href='{to}/prefetch'><link rel='preconnect' href='{to}'><style>@import "
        "'{to}/css'</style>"
    ),
    "<div style='background: url({to}/background)'>x</div><script>fetch('{to}/fetch')</script>",
    (
        '{{"mark": "image", "encoding": {{"url": {{"value": "{to}/vega"}}}}, "data": {{"url": '
        '"{to}/data.json"}}}}'
    ),
    "An address that stands alone: {to}/alone and <{to}/in-brackets>",
)
NAME = "![n]({to}/name)<img src={to}/n>"
SILENT = "a connection"
TAG = "![t]({to}/t)"  # of 30 characters at most


@dataclass
class Listener:
    """``heard``: the first line of whatever connected, :data:`SILENT` for what sent nothing."""

    port: int = 0
    heard: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def listening() -> Iterator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as door:
        listener = Listener(door.getsockname()[1])
        threading.Thread(target=_listen, args=(door, listener), daemon=True).start()
        yield listener


def _listen(door: socket.socket, listener: Listener) -> None:
    while True:
        try:
            caller, _ = door.accept()
        except OSError:  # closed: the test is over
            return
        with caller:
            listener.heard.append(SILENT)
            caller.settimeout(2)
            with contextlib.suppress(OSError):
                listener.heard[-1] = caller.recv(200).split(b"\r\n")[0].decode(errors="replace") or SILENT
                caller.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def message(to: str) -> str:
    """All of them in one message."""
    diagrams = [
        DIAGRAM.format(fence=fence, info=info, to=to, path=f"diagram-{n}")
        for n, (fence, info) in enumerate(FENCES)
    ]
    nested = diagrams[0].replace("\n", "\n  "), diagrams[0].replace("\n", "\n> ")
    texts = [text.format(to=to) for text in TEXTS]
    return "\n\n".join(
        [*diagrams, f"- {nested[0]}", f"> {nested[1]}", *texts, diagrams[1].removesuffix("~~~")]
    )


@dataclass(frozen=True)
class Planted:
    """What the pages are opened with."""

    dataset: str
    chats: str
    job: str
    paused: str
    sweep: str
    model: str
    chat: str
    upload: str


def plant(rest: Rest, server: Server, to: str, folder: Path) -> Planted:
    """A user's things with such a text in everything that can hold one."""
    name, text = NAME.format(to=to), message(to)
    dataset, talks = _upload(rest, folder, name, text)
    waiting = folder / "waiting.csv"
    waiting.write_text(f'"{name}";"b"\n' + f'"{TEXTS[0].format(to=to)}";"x"\n' * 20)
    upload = rest.stage(waiting)
    rest.post("/apikeys", {"name": name})
    with server.database():
        user = users.get(rest.get("/auth/me")["id"])
        users.invite(user, note=name)
        version = rest.get(f"/datasets/{dataset}/versions")["items"][0]
        job, paused, sweep, model = _make_training(user, version["id"], dataset, name, text)
        chat = _make_chat(user, model, dataset, name, text)
        _rename(name, text, TAG.format(to=to))
    return Planted(dataset, talks, job, paused, sweep, model, chat, upload)


def _upload(rest: Rest, folder: Path, name: str, text: str) -> tuple[str, str]:
    table, talks = folder / "table.jsonl", folder / "talks.jsonl"
    table.write_text(
        "".join(
            json.dumps({name: text, "question": f"{n} {text}", "answer": name, "n": n}) + "\n"
            for n in range(8)
        )
    )
    said = [{"role": "user", "content": text}, {"role": "assistant", "content": text}]
    talks.write_text("".join(json.dumps({"messages": said}) + "\n" for _ in range(8)))
    return rest.upload(table, name=name)["id"], rest.upload(talks, name=name)["id"]


def _make_training(
    user: User, version_id: str, dataset_id: str, name: str, text: str
) -> tuple[str, str, str, str]:
    given = {"dataset_id": dataset_id, "dataset_version_id": version_id, "sample_prompts": [text]}
    job = things.make_job(user, "failed", error={"code": "bad", "message": text, "line": 1}, **given)
    things.add_points(job)
    things.make_alert(user, job, message=name)
    with writing() as session:
        session.add(JobEventRow(job_id=job, level="warn", message=text))
        for kind in ("fixed", "worst"):
            session.add(
                SampleRow(
                    job_id=job,
                    step=50,
                    kind=kind,
                    position=0,
                    line=1,
                    prompt=text,
                    expected=text,
                    answer=text,
                    loss=1.0,
                )
            )
    losses = np.array([3.0, 2.0])
    row_files.write(job, RowLosses("train", np.array([1, 2]), losses, losses, np.array([9, 9]), 50))
    (storage.job_dir(job) / "log.txt").write_text(text)
    paused = things.make_job(user, "paused", **given)
    sweep = things.make_sweep(
        user, [{"learning_rate": 0.1, "n_epochs": 1}, {"learning_rate": 0.2, "n_epochs": 2}]
    )
    model = things.make_model(user, job_id=job)
    things.make_export(user, model)
    return job, paused, sweep, model


def _make_chat(user: User, model_id: str, dataset_id: str, name: str, text: str) -> str:
    table = {"columns": [{"name": name, "type": "VARCHAR"}], "rows": [[text], [name]], "row_count": 2}
    with writing() as session:
        chat = ChatRow(
            id=new_id("chat"),
            user_id=user.id,
            title=name,
            model_id=model_id,
            dataset_id=dataset_id,
            system_prompt=text,
        )
        session.add(chat)
        session.flush()
        said = (
            ("user", {}),
            ("assistant", {}),
            ("assistant", {"table": table}),
            ("assistant", {"error": {"message": text}}),
        )
        for position, (role, more) in enumerate(said):
            session.add(
                MessageRow(
                    id=new_id("msg"), chat_id=chat.id, position=position, role=role, content=text, **more
                )
            )
        return chat.id


def _rename(name: str, text: str, tag: str) -> None:
    """Whatever has a name, a description, a note or a tag."""
    with writing() as session:
        for row in (UserRow, DatasetRow, JobGroupRow, JobRow, ModelRow, ApiKeyRow, ChatRow):
            column = row.title if row is ChatRow else row.name
            kept = [row.type != "base"] if row is ModelRow else []
            session.query(row).filter(*kept).update({column: name})
        session.query(DatasetRow).update({DatasetRow.description: text[:2000]})
        session.query(DatasetVersionRow).update(
            {DatasetVersionRow.note: text[:500], DatasetVersionRow.filename: name}
        )
        session.query(ModelRow).filter(ModelRow.type != "base").update(
            {ModelRow.description: text[:2000], ModelRow.system_prompt: text}
        )
        session.query(JobRow).update({JobRow.notes: text, JobRow.tags: [tag]})
        session.query(InvitationRow).update({InvitationRow.note: name})
        session.query(AlertRow).update({AlertRow.delivery_error: name})
        session.query(UploadRow).update({UploadRow.filename: f"{name}.csv"})
        session.query(ExportRow).update(
            {ExportRow.error: name, ExportRow.facts: {"filename": name, "precision": name, "stage": name}}
        )
