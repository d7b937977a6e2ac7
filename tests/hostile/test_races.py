"""Two people, or a page and a program, change one dataset at the same moment.

Every pair of what makes or removes a version meets at every moment at which it could matter: while the first
is about to write its row, while its version is being converted, and by chance. Whatever comes of it: of two
changes to one version one is accepted, nothing that was accepted is lost, what does not go through says so,
and nothing points at what is gone.
"""

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import Any

import pytest
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.testclient import TestClient

from core import datasets, query, storage
from core.api.errors import status_of
from core.datasets import Edits, NewSplit, Version, adding, removing
from core.db import reading
from core.errors import LuthierError, NotFound
from core.ingest import converter
from core.ingest import queue as conversions
from core.listing import ListQuery
from core.people import sessions
from core.people.users import User
from core.processes import children
from core.server.front_door import FrontDoor
from core.server.lifespan import FORKED
from core.tables import DatasetVersionRow, VersionParentRow
from tests.core.datasets.version_of_sql import make
from tests.core.uploads.shared import stage

ROWS = "SELECT i AS n, 'row ' || i AS text FROM range(1, 21) r(i)"
EDITED, APPENDED = {"n": 100, "text": "row 1"}, {"n": 200, "text": "appended"}
MORE = b"n,text\n200,appended\n"
ACTIONS = ("edit", "append", "query", "query_elsewhere", "split", "remove", "delete")
CHANGES, QUERIES, REMOVALS = ("edit", "append"), ("query", "query_elsewhere"), ("remove", "delete")
MOMENTS = ("before its row", "while it is converted", "by chance")


@dataclass
class Ground:
    """A dataset of two versions; everything is done to the second one."""

    user: User
    first: Version
    second: Version

    @property
    def dataset_id(self) -> str:
        return self.second.dataset_id


@dataclass
class Outcome:
    """``status``: as the API answers, also for what a page has called."""

    action: str
    status: int
    version_id: str = ""
    message: str = ""

    @property
    def is_accepted(self) -> bool:
        return self.status < 400


def call_service(ground: Ground, action: str) -> str:
    """As a page does. The id of the version that was made, where one was."""
    user, dataset_id = ground.user, ground.dataset_id
    if action == "edit":
        edits = Edits.model_validate({"cells": [{"line": 1, "column": "n", "value": 100}]})
        return datasets.edit(user, ground.second.id, edits).id
    if action == "append":
        file = stage(MORE)
        return datasets.append_rows(user, dataset_id, file=file, filename="more.csv").id
    if action == "query":
        return query.save(user, sql=sql_of(ground), dataset_id=dataset_id)[1].id
    if action == "query_elsewhere":
        return query.save(user, sql=sql_of(ground), name="elsewhere")[1].id
    if action == "split":
        datasets.split(user, ground.second.id, NewSplit(train=0.5, validation=0, test=0.5))
    elif action == "remove":
        datasets.delete_version(user, ground.second.id)
    else:
        datasets.delete(user, dataset_id)
    return ""


def sql_of(ground: Ground) -> str:
    return f'SELECT n + 1 AS n, text FROM "{ground.second.id}"'


def call_api(client: TestClient, ground: Ground, action: str) -> Any:
    at, number = f"/api/datasets/{ground.dataset_id}", ground.second.version
    if action == "edit":
        body = {"cells": [{"line": 1, "column": "n", "value": 100}]}
        return client.post(f"{at}/edits", params={"version": number}, json=body)
    if action == "append":
        begun = client.post("/api/uploads", json={"filename": "more.csv", "size_bytes": len(MORE)})
        assert begun.status_code == 201, begun.text
        upload_id = begun.json()["id"]
        sent = client.put(f"/api/uploads/{upload_id}?offset=0", content=MORE)
        assert sent.status_code == 200, sent.text
        return client.post(f"{at}/versions", json={"upload_id": upload_id, "append": True})
    if action == "query":
        return client.post(f"{at}/versions", json={"sql": sql_of(ground)})
    if action == "split":
        parts = {"train": 0.5, "validation": 0, "test": 0.5}
        return client.post(f"{at}/splits", params={"version": number}, json=parts)
    if action == "remove":
        return client.delete(f"{at}/versions/{number}")
    return client.delete(at)


