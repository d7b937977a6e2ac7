"""API.md section 12: an admin adds bases over the API; nobody else does, and no key."""

from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from core import models
from core.models import NewBase
from core.people.users import User
from tests.api.conftest import Caller, error_of, fields_of
from tests.ui.things import make_model


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> list[NewBase]:
    """What the service was asked for; it answers with a base that is there."""
    asked: list[NewBase] = []

    def add_base(user: User, new: NewBase) -> models.Model:
        asked.append(new)
        return models.get(user, make_model(None, new.name))

    monkeypatch.setattr(models, "add_base", add_base)
    return asked


def test_an_admin_adds_a_base_by_the_service_of_the_page(as_ada: Caller, added: list[NewBase]) -> None:
    new = {"name": "smol", "source": "/models/smol.gguf", "description": "Ours", "type": "custom"}
    answer = as_ada.post("/api/models/bases", new)
    assert answer.status_code == 201
    assert answer.json().items() >= {"name": "smol", "type": "base", "owner_id": None}.items()
    assert [(base.name, base.source, base.description) for base in added] == [
        ("smol", "/models/smol.gguf", "Ours")
    ]
    assert as_ada.get("/api/models?type=base").json()["total"] == 1


@pytest.mark.parametrize("body", [{"name": "x", "source": "/models/x"}, {"name": 5}, {}])
def test_others_and_keys_are_refused_before_the_body_is_looked_at(
    as_bob: Caller, ada: User, with_key: Callable[..., Caller], added: list[NewBase], body: dict[str, object]
) -> None:
    answer = as_bob.post("/api/models/bases", body)
    assert (answer.status_code, error_of(answer)["code"]) == (403, "forbidden")
    answer = with_key(ada).post("/api/models/bases", body)
    assert (answer.status_code, error_of(answer)["code"]) == (403, "scope_missing")
    assert added == []


def test_nobody_unknown_is_told_that_it_is_for_admins(client: TestClient) -> None:
    assert client.post("/api/models/bases", json={}).status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"source": "/x"}, "name"),
        ({"name": "", "source": "/x"}, "name"),
        ({"name": "x" * 101, "source": "/x"}, "name"),
        ({"name": "x"}, "source"),
        ({"name": "x", "source": ""}, "source"),
        ({"name": "x", "source": "/a\u0000b"}, "source"),
        ({"name": "x", "source": "/x", "description": "x" * 2001}, "description"),
    ],
)
def test_broken_field_is_named(as_ada: Caller, body: dict[str, str], field: str) -> None:
    assert fields_of(as_ada.post("/api/models/bases", body)) == {field}


def test_what_is_no_model_names_the_file_and_no_other_place(as_ada: Caller, tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    answer = as_ada.post("/api/models/bases", {"name": "x", "source": str(folder)})
    assert fields_of(answer) == {"source"}
    assert '"my-model" is missing' in answer.text.replace("\\", "")
    assert str(tmp_path) not in answer.text


def test_a_taken_name_is_a_conflict(as_ada: Caller, tmp_path: Path) -> None:
    make_model(None, "taken")
    answer = as_ada.post("/api/models/bases", {"name": "taken", "source": str(tmp_path)})
    assert (answer.status_code, error_of(answer)["code"]) == (409, "conflict")
