"""Alembic's entry: migrations run on the engine of ``core.db``, one process after the other."""

from typing import Any, Literal

from alembic import context

from core import tables
from core.db import engine, make_file


def _render(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """A released migration must not depend on today's code: our timestamp type is spelled out."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, tables.Utc) else False


make_file()
with engine().execution_options(luthier_write=True).connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=tables.Row.metadata,
        render_as_batch=True,
        compare_type=True,
        render_item=_render,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
