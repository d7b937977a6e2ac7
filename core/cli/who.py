"""As whom the command line works."""

from sqlalchemy import select

from core.config import settings
from core.db import reading
from core.errors import NotFound
from core.people import users
from core.people.users import User
from core.storage import pairing
from core.tables import UserRow


def find_user(email: str | None) -> User:
    """The account of this address, of ``LUTHIER_USER``, or the only one there is.

    Raises NotFound, FolderMismatch.
    """
    pairing.open_database()
    wanted = users.normal_email(email or settings().user)
    with reading() as session:
        rows = session.scalars(select(UserRow).order_by(UserRow.created_at)).all()
    if wanted:
        matches = [row for row in rows if row.email == wanted]
        if not matches:
            raise NotFound(f"There is no account {wanted} in {settings().data_dir}.")
        return users.present(matches[0])
    if not rows:
        raise NotFound(
            f"There is no account in {settings().data_dir} yet. Start Luthier and create one, "
            f"or set LUTHIER_DATA_DIR."
        )
    if len(rows) > 1:
        raise NotFound("There are several accounts. Say which one by --user EMAIL or LUTHIER_USER.")
    return users.present(rows[0])
