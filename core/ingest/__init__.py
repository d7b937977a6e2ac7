"""Ingest: from a staged upload to an immutable version of a dataset.

- ``look``: what a file would become with these options, read by a child within a minute; nothing is kept
- ``converter``: ``python -m core.ingest VERSION_ID`` claims the version's row, checks and converts the file,
  publishes the folder by one rename, and settles the row last
- ``queue``: converters from the outside: how many run, who waits for them, what becomes of those that died

How a kind of file is read is the business of ``core.readers``; who may upload, names and quota are
``core.datasets``'s; files that are still on their way, or wait for a decision, are ``core.uploads``'s. This
file imports nothing, so that the process starts fast.
"""
