"""People: who may come in, how they prove who they are, what they may use and what they used.

- ``users``: accounts, invitations, roles; ``passwords``: which ones are refused
- ``sessions``: cookies of browsers and tokens of ``/api``; ``api_keys``: keys of ``/v1``
- ``limits``: how often a stranger may try
- ``usage``: one record of each thing that was used, and sums over them

An edge (a page, a route, a command) asks here *who* calls and hands the ``User`` on; whether that user may do
a thing is decided by the service that does it. What the sign-in form looks like belongs to ``core.ui``, what
a route answers to ``core.api``.
"""
