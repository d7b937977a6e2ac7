"""Checkpoints of a job as something to use.

- ``using``: keep, delete, promote
- ``retention``: how long they stay once the job has ended
- ``evaluating``: how good one is on rows of one's choice: asked for here, computed by ``evaluator`` in a
  process of its own

How a checkpoint is written and read is the business of ``core.training.checkpoints``, chatting with one that
of ``core.models``.
"""
