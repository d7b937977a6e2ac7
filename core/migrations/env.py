"""Alembic's entry: migrations run on the engine of ``core.db``, one process after the other.

The same for a start of Luthier and for alembic's own commands, which find it by ``alembic.ini``. Of these
only ``upgrade`` and ``stamp`` make the file of a missing SQLite; the others say that there is none. A new
revision gets the number after the newest one.
"""

from typing import Any, Literal

from alembic import context
from alembic.operations import MigrationScript
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from core import tables
from core.config import settings
from core.db import engine, make_file, name, require_usable, sqlite_file
from core.errors import CannotStart

MAKING = ("upgrade", "stamp")


def _render(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """A released migration must not depend on today's code: our timestamp type is spelled out."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, tables.Utc) else False


def _number(_context: Any, _revision: Any, scripts: list[MigrationScript]) -> None:
    newest = ScriptDirectory.from_config(context.config).get_current_head() or "0"
    for script in scripts:
        script.rev_id = f"{int(newest) + 1:04}"


def _is_compared(item: Any, _name: Any, kind: str, _reflected: bool, _other: Any) -> bool:
    """SQLite has this reference as declared; it came with its column, and so is read back incompletely."""
    is_reference = kind == "foreign_key_constraint" and item.parent.name == "fine_tuning_jobs"
    return not (is_reference and [column.name for column in item.columns] == ["group_id"])


def _command() -> str | None:
    """Which one of alembic's own commands runs; None for a call out of our code."""
    asked = getattr(context.config.cmd_opts, "cmd", None)
    return asked[0].__name__ if asked else None


def _run() -> None:
    file = sqlite_file(settings().sqlalchemy_url)
    if _command() in (None, *MAKING):
        make_file()
    elif file is not None and not file.is_file():
        raise CommandError(f"There is no database {name()} yet. Make it: alembic upgrade head, or ./start.sh")
    with engine().execution_options(luthier_write=True).connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=tables.Row.metadata,
            render_as_batch=True,
            compare_type=True,
            render_item=_render,
            include_object=_is_compared,
            process_revision_directives=_number,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()


if context.is_offline_mode():
    raise CommandError("Some migrations read the rows there are, so they cannot be written down with --sql.")
try:
    require_usable()
except CannotStart as error:
    raise CommandError(error.message) from error
_run()
