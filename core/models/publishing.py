"""How weights get into the registry: from a finished job, from one of its checkpoints, from the bundled
starter, from a folder or hub id an admin names.

Files first, row last: a version's folder appears by rename, then its row. A crash in between leaves an orphan
folder, which ``recover`` moves to the trash. The starter is copied into the data folder, because versions are
immutable and a later release may bring other weights, while adapters trained on the old ones must go on
working.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core import storage
from core.config import ROOT
from core.db import reading, when_there, writing
from core.errors import Conflict, Forbidden, ValidationError
from core.fields import Input
from core.inference.inspection import Inspected, inspect
from core.models.card import Card, write_card
from core.models.values import STARTER, Model, descends_from_starter, latest_version, present
from core.people.users import User
from core.security import new_id
from core.storage import trash
from core.tables import ModelRow, ModelVersionRow
from core.weights import Facts, content_sha256, read_facts, stored_path, template_sha256

STARTER_WEIGHTS = ROOT / "core" / "training" / "starter" / "weights"
STARTER_DESCRIPTION = (
    "The bundled starter: {millions:.1f}M parameters, trained on text that a program wrote. "
    "It is for trying the loop and, once fine-tuned, for small and narrow tasks; "
    "on its own it knows greetings, a few facts and simple requests, and little else."
)
SWEEP_AFTER_SECONDS = 3600  # a worker that outlived the server may be publishing right now


class NewBase(Input):
    """``source``: on the server, a folder with a Hugging Face causal language model or a GGUF file; or a hub
    id such as ``org/name``."""

    name: str = Field(min_length=1, max_length=100, title="Name")
    source: str = Field(min_length=1, max_length=1000, title="Folder, GGUF file or hub id")
    description: str = Field("", max_length=2000, title="Description")


@dataclass(frozen=True)
class Publication:
    """What a finished fine-tuning hands over, or somebody who promotes one of its checkpoints.

    ``settings``: everything needed to run it again, exactly.
    """

    user_id: str
    name: str
    kind: Literal["full", "adapter"]
    base_version_id: str
    job_id: str
    dataset_version_id: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    is_promotion: bool = False  # of a checkpoint: not the job's own result


class Published(NamedTuple):
    model_id: str
    version_id: str


AfterPublishing = Callable[[Session, Published], None]


def publish(
    new: Publication,
    *,
    draft: Path,
    then: AfterPublishing = lambda _session, _made: None,
    patience: float = 0.0,
) -> Published:
    """Move the files in ``draft`` (same file system) into the registry and name them.

    My fine-tuned model of that name gets its next version; if something else of mine has the name, a number
    is added to it. Publishing the same job twice, as a worker that died in between does, gives the first
    result again; that a checkpoint is promoted once is for ``then`` to say. The card is written here.
    ``then`` runs in the transaction that makes the rows: if it raises, there is no model. While the database
    is away it is tried again for ``patience`` seconds. Raises DiskFull, Conflict (the base is gone).
    """

    def again() -> Published | None:
        done = None if new.is_promotion else _published(new.job_id)
        if done:
            with writing() as session:
                then(session, done)
        return done

    if done := when_there(again, seconds=patience):
        return done
    if card := _card(new, draft):
        write_card(draft, card)
    facts = read_facts(draft)
    version_id = _store(draft.iterdir())

    def insert() -> Published:
        with writing() as session:
            if known := session.get(ModelVersionRow, version_id):  # written, but nobody could say so
                return Published(known.model_id, version_id)
            published = _insert(session, new, version_id=version_id, facts=facts)
            then(session, published)
            return published

    try:
        return when_there(insert, seconds=patience)
    except BaseException:  # raised again: no row names the folder, so it must not stay
        storage.remove(storage.model_dir(version_id))
        raise


def recover() -> None:
    """At start: folders that no row names go to the trash,
    unless they are so fresh that a living worker may be writing them."""
    with reading() as session:
        known = set(session.scalars(select(ModelVersionRow.id)))
    trash.sweep("models", known, older_than_seconds=SWEEP_AFTER_SECONDS)


def ensure_starter() -> None:
    """At start: the bundled model is in the registry;
    other weights than last time become its next version."""
    if not (STARTER_WEIGHTS / "config.json").is_file():
        return
    content = content_sha256(STARTER_WEIGHTS)
    with reading() as session:
        row = session.scalar(select(ModelRow).filter_by(owner_id=None, name=STARTER))
        newest = latest_version(session, row.id) if row else None
    if newest and newest.settings.get("content_sha256") == content and storage.model_dir(newest.id).is_dir():
        return
    facts = read_facts(STARTER_WEIGHTS)
    version_id = _store([], copied_from=STARTER_WEIGHTS)
    with writing() as session:
        row = session.scalar(select(ModelRow).filter_by(owner_id=None, name=STARTER)) or _add_base_row(
            session, STARTER
        )
        row.description = STARTER_DESCRIPTION.format(millions=facts.num_parameters / 1e6)
        row.context_length = facts.context_length
        # its template is ours, and a test asks that there is nothing to say about it
        how = {"source": "bundled", "content_sha256": content, "chat_template": []}
        _add_version(
            session,
            row,
            version_id=version_id,
            folder=storage.model_dir(version_id),
            facts=facts,
            settings=how,
        )


def add_base(user: User, new: NewBase) -> Model:
    """Admins add bases for everyone.

    A folder stays where it is; a GGUF file is unpacked, and a hub model downloaded, into the data folder.

    Raises Forbidden, ValidationError (no such model, or not one we can serve), Unavailable (offline),
    Conflict (name taken).
    """
    if not user.is_admin:
        raise Forbidden("Only an admin may add base models.")
    _require_free_base_name(new.name)
    version_id, here = new_id("mdv"), _on_this_server(new.source)
    if here and here.suffix.lower() != ".gguf":
        return _register_base(new, folder=here.resolve(), found=inspect(str(here)), version_id=version_id)
    storage.require_space()
    with storage.publishing(storage.model_dir(version_id)) as draft:
        found = inspect(str(here) if here else new.source, into=draft)
    return _register_base(new, folder=storage.model_dir(version_id), found=found, version_id=version_id)


def _on_this_server(source: str) -> Path | None:
    """None for a hub id."""
    try:
        path = Path(source).expanduser()
        return path.absolute() if path.is_absolute() or path.exists() else None
    except (OSError, RuntimeError):  # longer than a name may be, or the home of nobody
        return None


def _published(job_id: str) -> Published | None:
    """The job's own result, if it is there already. Checkpoints that were promoted meanwhile are others."""
    with reading() as session:
        statement = (
            select(ModelVersionRow).filter_by(finetune_job_id=job_id).order_by(ModelVersionRow.version.desc())
        )
        row = next((row for row in session.scalars(statement) if not row.settings.get("promoted")), None)
        return Published(row.model_id, row.id) if row else None


