"""Luthier's core: a team's data becomes models the team can call.

The ideas that carry the code:

1. Edges authenticate, services authorize. Pages, ``/api``, ``/v1`` and the worker find out *who*; services
   decide *may they*.
2. A public service function is one use case and owns its transactions. First parameter ``user``: it opens its
   own. First parameter ``session``: it runs in the caller's.
3. Rules live once: field rules in the pydantic input model beside the service, existence, ownership and quota
   in the service, uniqueness and states in the table.
4. Every state change of a job is one guarded UPDATE. No work depends on an open page or on the process that
   began it.
5. Five families grow by one file and one line in a literal registry: formats, providers, training methods,
   runners, chat commands.
6. Files first, row last. Datasets, checkpoints and models are immutable folders, published by rename; the row
   comes after.

A file directly in this folder is ground floor, used by many; every other concept is one folder, and it has
the same name in ``core/``, in ``core/ui/`` and inside ``tests/core``, ``tests/api`` and ``tests/ui``. Where
something is shown is ``core/ui/NAME``; who runs it is ``core/NAME/queue.py``, or ``core/workers`` for
trainings. Each folder's docstring says what belongs there and what does not.

Imports run one way, from right to left; what stands between two arrows does not know each other
(``tests/test_layers.py`` reads this)::

    cells clock config errors sql_types stopping
    -> db fields formats hardware network security sql_sandbox tables weights
    -> chat_templates listing migrations processes storage -> inference
    -> people readers training -> alerts models reports -> exports ingest jobs providers -> datasets runners
    -> fine_tuning query uploads -> chats workers -> api cli worker -> guide server -> ui
    -> pages app launch __main__
"""
