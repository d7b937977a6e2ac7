"""Reports about a version of a dataset: its profile, its quality,
its token lengths; each computed by a process of its own.

- ``computing``: a report is asked for by a row in state ``waiting``; ``python -m core.reports VERSION_ID
  KIND`` claims that row, computes with bounded memory at low priority, tells how far it is, and settles the
  row last
- ``queue``: the thread of the server that starts these processes, and finds those that died
- ``profile``: what is in each column; ``footer``: as far as the file says it at once
- ``quality``: what may be wrong with the rows; ``token_lengths``: how long they are for a model

Nothing here changes a version or asks who the user is: ``core.datasets`` shows reports to the owner of the
version and lets them start one. This file imports nothing, so that the process starts fast.
"""