def _card(new: Publication, draft: Path) -> Card | None:
    """None when the base is gone: then there will be no version either."""
    with reading() as session:
        base = session.get(ModelVersionRow, new.base_version_id)
        base_model = session.get(ModelRow, base.model_id) if base else None
        if base is None or base_model is None:
            return None
        return Card(
            name=new.name,
            kind=new.kind,
            base=f"{base_model.name}, version {base.version}",
            of_starter=descends_from_starter(session, base_model),
            metrics=new.metrics,
            settings=new.settings,
            chat_template_sha256=template_sha256(draft) or base.chat_template_sha256,
        )


def _store(files: Any, *, copied_from: Path | None = None) -> str:
    """A new version folder, filled by moving or by copying; returns the version's id."""
    storage.require_space()
    version_id = new_id("mdv")
    with storage.publishing(storage.model_dir(version_id)) as draft:
        for file in files:
            file.rename(draft / file.name)
        if copied_from:
            shutil.copytree(copied_from, draft, dirs_exist_ok=True)
    return version_id


def _insert(session: Session, new: Publication, *, version_id: str, facts: Facts) -> Published:
    base = session.get(ModelVersionRow, new.base_version_id)
    base_model = session.get(ModelRow, base.model_id) if base else None
    if base is None or base_model is None:
        raise Conflict("The base model was deleted while the job ran.")
    row = _finetuned_row(session, new, base_model=base_model)
    if new.kind == base.kind == "adapter":  # an adapter was trained further: it has the same whole model
        base = session.get_one(ModelVersionRow, base.base_version_id)
    num_parameters = facts.num_parameters + (base.num_parameters if new.kind == "adapter" else 0)
    version = _add_version(
        session,
        row,
        version_id=version_id,
        folder=storage.model_dir(version_id),
        facts=Facts(
            num_parameters,
            facts.size_bytes,
            facts.context_length,
            facts.chat_template_sha256 or base.chat_template_sha256,
        ),
        settings=new.settings | ({"promoted": True} if new.is_promotion else {}),
    )
    version.kind, version.base_version_id = new.kind, base.id
    version.finetune_job_id, version.dataset_version_id = new.job_id, new.dataset_version_id
    version.metrics = new.metrics
    return Published(row.id, version_id)


