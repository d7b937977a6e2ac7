"""The training methods, a file each, and their registry ``METHODS``.

A method's file says everything that sets it apart: its words for people, the formats it learns from, what it
minimises, settings of its own and those it fixes, what it reports and what an evaluation asks. Form, API,
command line, guide, validation, forecast, evaluation, monitor and the contract tests
(``tests/core/training/test_method_contract.py``) follow from its line in ``METHODS``. What all methods share,
the loop first of all, is in ``core.training``. Importing this package loads no torch.
"""

from core.training.method import Method
from core.training.methods.continued import CONTINUED
from core.training.methods.dpo import DPO
from core.training.methods.supervised import SUPERVISED
from core.training.settings import OwnSetting

METHODS: dict[str, Method] = {method.name: method for method in (SUPERVISED, DPO, CONTINUED)}
DEFAULT_METHOD = next(iter(METHODS))  # of whoever names none
OWN_SETTINGS: dict[str, OwnSetting] = {
    own.name: own for method in METHODS.values() for own in method.settings
}


def likely_method(format_name: str) -> str | None:
    """The method that rows of this format are mostly meant for; None when no method learns from them."""
    fitting = [method for method in METHODS.values() if format_name in method.formats]
    likely = [method for method in fitting if format_name in method.likely_for]
    return next((method.name for method in [*likely, *fitting]), None)