@dataclass
class Meeting:
    """Runs the second action once, at the first moment of the first one that ``at`` names."""

    run_second: Callable[[], None]
    thread: threading.Thread | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> None:
        with self.lock:
            if self.thread is not None:
                return
            self.thread = threading.Thread(target=self.run_second)
        self.thread.start()
        self.thread.join()

    def over(self) -> None:
        if self.thread is None:  # the first never came to that moment
            self.now()


@pytest.fixture(scope="module", autouse=True)
def no_child_is_left() -> Iterator[None]:
    yield
    children.shut_down()


@pytest.fixture
def api(ada: User) -> Iterator[TestClient]:
    headers = {"Authorization": f"Bearer {sessions.issue_jwt(ada).access_token}"}
    with TestClient(FrontDoor(Starlette()), headers=headers) as client:
        yield client


@pytest.fixture
def ground(ada: User) -> Ground:
    first = make(ada, ROWS, name="things")
    return Ground(ada, first, make(ada, ROWS, dataset_id=first.dataset_id))


def outcome_of(ground: Ground, action: str, api: TestClient | None) -> Outcome:
    if api is not None and action != "query_elsewhere":  # which only pages have
        answer = call_api(api, ground, action)
        body = answer.json() if answer.content else {}
        if answer.status_code >= 400:
            return Outcome(action, answer.status_code, message=body["error"]["message"])
        made = body.get("latest_version_id", body.get("id", "")) if isinstance(body, dict) else ""
        return Outcome(action, answer.status_code, made)
    try:
        return Outcome(action, 200, call_service(ground, action))
    except LuthierError as error:
        return Outcome(action, status_of(error), message=error.message)


def meet(
    monkeypatch: pytest.MonkeyPatch, moment: str, first: Callable[[], Outcome], second: Callable[[], Outcome]
) -> tuple[Outcome, Outcome]:
    """Both, the second at that moment of the first."""
    done: dict[str, Any] = {}

    def noting(name: str, act: Callable[[], Outcome]) -> Callable[[], None]:
        def run() -> None:
            try:
                done[name] = act()
            except BaseException as error:  # told by the thread that waits for it
                done[name] = error

        return run

    meeting = Meeting(noting("second", second))
    if moment == "by chance":
        both, threads = threading.Barrier(2), []
        for name, act in (("first", first), ("second", second)):
            run = noting(name, act)
            threads.append(threading.Thread(target=lambda run=run: (both.wait(30), run())))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    else:
        if moment == "before its row":
            meet_before(monkeypatch, adding, "staged", meeting)
        else:
            meet_before(monkeypatch, conversions, "run_and_wait", meeting)
        meet_before(monkeypatch, removing, "remove_files", meeting)
        noting("first", first)()
        meeting.over()
    for outcome in done.values():
        if isinstance(outcome, BaseException):
            raise outcome
    return done["first"], done["second"]


def meet_before(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, meeting: Meeting) -> None:
    then = getattr(module, name)

    def wait_and_do(*given: Any, **named: Any) -> Any:
        meeting.now()
        return then(*given, **named)

    monkeypatch.setattr(module, name, wait_and_do)


def meetings() -> Iterator[Any]:
    """The short ones: those of which an edit or an append is a part, at the two moments that are sure."""
    for first, second, moment in product(ACTIONS, ACTIONS, MOMENTS):
        is_long = moment == "by chance" or not {first, second} & set(CHANGES)
        yield pytest.param(first, second, moment, marks=[pytest.mark.long] if is_long else [])


@pytest.mark.parametrize(("first", "second", "moment"), meetings())
def test_two_at_once(
    ground: Ground, api: TestClient, monkeypatch: pytest.MonkeyPatch, first: str, second: str, moment: str
) -> None:
    if moment == "by chance":
        children.keep_warm(*FORKED)
    else:
        monkeypatch.setattr(conversions, "run_and_wait", converter.run)
    through_api = MOMENTS.index(moment) % 2 == ACTIONS.index(first) % 2  # either side is either, in turn
    outcomes = meet(
        monkeypatch,
        moment,
        lambda: outcome_of(ground, first, api if through_api else None),
        lambda: outcome_of(ground, second, None if through_api else api),
    )
    require_answers(outcomes)
    require_nothing_lost(ground, outcomes)
    require_no_dangling(ground)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(8))
