"""The Training view tab: what a model would read of a version."""

from core.datasets import Dataset, Version
from core.ui import fine_tuning_form as form
from core.ui.fine_tuning_form import Data
from core.users import User


def show_training(user: User, dataset: Dataset, version: Version) -> None:
    """The rows as examples, under the format they have by themselves or under a mapping."""
    form.show_rows(user, Data(dataset, version, None))
