"""Fine-tuning jobs being run: who starts, watches and ends workers, and what a worker does.

- ``supervisor``: the thread of the server that checks new jobs, claims the one whose turn it is, has a runner
  start its worker, and finds workers that died, hang, or outlived a server
- ``worker``: the process that trains one job (``python -m core.workers.worker JOB_ID``)
- ``recorder``: what the worker writes while it trains: heartbeat, curves, checkpoints, samples;
  ``event_files``: the same curves as TensorBoard files

A job changes state only through ``core.jobs``; where a worker runs is the business of ``core.runners``, how a
model learns that of ``core.training``. The server may be killed at any moment: a worker goes on, and the next
server finds it by its command line.
"""