def test_many_at_once(ground: Ground, api: TestClient, seed: int) -> None:
    """Six at random, half of them through the API; the seed says which."""
    children.keep_warm(*FORKED)
    chance = random.Random(seed)
    actions = chance.choices(ACTIONS[:-1], k=6) + (["delete"] if seed % 4 == 3 else [])
    all_there, outcomes = threading.Barrier(len(actions)), []

    def act(action: str, through: TestClient | None) -> None:
        all_there.wait(30)
        outcomes.append(outcome_of(ground, action, through))

    callers = [threading.Thread(target=act, args=(a, api if n % 2 else None)) for n, a in enumerate(actions)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(outcomes) == len(actions), "one ended with an error of ours"
    for outcome in outcomes:
        refusals = (404, 409, 422) if outcome.action in QUERIES else (404, 409)
        assert outcome.is_accepted or outcome.status in refusals, outcomes
    assert sum(outcome.is_accepted for outcome in outcomes if outcome.action == "edit") <= 1
    require_no_dangling(ground)
    require_one_line(ground, [o for o in outcomes if o.is_accepted and o.action in CHANGES])


def require_one_line(ground: Ground, changes: list[Outcome]) -> None:
    """Each accepted change was made of the one before it, of a query's result, or of what was left."""
    with contextlib.suppress(NotFound):  # the dataset was deleted
        page = datasets.list_versions(ground.user, ground.dataset_id, ListQuery(limit=100))
        versions = {version.id: version for version in page.items}
        made = sorted((versions[change.version_id] for change in changes), key=lambda one: one.version)
        for before, after in pairwise(made):
            parent = versions[after.parents[0]]
            assert parent.id == before.id or parent.origin == "query" or before.removed_at, changes


def require_answers(outcomes: tuple[Outcome, Outcome]) -> None:
    first, second = outcomes
    accepted = [outcome for outcome in outcomes if outcome.is_accepted]
    assert accepted, outcomes
    for outcome in outcomes:
        refusals = (404, 409, 422) if outcome.action in QUERIES else (404, 409)  # 422: it names what is gone
        assert outcome.is_accepted or outcome.status in refusals, outcomes
        assert outcome.message or outcome.is_accepted
    if first.action in CHANGES and second.action in CHANGES:
        assert sorted(outcome.is_accepted for outcome in outcomes) == [False, True], outcomes
    if not {first.action, second.action} & set(REMOVALS):
        for outcome in outcomes:
            assert outcome.is_accepted or outcome.action in CHANGES, outcomes
            assert outcome.is_accepted or outcome.status == 409, outcomes
    if first.action == second.action == "delete":
        assert sorted(outcome.status for outcome in outcomes)[1] == 404, outcomes


def require_nothing_lost(ground: Ground, outcomes: tuple[Outcome, Outcome]) -> None:
    is_deleted = any(outcome.action == "delete" and outcome.is_accepted for outcome in outcomes)
    if is_deleted:
        with pytest.raises(NotFound):
            datasets.get(ground.user, ground.dataset_id)
        return
    accepted = {outcome.action for outcome in outcomes if outcome.is_accepted}
    newest = datasets.version_of(ground.user, ground.dataset_id)
    versions = datasets.list_versions(ground.user, ground.dataset_id, ListQuery(limit=100)).items
    assert {version.status for version in versions} == {"ready"}
    for outcome in outcomes:
        if not outcome.is_accepted:
            continue
        if outcome.action in CHANGES:
            if newest.origin != "query":
                assert outcome.version_id == newest.id, outcomes
            kept = datasets.get_version(ground.user, outcome.version_id)
            items = datasets.preview(ground.user, ground.dataset_id, version=kept.version, limit=100).items
            wanted = EDITED if outcome.action == "edit" else APPENDED
            assert wanted in [item["data"] for item in items], outcomes
        if outcome.action in CHANGES + QUERIES:
            parents = datasets.get_version(ground.user, outcome.version_id).parents
            assert parents == [ground.second.id] or (
                # what is appended goes behind the newest version that there is
                outcome.action == "append" and parents == [ground.first.id] and "remove" in accepted
            )


def require_no_dangling(ground: Ground) -> None:
    """Every row is settled and has its files, every file has its row, every parent is there."""
    with reading() as session:
        versions = session.scalars(select(DatasetVersionRow)).all()
        parents = set(session.scalars(select(VersionParentRow.parent_id)))
    assert {version.status for version in versions} <= {"ready"}
    assert parents <= {version.id for version in versions}
    folder = storage.version_dir(ground.first.id).parent
    with_files = {version.id for version in versions if version.removed_at is None}
    assert {path.name for path in folder.iterdir()} == with_files
    assert not list(storage.staging_dir().iterdir())
