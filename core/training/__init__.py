"""Training: one loop for all methods, from rows to a draft of the model.

What sets a method apart is its file in ``core.training.methods``; its line in ``METHODS`` there makes it one.
The settings are in ``hyperparameters`` (what may be asked) and ``settings`` (what was decided). Importing
this package loads no torch: the web process plans with it, only the worker trains.
"""

from core.training.hyperparameters import Hyperparameters, Settings, resolve
from core.training.method import Method
from core.training.methods import DEFAULT_METHOD, METHODS, likely_method

__all__ = ["DEFAULT_METHOD", "METHODS", "Hyperparameters", "Method", "Settings", "likely_method", "resolve"]
