"""The training methods: one line each in ``METHODS``; the form,
the API schema, the validation and the contract test follow.

A method is a frozen :class:`~core.training.method.Method`: its words for people, the formats it learns from,
and what it minimises. Importing this package loads no torch: the web process plans with it, only the worker
trains.
"""

from core.training.continued import CONTINUED
from core.training.dpo import DPO
from core.training.hyperparameters import Hyperparameters, Settings, resolve
from core.training.method import Method
from core.training.supervised import SUPERVISED

__all__ = ["METHODS", "Hyperparameters", "Method", "Settings", "resolve"]

METHODS: dict[str, Method] = {method.name: method for method in (SUPERVISED, DPO, CONTINUED)}
