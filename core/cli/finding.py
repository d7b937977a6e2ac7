"""What a person means by a word on the command line: an id, a name, or the newest one."""

from collections.abc import Sequence
from typing import Any, Protocol

from core import datasets, fine_tuning, models
from core.errors import NotFound
from core.people.users import User

LAST = "last"
MANY = 100


class Named(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


def find_job(user: User, word: str) -> fine_tuning.Job:
    """By id, by its beginning, by name (then the newest of that name), or ``last``. Raises NotFound."""
    newest = fine_tuning.list_jobs(user, fine_tuning.JobList(limit=MANY)).items
    if word == LAST and newest:
        return newest[0]
    job = _pick(newest, word)
    return job if job else fine_tuning.get(user, word)


def find_dataset(user: User, word: str) -> datasets.Dataset:
    dataset = _pick(datasets.list_datasets(user, datasets.DatasetList(limit=MANY, q=word)).items, word)
    return dataset if dataset else _named("dataset", word, lambda: datasets.get(user, word))


def find_model(user: User, word: str) -> models.Model:
    model = _pick(models.list_models(user, models.ModelList(limit=MANY, q=word)).items, word)
    return model if model else _named("model", word, lambda: models.get(user, word))


def first_base(user: User) -> models.Model:
    """The base to start from when none is named: the oldest, which is the bundled starter.

    Raises NotFound.
    """
    every = models.list_models(user, models.ModelList(limit=MANY, sort="created_at")).items
    for model in every:
        if model.type == "base" and model.latest_version_id and model.capabilities.get("finetune"):
            return model
    raise NotFound("There is no base model to tune. An admin adds one on the models page.")


def _pick(things: Sequence[Any], word: str) -> Any:
    """The exact id, else the first of that name, else the only one whose id begins so."""
    for match in (lambda one: one.id == word, lambda one: one.name == word):
        if thing := next((one for one in things if match(one)), None):
            return thing
    beginning = [one for one in things if one.id.startswith(word)]
    return beginning[0] if len(beginning) == 1 and "_" in word else None


def _named(noun: str, word: str, get: Any) -> Any:
    try:
        return get()
    except NotFound:
        raise NotFound(f"There is no {noun} “{word}”. `python -m core {noun}s` lists them.") from None
