"""Where models answer. A provider is one file with a ``Provider`` and one line here.

To add one: write ``core/providers/NAME.py`` with a class that has ``name``, ``title``, ``generate``, ``warm``
and ``stop`` (see ``base``), put an instance into ``PROVIDERS``, and
``tests/core/providers/test_providers.py`` runs the contract tests on it.
"""

from core.providers.base import Provider
from core.providers.local import LocalProvider

PROVIDERS: dict[str, Provider] = {
    "local": LocalProvider(),
}