def _finetuned_row(session: Session, new: Publication, *, base_model: ModelRow) -> ModelRow:
    for number in range(1, 1000):
        tail = f"-{number}" if number > 1 else ""
        name = new.name[: 100 - len(tail)] + tail
        row = session.scalar(select(ModelRow).filter_by(owner_id=new.user_id, name=name))
        if row is None:
            return _add_finetuned_row(session, new, name=name, base_model=base_model)
        if row.type == "finetuned" and row.provider == base_model.provider:
            return row
    raise Conflict(f"There are too many models named {new.name}.")


def _add_finetuned_row(session: Session, new: Publication, *, name: str, base_model: ModelRow) -> ModelRow:
    row = ModelRow(
        id=new_id("mdl"),
        owner_id=new.user_id,
        name=name,
        type="finetuned",
        base_model_id=base_model.id,
        provider=base_model.provider,
        context_length=base_model.context_length,
    )
    session.add(row)
    session.flush()
    return row


def _add_version(
    session: Session, row: ModelRow, *, version_id: str, folder: Path, facts: Facts, settings: dict[str, Any]
) -> ModelVersionRow:
    highest = session.scalar(select(func.max(ModelVersionRow.version)).filter_by(model_id=row.id)) or 0
    version = ModelVersionRow(
        id=version_id,
        model_id=row.id,
        version=highest + 1,
        folder=stored_path(folder),
        settings=settings,
        size_bytes=facts.size_bytes,
        num_parameters=facts.num_parameters,
        chat_template_sha256=facts.chat_template_sha256,
    )
    session.add(version)
    session.flush()
    return version


def _add_base_row(session: Session, name: str, description: str = "") -> ModelRow:
    row = ModelRow(id=new_id("mdl"), owner_id=None, name=name, type="base", description=description)
    session.add(row)
    session.flush()
    return row


def _register_base(new: NewBase, *, folder: Path, found: Inspected, version_id: str) -> Model:
    facts = Facts(found.num_parameters, found.size_bytes, found.context_length, found.chat_template_sha256)
    how: dict[str, Any] = {
        "source": new.source,
        "architecture": found.architecture,
        "notes": list(found.notes),
        "chat_template": list(found.chat_template),
    }
    if found.packs_rows is not None:
        how["packs_rows"] = found.packs_rows
    try:
        with writing() as session:
            row = _add_base_row(session, new.name, new.description)
            row.context_length = facts.context_length
            _add_version(session, row, version_id=version_id, folder=folder, facts=facts, settings=how)
            return present(session, row)
    except IntegrityError as error:
        storage.remove(storage.model_dir(version_id))
        raise Conflict(f"There is already a base model named {new.name}.") from error


def _require_free_base_name(name: str) -> None:
    if not name.strip():
        raise ValidationError.of("name", "must not be blank")
    with reading() as session:
        if session.scalar(select(ModelRow.id).filter_by(owner_id=None, name=name)):
            raise Conflict(f"There is already a base model named {name}.")
