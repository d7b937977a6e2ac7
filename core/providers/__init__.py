"""Where models answer. A provider is one file with a ``Provider`` and one line here.

To add one: write ``core/providers/NAME.py`` with a ``Provider`` that has ``name``, ``title`` and ``generate``
(see ``base``), or with an ``HttpProvider`` if it asks another server (see ``over_http``), and put an instance
into ``PROVIDERS``. ``tests/core/providers/test_providers.py`` runs the contract tests on it, once its
``MODELS`` says how a model of it comes to be.

- ``base``: the contract
- ``local``: models whose weights are on this server, answered by ``core.inference``
- ``over_http``: what providers have in common that ask another server

A provider knows by an opaque name only who asks, and not in which chat, or what it is charged: that is
``core.chats``.
"""

from core.providers.base import Provider
from core.providers.local import LocalProvider

PROVIDERS: dict[str, Provider] = {
    "local": LocalProvider(),
}
