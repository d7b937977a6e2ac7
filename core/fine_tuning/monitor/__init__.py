"""A run while it goes on, and afterwards: what its page, the API and the command line show.

- ``series``: the curves, kept in memory and thinned for many viewers; ``comparing``: those of several runs
  side by side
- ``samples``: answers during training; ``hardest``: the rows with the highest loss; ``logs``: the training's
  log

What is shown here was written by the worker (``core.workers``) through ``core.jobs``.
"""
