"""Luthier's core: a team's data becomes models the team can call.

The ideas that carry the code:

1. Edges authenticate, services authorize. Pages, ``/api``, ``/v1`` and the worker find out *who*; services decide *may they*.
2. A public service function is one use case and owns its transactions. First parameter ``user``: it opens its own. First parameter
   ``session``: it runs in the caller's.
3. Rules live once: field rules in the pydantic input model beside the service, existence, ownership and quota in the service,
   uniqueness and states in the table.
4. Every state change of a job is one guarded UPDATE. No work depends on an open page or on the process that began it.
5. Four families grow by one file and one line in a literal registry: formats, providers, training methods, runners.
6. Files first, row last. Datasets, checkpoints and models are immutable folders, published by rename; the row comes after.

Imports run one way (``tests/test_layers.py`` enforces it)::

    errors config security clock sql_types -> db tables listing -> storage, formats, providers
    -> limits users sessions api_keys usage -> ingest reports quality datasets -> uploads -> query models
    -> alerts jobs training -> runners -> chats fine_tuning -> worker supervisor -> cli guide -> api ui -> pages app
"""
