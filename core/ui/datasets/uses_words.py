"""What uses a dataset or a version, as markdown for the question whether it is to be deleted."""

from core import datasets
from core.people.users import User
from core.ui import show

KINDS = {"job": "Fine-tuning", "alias": "Model alias", "model": "Model", "version": "Dataset", "chat": "Chat"}
MOST_LISTED = 12


def say_uses(user: User, dataset_or_version_id: str) -> str:
    """Nothing when nothing uses it, else a paragraph and a list; what forbids the deletion comes first.

    Raises NotFound.
    """
    uses = datasets.uses(user, dataset_or_version_id)
    if not uses:
        return ""
    lines = [
        f"- {KINDS.get(use.kind, use.kind)} **{show.plain(use.name)}**"
        + (": needs it, so it cannot be deleted now" if use.blocks else "")
        for use in uses[:MOST_LISTED]
    ]
    if len(uses) > MOST_LISTED:
        lines.append(f"- and {len(uses) - MOST_LISTED} more")
    return "\n\nIt is used by\n" + "\n".join(lines)
