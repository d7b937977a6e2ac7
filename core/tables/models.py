"""The registry of AI models."""

from datetime import datetime

from sqlalchemy import BindParameter, CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.ext.hybrid import hybrid_method
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.clock import now
from core.tables.base import BigId, Json, Row, id_, one_of, ref
from core.tables.training import EvaluationRow


class ModelRow(Row):
    """An AI model in the registry: a name, and versions under it.

    Base models have no owner: everyone sees them.
    """

    __tablename__ = "models"
    __table_args__ = (
        one_of("type", "base", "custom", "finetuned", "external"),
        UniqueConstraint("owner_id", "name"),
        Index(
            "uq_models_shared_name",
            "name",
            unique=True,
            sqlite_where=text("owner_id IS NULL"),
            postgresql_where=text("owner_id IS NULL"),
        ),
        CheckConstraint("(type = 'base') = (owner_id IS NULL)", name="only_bases_are_shared"),
    )
    id: Mapped[str] = id_()
    owner_id: Mapped[str | None] = ref("users.id", nullable=True)
    name: Mapped[str] = mapped_column(String(100))
    type: Mapped[str] = mapped_column(String(16))
    base_model_id: Mapped[str | None] = ref("models.id", ondelete="SET NULL", nullable=True)
    provider: Mapped[str] = mapped_column(String(32), default="local")
    description: Mapped[str] = mapped_column(String(2000), default="")
    system_prompt: Mapped[str | None] = mapped_column(Text)
    parameters: Mapped[Json] = mapped_column(default=dict)
    capabilities: Mapped[Json] = mapped_column(default=dict)
    context_length: Mapped[int] = mapped_column(default=1024)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)

    @hybrid_method
    def is_visible_to(self, user_id: str | BindParameter[str]) -> bool:
        """Whether it exists for this user: their own, or shared. Of a row, and as a condition in SQL."""
        return (self.owner_id == user_id) | (self.owner_id == None)  # noqa: E711  # "is" would not be SQL


class ModelVersionRow(Row):
    """One set of weights.

    ``kind`` full: the folder is a whole model; adapter: it is a LoRA over ``base_version_id``.
    """

    __tablename__ = "model_versions"
    __table_args__ = (UniqueConstraint("model_id", "version"), one_of("kind", "full", "adapter"))
    id: Mapped[str] = id_()
    model_id: Mapped[str] = ref("models.id")
    version: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16), default="full")
    # relative to the data folder, or absolute for a base added in place
    folder: Mapped[str] = mapped_column(Text)
    base_version_id: Mapped[str | None] = ref("model_versions.id", ondelete="SET NULL", nullable=True)
    # no reference: jobs refer to versions already
    finetune_job_id: Mapped[str | None] = mapped_column(String(64), index=True)
    dataset_version_id: Mapped[str | None] = ref("dataset_versions.id", ondelete="SET NULL", nullable=True)
    metrics: Mapped[Json] = mapped_column(default=dict)
    settings: Mapped[Json] = mapped_column(default=dict)  # exact training settings, environment, data version
    size_bytes: Mapped[int] = mapped_column(default=0)
    num_parameters: Mapped[int] = mapped_column(default=0)
    chat_template_sha256: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    evaluation: Mapped[EvaluationRow | None] = relationship(lazy="joined", viewonly=True)


class ModelAliasRow(Row):
    __tablename__ = "model_aliases"
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    alias: Mapped[str] = mapped_column(String(64), primary_key=True)
    version_id: Mapped[str] = ref("model_versions.id", ondelete="RESTRICT")
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class AliasMoveRow(Row):
    """One change of an alias. It names numbers of versions, and stays when the alias is gone.

    Made: there is no ``from_version``. Removed: no ``to_version``.
    """

    __tablename__ = "alias_moves"
    __table_args__ = (Index("ix_alias_moves_model_id_alias", "model_id", "alias"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    alias: Mapped[str] = mapped_column(String(64))
    from_version: Mapped[int | None]
    to_version: Mapped[int | None]
    reason: Mapped[str | None] = mapped_column(String(500))
    user_id: Mapped[str | None] = ref("users.id", ondelete="SET NULL", nullable=True)  # who did it
    created_at: Mapped[datetime] = mapped_column(default=now)
